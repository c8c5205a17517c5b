"""How a training does, whatever its loss: signs taken in an
update, and the verdict on them, which is said everywhere alike.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..spec import as_samples

FIGURES = ("D(real)", "D(fake)", "rank", "spread", "variety")  # that every pipeline has
SATURATED = "saturated"  # that images have beside them
END = 0.99  # of a range of -1 to 1: a tanh that is beyond has a slope below 0.02
COMPARED = 64  # samples of a batch whose distances to each other are taken: 2,016 pairs

# The figures below are MNIST's, of batches of 64. A tenth is chosen: a
# generator of one image with a little noise (0.02 of a range of 2) is below
# it, and DCGANs of two seeds had 0.75 and more once they drew digits.
NARROW = 0.1
# Two real batches have 0.88 to 1.14 (200 pairs), the DCGANs 0.75 to 0.99, copies of at most 32
# samples with noise of deviation 0.05 up to 0.15, with 0.1 up to 0.29. Points spread between the
# modes have more than real ones (20 and above).
ALIKE = 0.3
# A line rests on 256 pairs or more (JUDGED in training.py),
# of which at most five are judged wrongly here,
AHEAD = 0.98
# and which are here below chance by 1.6 standard errors (0.5 / 256 ** 0.5 = 0.031).
MISLED = 0.45


def figures(judged: tuple[Tensor, ...], data: Tensor) -> tuple[tuple[str, ...], Tensor]:
    """(names, a vector) of what tells a healthy training from a sick one;
    `judged` are the logits of real and of generated samples and the
    generated samples themselves, `data` the real ones as they are stored.

    rank: how often a real sample is judged above a generated
        one; 0.5 is not told apart, 1 always right.
    spread: the deviation of generated samples against real ones'; near 0 all are alike.
    variety: the median distance from a generated sample to its nearest
        neighbour in the batch, against that of real ones; near 0 there
        are only a few, each many times over, however far these lie apart.
    saturated: of images, the share of values at the ends of the range, less that of real ones.
    """
    real, fake, drawn = judged
    image = data.dtype == torch.uint8 and data.dim() == 4
    drawn, data = drawn.float(), as_samples(data)
    found = {"D(real)": real.mean(), "D(fake)": fake.mean()}
    found["rank"] = (real > fake).float().mean()
    found["spread"] = _deviation(drawn) / _deviation(data).clamp_min(1e-6)
    found["variety"] = variety(drawn, data)
    if image:
        found[SATURATED] = _at_the_ends(drawn) - _at_the_ends(data)
    return tuple(found), torch.stack(list(found.values()))


def variety(drawn: Tensor, data: Tensor) -> Tensor:
    """The ratio of median distances to the nearest neighbour,
    over at most COMPARED samples [n, ...] of each; 1 if n < 2.
    """
    count = min(len(drawn), COMPARED)
    if count < 2:
        return drawn.new_ones(())
    both = torch.stack([drawn[:count].flatten(1), data[:count].flatten(1).to(drawn.dtype)])
    # Not by matrix products, which cancel where samples
    # are nearly alike, and round to bf16 under autocast.
    distances = torch.cdist(both, both, compute_mode="donot_use_mm_for_euclid_dist")
    itself = torch.full((count,), torch.inf, device=drawn.device).diag()
    nearest = (distances + itself).amin(-1).sort().values[:, count // 2]
    return nearest[0] / nearest[1].clamp_min(1e-6)


def _at_the_ends(samples: Tensor) -> Tensor:
    """The share of values that are at an end of the range."""
    return (samples.abs() > END).float().mean()


def _deviation(samples: Tensor) -> Tensor:
    """The standard deviation within the batch, averaged over a
    sample's numbers; Tensor.std(0) takes 14 times as long on a CPU.
    """
    return (samples - samples.mean(0)).square().mean(0).sqrt().mean()


def verdict(signs: Mapping[str, float]) -> str:
    """One line on how the training does: a word or
    two, a colon, and the figure that they rest on.
    """
    rank, spread = signs.get("rank", 0.5), signs.get("spread", 1.0)
    variety = signs.get("variety", 1.0)
    if spread < NARROW:
        return f"narrow (untrained or collapsed): samples vary {spread:.0%} as much as real ones"
    if variety < ALIKE:
        return f"nearly alike: samples lie {variety:.0%} as far from each other as real ones"
    if rank > AHEAD:
        return f"discriminator far ahead: right {rank:.1%} of the time"
    if rank < MISLED:
        return f"discriminator misled: right {rank:.0%} of the time"
    return f"balanced: discriminator right {rank:.0%} of the time"
