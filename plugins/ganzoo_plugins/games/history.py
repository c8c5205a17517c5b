"""Generated samples of earlier updates, for a discriminator to see again."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganzoo.nn import own, whole


class History(nn.Module):
    """Keeps generated samples, and gives half of the time an old one in the place of a new one,
    which takes its place (Shrivastava et al. 2017, section 2.3; Zhu et al. 2017, section 4).

    Until it is full, all that comes is kept and given back as it is. Samples of one batch take
    different places, and what goes beyond these is neither kept nor replaced. Of a batch that is
    computed in parts, the last one is kept.

    shape: of a sample
    size: samples that are kept
    """

    kept: Tensor
    filled: Tensor
    coming: Tensor
    arrived: Tensor

    def __init__(self, shape: tuple[int, ...], size: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("kept", torch.zeros(size, *shape))
        self.register_buffer("filled", torch.zeros((), dtype=torch.long))
        # what `kept` will be after the update, and a row for samples that are not kept
        self.register_buffer("coming", torch.zeros(size + 1, *shape), persistent=False)
        self.register_buffer("arrived", torch.zeros((), dtype=torch.long), persistent=False)

    def forward(self, fresh: Tensor) -> Tensor:
        """Samples [n, *shape], some of them old ones, in the place of generated ones [n, *shape].
        What is kept changes in `move`: a gradient may need what it was.
        """
        every = whole(fresh.detach())
        swapped, old = self._meet(every)
        swapped, old = own(swapped), own(old).to(fresh.dtype)
        return torch.where(swapped.view(-1, *[1] * (fresh.dim() - 1)), old, fresh)

    def _meet(self, fresh: Tensor) -> tuple[Tensor, Tensor]:
        """Which samples of the whole batch give way to old ones, [n], and the old ones."""
        count, device = len(fresh), fresh.device
        full = self.filled >= self.size
        # in one row: all ranks draw the same for the whole batch, which they keep alike
        order = torch.rand(1, max(count, self.size), device=device)[0].argsort()[:count]
        swapped = full & (torch.rand(1, count, device=device)[0] < 0.5) & (order < self.size)
        next_ = self.filled + torch.arange(count, device=device)
        place = torch.where(full, order, next_)
        stored = torch.where(full, swapped, next_ < self.size)
        place = torch.where(stored, place, self.size)
        rows = torch.cat([self.kept, self.coming[-1:]])
        self.coming.copy_(rows.index_copy(0, place, fresh.to(rows.dtype)))
        self.arrived.copy_((~full * stored).sum())
        return swapped, self.kept[place.clamp(max=self.size - 1)]

    def move(self) -> None:
        """Keep what the update gave."""
        self.kept.copy_(self.coming[: self.size])
        self.filled.add_(self.arrived)
        self.arrived.zero_()
