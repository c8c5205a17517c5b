"""A factor of a penalty's weight that follows the training.

Every PAIRS pairs of a real and a generated sample say anew who is ahead. Told beside it is what the
weighted penalty is against the distance of the mean logits: where the penalty alone holds logits
that are small, an optimal discriminator has it at a quarter to a half of that, whatever the weight.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganzoo.nn import whole, whole_mean

PAIRS = 256  # as many as a line of the log: a share of them is sure to 0.03
AHEAD, APART = 0.95, 1.0  # share of pairs judged rightly, mean distance: it runs ahead
SMALL = 0.02  # of the distance: a weighted penalty below it holds nothing
TELLS, FLAT = 0.2, 0.05  # beyond chance, mean distance: it has learnt, and has hardly a slope
FELT = 0.1  # of the distance: from here on that may be the penalty's doing
HEAVY = 0.5  # of the distance, or of 1, logits' usual size: it outweighs the loss
MOST = 10.0  # times, in one move
SUMS = ("right", "apart", "pairs", "weighted", "passes")


class Tuning(nn.Module):
    """Counts updates, and moves a factor by them; both are buffers.

    factor: of the penalty's weight, from 1
    """

    factor: Tensor
    right: Tensor
    apart: Tensor
    pairs: Tensor
    weighted: Tensor
    passes: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("factor", torch.ones(()))
        for name in SUMS:
            self.register_buffer(name, torch.zeros(()))

    def penalised(self, weighted: Tensor) -> None:
        """Count the weighted penalty of one pass, a scalar."""
        self.weighted.add_(whole_mean(weighted.detach()))
        self.passes.add_(1)

    def judged(self, real: Tensor, fake: Tensor) -> None:
        """Count the logits [n] of real and of generated samples."""
        real, fake = whole(real.detach()), whole(fake.detach())
        self.right.add_((real > fake).sum())
        self.apart.add_((real - fake).sum())
        self.pairs.add_(real.numel())

    def move(self) -> None:
        """Move the factor where enough pairs were counted, and count anew.

        To be called after an update: a compiled gradient may read a buffer once more.
        """
        due = self.pairs >= PAIRS
        pairs = self.pairs.clamp(min=1)
        held = self.weighted / self.passes.clamp(min=1)
        self.factor.mul_(torch.where(due, step(self.right / pairs, self.apart / pairs, held), 1))
        for name in SUMS:
            kept = self.get_buffer(name)
            kept.copy_(torch.where(due, 0, kept))


def step(rank: Tensor, apart: Tensor, held: Tensor) -> Tensor:
    """What a weight is to be multiplied by, 1 where all is well.

    rank: share of the pairs in which the real sample is judged above the generated one
    apart: how far the mean logits are apart
    held: the weighted penalty
    """
    one, size = torch.ones_like(held), apart.abs()
    runs_ahead = (rank > AHEAD) & (apart > APART)
    stronger = torch.where(runs_ahead, (SMALL * apart / held).clamp(1, MOST), one)
    flat = ((rank - 0.5).abs() > TELLS) & (size < FLAT) & (held > FELT * size)
    steeper = torch.where(flat, (size / FLAT).clamp(1 / MOST, 1), stronger)
    room = HEAVY * size.clamp(min=1)
    return torch.where(held > room, (room / held).clamp(1 / MOST, 1), steeper)
