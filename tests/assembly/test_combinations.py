"""Every generator with every loss and every regularizer, as far
as their traits allow: it trains, or is refused with a reason.
"""

import math

import fitting
import pytest
import torch

from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.components.registry import Component, Registry
from ganzoo.contracts import Column, Dataset, Discriminator, GradientPenalty, Tracker
from ganzoo.errors import Incompatible
from ganzoo.training.loop import Training

STREAM = torch.Generator().manual_seed(0)
LABELS = torch.arange(32) % 3, ("a", "b", "c")
FEW = {
    "image": Dataset(
        torch.randint(0, 256, (32, 1, 16, 16), generator=STREAM, dtype=torch.uint8), *LABELS
    ),
    "points": Dataset(torch.randn(32, 2, generator=STREAM), *LABELS),
    "signal": Dataset(torch.randn(32, 1, 32, generator=STREAM), *LABELS),
    "video": Dataset(
        torch.randint(0, 256, (32, 1, 3, 4, 4), generator=STREAM, dtype=torch.uint8), *LABELS
    ),
    "tokens": Dataset(
        torch.randint(0, 3, (32, 5), generator=STREAM, dtype=torch.uint8),
        *LABELS,
        alphabet=("", "a", "b"),
    ),
    "table": Dataset(
        torch.cat([torch.randn(32, 1, generator=STREAM), torch.eye(2).repeat(16, 1)], 1),
        *LABELS,
        columns=(Column("number"), Column("category", ("yes", "no"))),
    ),
    "map": Dataset(torch.randn(32, 4, 8, 8, generator=STREAM), *LABELS, unbounded=True),
}
UPDATES, BATCH = 2, 8


class Mixing(Discriminator):
    """Judges each sample against the batch's mean, and has no option to do otherwise."""

    per_sample = False

    def __init__(self, spec):
        super().__init__(spec)
        self.judge = torch.nn.Linear(spec.numel, 1)

    def forward(self, samples, labels=None):
        return self.judge((samples - samples.mean(0)).flatten(1)).squeeze(1)


def few(sort):
    """A factory of the small data of one sort."""
    return lambda: FEW[sort]


REGISTRY = Registry(
    [
        *zoo().registry.components(),
        *(Component("dataset", f"few-{sort}", few(sort), "tests", "tests", "0") for sort in FEW),
        Component("discriminator", "mixing", Mixing, "tests", "tests", "0"),
    ]
)
GENERATORS = [
    (c.name, sort) for c in REGISTRY.components("generator") for sort in c.load().modalities
]
LOSSES = [c.name for c in REGISTRY.components("loss")]
REGULARIZERS = [None, *(c.name for c in REGISTRY.components("regularizer"))]


SMALL = ("dcgan", "mlp")


class Heard(Tracker):
    def __init__(self):
        self.lines = []

    def log(self, record):
        self.lines.append(record)


def small(kind, name):
    """The options that make a net small, where it has them."""
    return {"width": 8} if "width" in REGISTRY.get(kind, name).options() else {}


def assembled(generator, loss, regularizer, sort, **sections):
    tree = configuration.defaults()
    regularizers = (regularizer,) if regularizer else ()
    needed = fitting.layer(REGISTRY, generator, loss, regularizers)
    for layer in (
        {"data": {"name": f"few-{sort}"}},
        needed,
        {
            "gen": small("generator", generator),
            "disc": small("discriminator", needed["disc"]["name"]),
        },
        {
            "train": {
                "images": UPDATES * BATCH,
                "batch_size": BATCH,
                "device": "cpu",
                "engine": "eager",
            },
            "log": {"images": 1},
        },
        sections,
    ):
        tree = configuration.merge(tree, layer)
    return assemble(configuration.check(tree), REGISTRY)


def weights(pipeline):
    return [
        [p.detach().clone() for p in pipeline.parts.net(side).parameters()]
        for side in ("discriminator", "generator")
    ]


def combination(generator, sort, loss, regularizer):
    """Pairs of losses and regularizers, those of the larger nets, and three in four of what is
    neither images nor points, are for slow tests.
    """
    pair = loss != "nonsat" and regularizer is not None
    rare = sort not in ("image", "points") and not in_quarter(loss, regularizer)
    large = generator not in SMALL and (loss, regularizer) != FIRST[0]
    marks = [pytest.mark.slow] if pair or large or rare else []
    return pytest.param(generator, sort, loss, regularizer, marks=marks)


