"""What the field built is held by the contracts: every idea of helpers/field.py joins through the
hooks alone, and trains.
"""

import math
import re
from pathlib import Path

import pytest
import torch
from field import FIELD, pipeline, registry_of
from ideas import Heard
from one_graph import check_one_graph

from ganzoo.contracts import Batch
from ganzoo.training.loop import Training

ALONE = ("GLO", "IMLE")  # nobody moves the judge
NAMED = {  # on the page, where it calls them otherwise
    "mean teacher": "a mean teacher",
    "learned spectral scale": "with a learned scale",
    "Gumbel text": "text by Gumbel's softmax",
    "boundary-seeking text": "boundary-seeking GAN",
    "CTGAN": "CTGAN's conditional sampling",
    "optimism": "optimistic descent",
    "consensus": "consensus optimization",
    "Cramer GAN": "Cramér GAN",
    "AC-GAN as a loss": "AC-GAN as one loss",
    "rotations": "SS-GAN's rotations",
}
ONE_GRAPH = (
    "Projected GAN",
    "CTGAN",
    "Cramer GAN",
    "UNIT",
    "denoising diffusion GAN",
    "LOGAN",
)


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    return registry_of(tmp_path_factory.mktemp("site"))


def weights(net):
    return {name: p.detach().clone() for name, p in net.named_parameters()}


@pytest.mark.parametrize("idea", FIELD)
def test_what_the_field_built_trains(registry, idea):
    built, heard = pipeline(registry, idea), Heard()
    before = {role: weights(net) for role, net in built.parts.nets.items()}
    training = Training(built, listeners=[heard])
    training.run()
    for role, net in built.parts.nets.items():
        moved = [n for n, p in net.named_parameters() if not torch.equal(p, before[role][n])]
        assert bool(moved) == (role[:4] != "disc" or idea not in ALONE), role
        assert all(p.isfinite().all() for p in net.parameters())
        assert not {n for n, p in net.named_parameters() if not p.requires_grad} & {*moved}
    for line in heard.lines:
        terms = [v for side in ("discriminator", "generator") for v in line.get(side, {}).values()]
        assert terms and all(map(math.isfinite, terms))
    told = {
        name
        for line in heard.lines
        for side in line.values()
        if type(side) is dict
        for name in side
    }
    silent = ("clip", "scaled-norm", "shared")
    assert told >= {name for name in FIELD[idea].get("reg", {}) if name not in silent}
    assert training.gallery.samples().isfinite().all()


def whole(built, count=8):
    """A batch with all that comes with it, and latents."""
    dataset, places = built.dataset, torch.arange(count)
    found = dataset.gather(places)
    others = {name: other.gather(places).samples for name, other in dataset.others.items()}
    labels = found.labels if built.spec.classes else None
    latents = built.parts.draw_latents(count, torch.Generator().manual_seed(5))
    return Batch(found.samples, labels, None, {**found.given, **others}), latents


@pytest.mark.slow
@pytest.mark.parametrize("idea", ONE_GRAPH)
def test_what_the_field_built_compiles_as_one_graph(registry, idea):
    built = pipeline(registry, idea)
    check_one_graph(built, *whole(built))


def test_the_page_names_what_is_run_here():
    """Every idea has its line, and every test that a line names is there."""
    root = Path(__file__).parents[2]
    lines = (root / "docs" / "what-fits.md").read_text("utf-8").splitlines()
    ideas = [line for line in lines if line.startswith("| ") and "tests/" in line]
    assert len(ideas) >= 60
    for line in ideas:
        verdict = line.split(" | ")[1]
        assert verdict.startswith("works"), line
        for path in re.findall(r"`(tests/[\w/.]+)`", line):
            assert (root / path).is_file(), path
    here = " ".join(line for line in ideas if "tests/core/test_field.py" in line).lower()
    missing = [idea for idea in FIELD if NAMED.get(idea, idea).lower() not in here]
    assert not missing
