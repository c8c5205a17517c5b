"""Spectral norm whose forward pass changes no state:
compiled updates, func.grad and jvp all need that.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils import parametrize

from ganzoo.contracts import Regularizer, Sides

TRANSPOSED = (
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)  # their weights are [in, out, ...]
TINY = 1e-12  # the least length that is divided by, as in torch.nn.functional.normalize
START = (
    15  # power iterations at assembly; then one an update, which follows weights that move slowly
)


class UnitSpectrum(nn.Module):
    """The parametrization W -> W / (u' W v), with u
    and v the first singular vectors, held as buffers.

    As constants they give the exact gradient of W /
    sigma(W): d sigma = u' dW v (Miyato et al. 2018, eq. 10).
    """

    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor, transposed: bool) -> None:
        super().__init__()
        self.transposed = transposed
        rows, columns = self.matrix(weight).shape
        self.register_buffer("u", normalize(torch.randn(rows).to(weight), dim=0))
        self.register_buffer("v", normalize(torch.randn(columns).to(weight), dim=0))
        for _ in range(START):
            iterate([self], [weight])

    def matrix(self, weight: Tensor) -> Tensor:
        """The weight as [outputs, everything else]."""
        return (weight.transpose(0, 1) if self.transposed else weight).flatten(1)

    def forward(self, weight: Tensor) -> Tensor:
        # Unit length again, since a net's running average averages
        # u and v too; no matmul, which autocast would halve.
        u, v = normalize(self.u, dim=0), normalize(self.v, dim=0)
        sigma = (self.matrix(weight) * (u[:, None] * v)).sum()
        return weight / torch.where(sigma == 0, 1, sigma)  # weights that begin at zero stay there


@torch.no_grad()
def iterate(units: Sequence[UnitSpectrum], weights: Sequence[Tensor]) -> None:
    """One power iteration of each, in steps for all of them:
    on a GPU, fewer kernels that each do next to nothing.
    """
    if not units:
        return
    matrices = [unit.matrix(weight) for unit, weight in zip(units, weights, strict=True)]
    pairs = list(zip(units, matrices, strict=True))
    _point([unit.u for unit in units], [matrix @ unit.v for unit, matrix in pairs])
    _point([unit.v for unit in units], [unit.u @ matrix for unit, matrix in pairs])


def _point(vectors: list[Tensor], along: list[Tensor]) -> None:
    """Make each vector the unit vector along another; one of no length leaves it as it is."""
    lengths = torch._foreach_norm(along)
    nowhere = list((torch.stack(lengths) <= TINY).to(vectors[0].dtype).unbind())
    ways = torch._foreach_add(along, torch._foreach_mul(vectors, nowhere))
    lengths = torch._foreach_add(lengths, nowhere)
    torch._foreach_clamp_min_(lengths, TINY)
    torch._foreach_copy_(vectors, torch._foreach_div(ways, lengths))


class SpectralNorm(Regularizer):
    """Divides every weight by its largest singular value:
    each layer is 1-Lipschitz (Miyato et al. 2018, eq. 8).

    Norm layers, biases, weights that are frozen and a generator's embeddings, as in BigGAN (Brock
    et al. 2019), are left alone. One power iteration an update, after the optimizer's.

    side: the net it acts on
    """

    def __init__(self, *, side: Sides = "discriminator") -> None:
        super().__init__()
        self.side = side

    def prepare(self, generator: nn.Module, discriminator: nn.Module) -> None:
        """Reparametrize the weights of two or more dimensions."""
        if self.on("generator"):
            constrain(generator, embeddings=False)
        if self.on("discriminator"):
            constrain(discriminator)

    def after_update(self, net: nn.Module) -> None:
        """Follow the weights with one power iteration."""
        lists = [m for m in net.modules() if isinstance(m, parametrize.ParametrizationList)]
        held = [(m[0], m.original) for m in lists if isinstance(m[0], UnitSpectrum)]
        iterate([unit for unit, _ in held], [weight for _, weight in held])


def constrain(net: nn.Module, *, embeddings: bool = True) -> None:
    """Give every module of a net with a trained weight of
    two or more dimensions the unit-spectrum parametrization.

    embeddings: whether those too.
    """
    for module in list(net.modules()):
        if isinstance(module, nn.Embedding) and not embeddings:
            continue
        weight = module._parameters.get("weight")
        if weight is not None and weight.dim() >= 2 and weight.requires_grad:
            unit = UnitSpectrum(weight.detach(), isinstance(module, TRANSPOSED))
            parametrize.register_parametrization(module, "weight", unit)
