"""PyTorch's own forms of layers, where they are right."""

from __future__ import annotations

from torch import nn

from .attention import SelfAttention
from .norms import MomentNorm
from .tokens import MultiHeadAttention


def use_native_layers(net: nn.Module, slopes: bool = False) -> None:
    """PyTorch's own norms and attention where they are right: all if nobody takes a slope, else,
    with slopes by double backward, norms of one sample.
    """
    for module in net.modules():
        if isinstance(module, MomentNorm):
            module.native = not slopes or module.dims != "batch"
        elif isinstance(module, SelfAttention | MultiHeadAttention):
            module.native = not slopes
