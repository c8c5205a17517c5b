"""Whether a generator copies samples that it was trained on."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ganzoo.contracts import Dataset, PositiveFloat, PositiveInt, Spec
from ganzoo.errors import Incompatible

from .classifier import Say
from .features import Compared, Features
from .floor import check_count

LEAST = 20  # samples of each side
NEAREST = 64  # neighbours of a sample that are looked at
LEVEL = 0.01  # of the verdict
SEED = 0  # of the permutations
CHUNK = 512  # rows of the table of distances at a time
READ = 1024  # training samples at a time
NAMES = ("share", "p", "ct", "authenticity")


class Memorised(Compared):
    """Whether generated samples are copies of the training's, by their nearest held-out neighbours,
    with a confidence (Meehan et al. 2020; Alaa et al. 2022).

    A sample looks copied if its nearest training sample is less than `near` times as far as its
    nearest held-out one. How often that is by chance, permutations say, of which real samples are
    held out: that test is exact, whatever the generator, since chance chose them. All training
    samples are looked at. It is blind to copies that are changed so that their
    distances are those of other samples (moved, mirrored, recoloured), and to few of them: docs say
    how many it finds.

    Figures, in the values of samples, and for images with `features_` before it in features:
    share: of samples that look copied, 0 to 1, smaller is better; its floor is that by chance
    p: of such a share or a larger one by chance
    ct: C_T of Meehan et al. of all distances to training samples at once: below -3 generated
        samples are nearer to them than held-out ones are; above 3 farther, as poor ones are
    authenticity: share of samples that are farther from their nearest training sample than that is
        from the others, 0 to 1, larger is better; its floor is that of held-out samples
    memorised: 1 where p is at most 0.01, over the number of spaces, in one of them; else 0

    count: samples to draw for it, and held-out ones at most
    features: the second space, for images: random-conv or classifier; values for none
    near: the ratio of distances below which a sample looks copied
    permutations: that the chance is counted from
    """

    reads = ("real", "held")
    larger = ("p", "ct", "authenticity", "features_p", "features_ct", "features_authenticity")
    signs = {"memorising": "memorised"}  # noqa: RUF012  (typed in the contract)
    called = "memorised"

    def __init__(
        self,
        spec: Spec,
        *,
        count: PositiveInt = 2500,
        features: Features = "random-conv",
        near: PositiveFloat = 0.5,
        permutations: PositiveInt = 999,
    ) -> None:
        kind: Features = features if spec.modality == "image" else "values"
        super().__init__(spec, count=count, features=kind)
        check_count("memorised", count, LEAST // 2)
        if near > 1:
            raise Incompatible(
                "a copy is nearer to what it copies than to others: give at most 1",
                section="metric.memorised",
                key="near",
                value=near,
            )
        self.near, self.permutations = near, permutations
        self.trained: list[Tensor] = []  # what training samples are compared by

    def learn(self, data: Dataset, say: Say) -> None:
        """Look at all training samples."""
        super().learn(data, say)
        if not self.trained:
            say(f"looking at {len(data):,} training samples")
            parts = torch.split(torch.arange(len(data)), READ)
            self.trained.append(torch.cat([self.features(data.batch(at)[0]) for at in parts]))
            say("")

    def features(self, samples: Tensor) -> Tensor:
        """Values of samples [n, *spec.shape], and behind them their features, float32 [n, d]."""
        values = samples.flatten(1).float()
        if self.net == "values":
            return values
        return torch.cat([values, super().features(samples).float()], 1)

    def compare(self, real: Tensor, fake: Tensor, held: Tensor | None = None) -> dict[str, float]:
        """Figures of generated samples [n, d] by all training samples and held-out ones [m, d]."""
        trained = self.trained[0]
        if held is None or min(len(trained), len(fake), len(held)) < LEAST:
            raise Incompatible(
                f"metric memorised: takes {LEAST} training, generated and held-out samples"
            )
        if not fake.isfinite().all():
            return {"share": math.nan}  # of a generator that diverged
        spaces = {"": slice(0, self.spec.numel)}
        if self.net != "values":
            spaces["features_"] = slice(self.spec.numel, None)
        found: dict[str, float] = {}
        for name, space in spaces.items():
            own = self._in_space(trained[:, space], held[:, space], fake[:, space])
            for key, value in own.items():
                plain = key.removeprefix("floor_")
                found["floor_" * (plain != key) + name + plain] = value
        least = min(found[f"{name}p"] for name in spaces)
        return {**found, "memorised": float(least * len(spaces) <= LEVEL)}

    def _in_space(self, trained: Tensor, held: Tensor, fake: Tensor) -> dict[str, float]:
        share, chance, p = copied(trained, held, fake, self.near, self.permutations)
        to_trained, nearest = _nearest(fake, trained)
        held_to_trained, held_nearest = _nearest(held, trained)
        return {
            "share": share,
            "floor_share": chance,
            "p": p,
            "ct": c_t(to_trained, held_to_trained),
            "authenticity": authenticity(to_trained, nearest, trained),
            "floor_authenticity": authenticity(held_to_trained, held_nearest, trained),
        }


def copied(
    trained: Tensor, held: Tensor, fake: Tensor, near: float, permutations: int
) -> tuple[float, float, float]:
    """The share of vectors `fake` [n, d] that look copied from `trained` [t, d] beside `held`
    [h, d]; the mean share if these change places by chance; and the chance of such a share or more.
    """
    pool = torch.cat([trained, held])
    rows, indices = _close(fake, pool, near)
    count = int(rows.max()) + 1 if len(rows) else 0
    stream = torch.Generator().manual_seed(SEED)
    side = torch.arange(len(pool)) >= len(trained)  # the held-out ones
    shuffled = (side[torch.randperm(len(pool), generator=stream)] for _ in range(permutations))
    own, *chance = (_untouched(each, rows, indices, count) for each in (side, *shuffled))
    p = (1 + sum(each >= own for each in chance)) / (1 + permutations)
    return own / len(fake), sum(chance) / permutations / len(fake), p


def _close(fake: Tensor, pool: Tensor, near: float) -> tuple[Tensor, Tensor]:
    """Pairs [k] of a sample that may look copied, counted from 0, and a neighbour of it that is no
    farther than its nearest one over `near`: it looks copied if none of these is held out. A sample
    of more such neighbours than are looked at looks like none.
    """
    nearest = min(NEAREST, len(pool))
    found = []
    for part in torch.split(fake, CHUNK):
        distances, indices = torch.cdist(part, pool).topk(nearest, largest=False)
        close = distances * near <= distances[:, :1]
        few = ~close[:, -1]
        found.append((close[few], indices[few]))
    close = torch.cat([each[0] for each in found])
    return close.nonzero()[:, 0], torch.cat([each[1] for each in found])[close]


def _untouched(held: Tensor, rows: Tensor, indices: Tensor, count: int) -> int:
    """How many of `count` rows have no held-out neighbour."""
    touched = torch.zeros(count, dtype=torch.bool)
    touched[rows[held[indices]]] = True
    return count - int(touched.sum())


def _nearest(points: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """The distance [n] of each point [n, d] to its nearest of others [m, d], and which that is."""
    found = [torch.cdist(part, others).min(1) for part in torch.split(points, CHUNK)]
    return torch.cat([each.values for each in found]), torch.cat([each.indices for each in found])


def c_t(fake: Tensor, held: Tensor) -> float:
    """The standard score of the Mann-Whitney test of distances to training samples, of generated
    samples [n] and of held-out ones [m]: below 0 where the former are nearer (C_T of Meehan et al.
    2020, in one cell).
    """
    n, m = len(fake), len(held)
    order = held.sort().values
    below = torch.searchsorted(order, fake.contiguous())
    upto = torch.searchsorted(order, fake.contiguous(), right=True)
    beyond = float((below + upto).double().sum()) / 2  # pairs in which the generated is farther
    return (beyond - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12)


def authenticity(distances: Tensor, nearest: Tensor, trained: Tensor) -> float:
    """The share of samples that are at least as far from their nearest training sample as that is
    from the nearest other one (Alaa et al. 2022, sec. 3), by their distances [n] to it and which it
    is [n].
    """
    which, back = torch.unique(nearest, return_inverse=True)
    reach = []
    for part in torch.split(which, CHUNK):
        apart = torch.cdist(trained[part], trained)
        apart[torch.arange(len(part)), part] = torch.inf
        reach.append(apart.min(1).values)
    return float((distances >= torch.cat(reach)[back]).double().mean())