def in_quarter(loss, regularizer):
    """Whether a loss and a regularizer are one pair of a quarter of all of them."""
    return (LOSSES.index(loss) + REGULARIZERS.index(regularizer)) % 4 == 0


FIRST = [("nonsat", None), ("hinge", None), ("nonsat", "gp"), ("nonsat", "sn")]


def chosen(generator, loss, regularizer):
    """Losses and regularizers together know nothing of the sort of sample, nor of the generator:
    one net for pairs of them, of which each loss meets a quarter of the regularizers, and each
    regularizer a quarter of the losses; the larger nets meet a quarter of the regularizers. (The
    logits of narrow residual nets are so large at first that some hinges are flat.)
    """
    quarter = in_quarter(loss, regularizer)
    if loss != "nonsat" and regularizer is not None:
        return generator == "dcgan" and quarter
    return generator in SMALL or (loss, regularizer) in FIRST or (quarter and loss == "nonsat")


COMBINATIONS = [
    combination(generator, sort, loss, regularizer)
    for generator, sort in GENERATORS
    for loss in LOSSES
    for regularizer in REGULARIZERS
    if chosen(generator, loss, regularizer)
]


@pytest.mark.parametrize(("generator", "sort", "loss", "regularizer"), COMBINATIONS, ids=str)
def test_trains_or_is_refused(generator, sort, loss, regularizer):
    regularizers = (regularizer,) if regularizer else ()
    if refusal := fitting.refusal(REGISTRY, generator, loss, regularizers, sort):
        with pytest.raises(Incompatible, match=refusal):
            assembled(generator, loss, regularizer, sort)
        return
    pipeline, heard = assembled(generator, loss, regularizer, sort), Heard()
    before = weights(pipeline)
    training = Training(pipeline, listeners=[heard])
    training.run()
    assert training.updates == len(heard.lines) == UPDATES
    for line in heard.lines:
        values = [value for side in ("discriminator", "generator") for value in line[side].values()]
        assert (
            all(map(math.isfinite, values)) and {"adversarial", "total"} <= line["generator"].keys()
        )
    for old, new in zip(before, weights(pipeline), strict=True):
        assert any(not torch.equal(a, b) for a, b in zip(old, new, strict=True))
        assert all(bool(b.isfinite().all()) for b in new)


SLOPES = [
    c.name
    for c in REGISTRY.components("regularizer")
    if issubclass(c.load(), GradientPenalty) and c.load().needs
]


@pytest.mark.parametrize("penalty", SLOPES)
def test_a_slope_penalty_refuses_a_discriminator_that_mixes_the_batch(penalty):
    with pytest.raises(
        Incompatible,
        match=f"reg.{penalty}: needs a discriminator with the trait 'per_sample', which mixing has "
        f"not",
    ):
        assembled("mlp", "nonsat", penalty, "image", disc={"name": "mixing"})


ADAPTING = [c.name for c in REGISTRY.components("discriminator") if "per_sample" in c.load().adapts]


@pytest.mark.parametrize("penalty", SLOPES)
@pytest.mark.parametrize("discriminator", ADAPTING)
def test_or_takes_the_options_that_part_the_samples_and_says_so(discriminator, penalty):
    remedy = REGISTRY.get("discriminator", discriminator).load().adapts["per_sample"]
    pipeline = assembled(
        "mlp", "nonsat", penalty, "image", disc={"name": discriminator, "width": 8}
    )
    assert pipeline.parts.discriminator.per_sample
    chosen = pipeline.config.disc.options
    assert {key: chosen[key] for key in remedy} == dict(remedy)
    settings = " ".join(f"disc.{key} = {value!r}" for key, value in remedy.items())
    assert any(
        penalty in note and "per_sample" in note and settings in note for note in pipeline.notes
    )


def test_unless_the_person_insists():
    pipeline = assembled(
        "mlp", "nonsat", SLOPES[0], "image", disc={"name": "dcgan", "width": 8, "norm": "batch"}
    )
    assert pipeline.config.disc.options["norm"] == "batch"
    assert any("as you insist" in note for note in pipeline.notes)
