"""Batch norms whose statistics are those of the whole batch, of which each of several processes
(ranks) computes a share.

The statistics of a rank come from PyTorch's own batch norm, and the samples are normalised by
another of its calls: written out in single operations it takes three times as long on a CPU. All
can be differentiated twice.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import batch_norm

from .precision import full
from .shares import note_slope, ranks, whole


class _Moments(Function):
    """Mean and variance [channels] of samples [n, channels, ...], in one pass over them."""

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        _, mean, inverse = torch.native_batch_norm(x, None, None, None, None, True, 0.0, 0.0)
        return mean, inverse.pow(-2)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(*inputs, output[0])

    @staticmethod
    def backward(ctx: Any, of_mean: Tensor, of_variance: Tensor) -> Tensor:
        x, mean = ctx.saved_tensors  # an output that was saved goes on to hang on x
        count = x.numel() // x.shape[1]
        scale = 2 * of_variance / count
        zeros = torch.zeros_like(mean)
        shift = of_mean / count - scale * mean
        return batch_norm(x, zeros, zeros + 1, scale, shift, False, 0.0, 0.0)


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    if not torch.compiler.is_compiling():
        found: tuple[Tensor, Tensor] = _Moments.apply(x)
        return found
    variance, mean = torch.var_mean(x, [0, *range(2, x.dim())], correction=0)
    return mean, variance


def whole_moments(mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of the samples of all ranks, who have as many each, from those of a rank's;
    in one message.
    """
    means, variances = whole(torch.stack((mean, variance))[None]).unbind(1)
    mean = means.mean(0)
    return mean, variances.mean(0) + (means - mean).square().mean(0)


def whole_batch_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Samples [n, channels, ...] normalised over the whole batch, and its mean and variance."""
    mean, variance = whole_moments(*_moments(x))
    # Around the statistics as constants, so that what hangs on them is in scale and shift.
    centre, spread = mean.detach(), variance.detach()
    scale = ((spread + eps) / (variance + eps)).sqrt()
    shift = (centre - mean) * (variance + eps).rsqrt()
    if weight is not None:
        scale, shift = scale * weight, shift * weight
    if bias is not None:
        shift = shift + bias
    return batch_norm(x, centre, spread, scale, shift, False, 0.0, eps), centre, spread


class WholeBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm whose statistics are those of the whole batch; a class that batch norms of a net
    are given in place of their own (`share_batch_norms`).
    """

    def forward(self, x: Tensor) -> Tensor:
        if ranks() == 1 or not self.training:
            note_slope()
            normal: Tensor = super().forward(x)
            return normal
        weight, bias = (self.weight, self.bias) if self.affine else (None, None)
        found, mean, variance = whole_batch_norm(full(x), weight, bias, self.eps)
        self._move(mean, variance, ranks() * x.numel() // x.shape[1])
        return found.to(x.dtype)

    def _check_input_dim(self, x: Tensor) -> None:
        """Any number of dimensions, as it was checked for the class before."""

    @torch.no_grad()
    def _move(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """The running statistics, by those of a batch of so many values a channel."""
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share: float | Tensor = 1 / self.num_batches_tracked
        if self.momentum is not None:
            share = self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * count / max(count - 1, 1), share)


def share_batch_norms(net: nn.Module) -> None:
    """Let the batch norms of a net, subclasses too, take the statistics of the whole batch."""
    for module in net.modules():
        norm = nn.modules.batchnorm._BatchNorm
        if isinstance(module, norm) and not isinstance(module, WholeBatchNorm):
            module.__class__ = _sharing_class(type(module))


_CLASSES: dict[type, type] = {}


def _sharing_class(norm: type) -> type:
    """A class like a batch norm's, whose statistics are those of the whole batch.

    Its own `forward` stays the first; where that calls its parent's, it comes to the shared one.
    """
    if norm not in _CLASSES:
        native = norm.__module__.startswith("torch.")
        bases = (WholeBatchNorm, norm) if native else (norm, WholeBatchNorm)
        _CLASSES[norm] = type(norm.__name__, bases, {})
    return _CLASSES[norm]
