"""A probability that follows how sure the discriminator is of real samples."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganzoo.nn import whole

EVERY = 4  # updates whose signs are taken together, as in the authors' code


class Probability(nn.Module):
    """A probability in the buffer `p`: rises from 0 while the mean sign of real logits is above a
    target, else falls (Karras et al. 2020, section 3), or stays as it is given.

    After every fourth update it moves by the number of their logits over `speed`, and stays within
    0 and 1. (Theirs may rise above 1, where it changes nothing but the time to come down.)

    fixed: keeps this value; none adapts
    target: the mean sign to hold
    speed: images in which it goes from 0 to 1, at least
    """

    p: Tensor
    signs: Tensor
    seen: Tensor
    updates: Tensor

    def __init__(self, fixed: float | None, target: float, speed: int) -> None:
        super().__init__()
        self.adapts, self.target, self.speed = fixed is None, target, speed
        self.register_buffer("p", torch.tensor(0.0 if fixed is None else fixed))
        if self.adapts:
            self.register_buffer("signs", torch.zeros(()))
            self.register_buffer("seen", torch.zeros(()))
            self.register_buffer("updates", torch.zeros((), dtype=torch.long))

    def observe(self, real_logits: Tensor) -> None:
        """Count the logits [n] of one update, and move where it is time.

        It runs within an update that is compiled, after `p` was read: what reads `p` keeps nothing
        but comparisons with it, so that no gradient is computed from a later value.
        """
        if not self.adapts:
            return
        logits = whole(real_logits)
        signs = self.signs + logits.sign().sum()
        seen = self.seen + logits.numel()
        updates = self.updates + 1
        due = updates % EVERY == 0
        step = (signs / seen - self.target).sign() * seen / self.speed
        self.p.copy_(torch.where(due, (self.p + step).clamp(0, 1), self.p))
        self.signs.copy_(torch.where(due, 0, signs))
        self.seen.copy_(torch.where(due, 0, seen))
        self.updates.copy_(updates)

    def choose(self, like: Tensor) -> Tensor:
        """Which of n samples are changed, each by its own chance: bool [n]."""
        return torch.rand(len(like), dtype=like.dtype, device=like.device) < self.p
