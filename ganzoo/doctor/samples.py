"""Rules about what a generator draws, beside what it should."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..engine.health import ALIKE, variety
from .finding import Rule, Sign
from .seen import Seen, small

BINS = 40  # of real samples, by k-means
ROUNDS = 15  # of k-means
NEIGHBOURS = 5
EACH = 32  # samples of a class that are looked at
MOST = 64  # classes


class MissingModes(Rule[Seen]):
    """Parts of the data that nothing is drawn in, although what is drawn varies."""

    name = "modes missing"
    reason = "the discriminator's slope at one part of the data does not lead to the others"
    source = "Richardson and Weiss 2018 (arXiv:1805.12462), who count samples in bins of real ones"
    origin = "chosen between healthy runs, with up to 34 %, and sick ones, with 66 % and more"
    SHARE = 0.5  # of the data that lie in such bins
    EMPTY = 0.1  # of the samples that a bin should have

    def sign(self, looked: Seen) -> Sign | None:
        if not looked.plain or looked.count < 10 * BINS:
            return None
        real, drawn = small(looked.real[0]), small(looked.drawn)
        expected, found = shares(real, drawn)
        missing = float(expected[found < self.EMPTY * expected].sum())
        if missing < self.SHARE:
            return None
        return Sign(
            looked.images,
            f"{missing:.0%} of the real samples lie in {int((found < self.EMPTY * expected).sum())}"
            f" of {len(expected)} parts of the data that fewer than a tenth as many generated ones "
            f"lie in; from {self.SHARE:.0%} on counted",
        )

    def change(self, looked: Seen) -> Mapping[str, object]:
        return looked.case.tamed()


def shares(real: Tensor, drawn: Tensor) -> tuple[Tensor, Tensor]:
    """The shares [k] of real and of generated vectors in the bins of k-means of real ones."""
    stream = torch.Generator().manual_seed(0)
    centres = real[torch.randint(len(real), (1,), generator=stream)]
    for _ in range(BINS - 1):  # k-means++ (Arthur and Vassilvitskii 2007)
        away = torch.cdist(real, centres).amin(1).square()
        if not away.sum() > 0:
            break
        centres = torch.cat([centres, real[torch.multinomial(away, 1, generator=stream)]])
    for _ in range(ROUNDS):
        near = torch.cdist(real, centres).argmin(1)
        sums = torch.zeros_like(centres).index_add(0, near, real)
        count = torch.bincount(near, minlength=len(centres))[:, None]
        centres = torch.where(count > 0, sums / count.clamp(min=1), centres)
    both = [torch.cdist(each, centres).argmin(1) for each in (real, drawn)]
    expected, found = (torch.bincount(each, minlength=len(centres)) / len(each) for each in both)
    return expected, found


class ClassCollapse(Rule[Seen]):
    """Samples of some class are alike, and those of others are not."""

    name = "mode collapse of a class"
    reason = "a class of its own is a small training set of its own, whose samples can collapse"
    source = "Odena et al. 2017 (arXiv:1610.09585), section 4.2, who measure variety by class"
    origin = "that of the log's verdict: figures of MNIST, in engine/health.py"

    def sign(self, looked: Seen) -> Sign | None:
        real, labels = looked.real
        if not looked.classes or labels is None:
            return None
        found = {}
        told = torch.arange(looked.count) % looked.classes
        for label in range(min(looked.classes, MOST)):
            own, other = looked.drawn[told == label][:EACH], real[labels == label][:EACH]
            count = min(len(own), len(other))
            if count >= EACH // 2:
                found[label] = float(variety(own[:count], other[:count]))
        alike = {label: value for label, value in found.items() if value < ALIKE}
        if not alike or len(alike) == len(found):
            return None
        worst = min(alike, key=lambda label: alike[label])
        name = looked.dataset.classes[worst]
        return Sign(
            looked.images,
            f"{len(alike)} of {len(found)} classes; samples of {name!r} lie {alike[worst]:.0%} as "
            f"far from each other as real ones of it; below {ALIKE:.0%} counted",
        )

    def change(self, looked: Seen) -> Mapping[str, object]:
        return looked.case.tamed()


class LabelIgnored(Rule[Seen]):
    """What is drawn for a class is not of that class."""

    name = "label ignored"
    reason = "a generator follows a label only where the discriminator sees that it does not"
    source = "Miyato and Koyama 2018 (arXiv:1802.05637): the discriminator must be told too"
    origin = "chosen: a tenth of what real samples have above chance; a healthy run had a fifth"
    SHARE = 0.1
    TOLD = 0.2  # above chance, that neighbours must tell of real samples

    def sign(self, looked: Seen) -> Sign | None:
        real, labels = looked.real
        if looked.classes < 2 or labels is None or len(real) < 10 * NEIGHBOURS:
            return None
        vectors = small(real)
        told = torch.arange(looked.count) % looked.classes
        chance = 1 / looked.classes
        own = agreement(vectors, labels, vectors, labels, itself=True) - chance
        drawn = agreement(vectors, labels, small(looked.drawn), told) - chance
        if own < self.TOLD or drawn >= self.SHARE * own:
            return None
        return Sign(
            looked.images,
            f"{drawn + chance:.0%} of the samples are among real ones of their class, by their "
            f"{NEIGHBOURS} nearest; of real samples {own + chance:.0%}, by chance {chance:.0%}",
        )

    def change(self, looked: Seen) -> Mapping[str, object]:
        told = looked.case.settings.get("disc.labels")
        return {"disc.labels": True} if told is False else looked.case.rate("disc", 2.0)


def agreement(
    vectors: Tensor, labels: Tensor, asked: Tensor, told: Tensor, itself: bool = False
) -> float:
    """The share of vectors `asked` [m, d] whose label is the commonest among their nearest."""
    distances = torch.cdist(asked, vectors)
    if itself:
        distances.fill_diagonal_(torch.inf)
    near = labels[distances.topk(NEIGHBOURS, largest=False).indices]
    return float((near.mode(1).values == told).float().mean())


class Checkerboard(Rule[Seen]):
    """Every second pixel differs, as real ones do not."""

    name = "checkerboard"
    reason = "a transposed convolution whose kernel is no multiple of its stride overlaps unevenly"
    source = "Odena et al. 2016 (10.23915/distill.00003)"
    origin = "chosen between healthy runs, with 0.8 to 1.1, and a sick one, with 8"
    TIMES = 3.0
    LEAST = 8  # pixels of a side

    def sign(self, looked: Seen) -> Sign | None:
        if looked.drawn.dim() != 4 or min(looked.drawn.shape[2:]) < self.LEAST:
            return None
        own, real = peak(looked.drawn), peak(looked.real[0])
        if own < self.TIMES * max(real, 1.0):
            return None
        return Sign(
            looked.images,
            f"the power at every second pixel is {own:.1f} times that of the next frequencies, of "
            f"real pictures {real:.1f} times; from {self.TIMES:g} times theirs on counted",
        )


def peak(images: Tensor) -> float:
    """The power at a period of two pixels over that of the frequencies beside it, the larger of
    height and width.
    """
    found = []
    for side in (2, 3):
        other = images.float().mean(1).movedim(side - 1, -1)
        length = other.shape[-1] // 2 * 2
        power = torch.fft.rfft(other[..., :length]).abs().square().mean((0, 1))
        found.append(float(power[-1] / (power[-3:-1].mean() + 1e-12)) * 2)
    return max(found)


class LeakingAugmentation(Rule[Seen]):
    """What is drawn is like augmented samples, and not like real ones."""

    name = "augmentation leaks"
    reason = "an augmentation that always acts cannot be told from the data, and is learnt"
    source = "Karras et al. 2020 (arXiv:2006.06676), section 2.2"
    origin = "chosen above sick runs, with 60 to 75 %; where nothing leaks it is 100 % and more"
    CLOSER = 0.85
    APART = 3.0  # times the distance of two halves of real samples

    def sign(self, looked: Seen) -> Sign | None:
        changes = [*looked.pipeline.parts.augmentations.values()]
        if not changes or not looked.plain:
            return None
        real, labels = looked.real
        seen = real
        for each in changes:
            seen = each(seen, labels) if each.conditional else each(seen)
        if seen.shape != real.shape:
            return None
        half = len(real) // 2
        plain, changed, drawn = small(real), small(seen.detach()), small(looked.drawn)
        chance = energy(plain[:half], plain[half:])
        away, near = energy(drawn[:half], plain[half:]), energy(drawn[:half], changed[half:])
        if away < self.APART * chance or near >= self.CLOSER * away:
            return None
        return Sign(
            looked.images,
            f"samples lie {near / away:.0%} as far from augmented real ones as from real ones "
            f"(energy distance); below {self.CLOSER:.0%} counted",
        )

    def change(self, looked: Seen) -> Mapping[str, object]:
        return {f"aug.{name}": False for name in looked.pipeline.parts.augmentations}


def energy(one: Tensor, other: Tensor) -> float:
    """The energy distance of vectors [n, d] and [m, d] (Szekely and Rizzo 2013)."""
    apart = torch.cdist(one, other).mean()
    own = [torch.cdist(x, x).sum() / (len(x) * (len(x) - 1)) for x in (one, other)]
    return float((2 * apart - own[0] - own[1]).clamp(min=0))
