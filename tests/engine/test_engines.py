"""The engines agree: for every combination that trains, the update
compiles without a break, with the losses and gradients of eager, and
the trained result does not depend on the engine beyond float noise.
"""

import fitting
import pytest
import torch
from one_graph import check_one_graph

from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.contracts import Batch, GradientPenalty
from ganzoo.engine.engine import SIDES, Engine
from ganzoo.engine.losses import choose_differentiation

REGISTRY = zoo().registry
GROUPS = 6  # of regularizers that are compiled together
TINY = {
    "data": {"resolution": 8},
    "train": {"images": 1000, "batch_size": 8},
    "gen": {"width": 8},
    "disc": {"width": 8},
}


def names(kind):
    return [c.name for c in REGISTRY.components(kind)]


def small_pipelines():
    """Every loss and regularizer, and the nets that compile in seconds."""
    quick = (*fitting.SMALL, "unet")
    return [case for case in fitting.covering(REGISTRY) if case[0] in quick]


def pipeline(gen, loss, regs):
    tree = configuration.defaults()
    for layer in (fitting.layer(REGISTRY, gen, loss, regs), TINY):
        tree = configuration.merge(tree, layer)
    built = assemble(configuration.check(tree), REGISTRY)
    if any(isinstance(r, GradientPenalty) for r in built.parts.regularizers.values()):
        built.parts.differentiation = choose_differentiation(
            built.parts.discriminator, built.spec
        )  # as on a GPU
    return built


def batch(built, seed):
    generator = torch.Generator().manual_seed(seed)
    data = torch.rand(8, *built.spec.shape, generator=generator) * 2 - 1
    labels = torch.arange(8) % built.spec.classes if built.spec.classes else None
    return Batch(data, labels), built.parts.draw_latents(8, generator)


def check_first_update(gen, loss, regs, sides=SIDES, backend="aot_eager"):
    """One update's terms and gradients of each side, compiled against eager."""
    built = pipeline(gen, loss, regs)
    check_one_graph(built, *batch(built, 0), sides=sides, backend=backend)


@pytest.fixture(autouse=True)
def same_random_numbers():
    """inductor would draw other random numbers than eager."""
    before = torch._inductor.config.fallback_random
    torch._inductor.config.fallback_random = True
    torch._dynamo.reset()
    yield
    torch._inductor.config.fallback_random = before


def one_graph_cases():
    """Either side of the quick nets, autograd included; of the larger ones the generator's update,
    which calls both of them, is traced alone, and the rest is for a slow test.
    """
    for gen, loss, regs in fitting.covering(REGISTRY):
        if gen in fitting.SMALL:
            yield gen, loss, regs, SIDES, "aot_eager"
        else:
            yield gen, loss, regs, ("generator",), "eager"
            yield pytest.param(gen, loss, regs, SIDES, "aot_eager", marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("gen", "loss", "regs", "sides", "backend"), list(one_graph_cases()), ids=str
)
def test_update_is_one_graph(gen, loss, regs, sides, backend):
    check_first_update(gen, loss, regs, sides, backend)


@pytest.mark.slow
@pytest.mark.parametrize("loss", names("loss"))
def test_a_third_of_the_pairs_is_one_graph(loss):
    """Each loss with a third of the regularizers, a few at a time, and each regularizer with a
    third of the losses, behind one net and the other in turn. Autograd, which no longer sees parts,
    goes through half of the graphs; and through each part in the test above.
    """
    pairs, first = 0, names("loss").index(loss) % GROUPS
    for number in (first, (first + GROUPS // 2) % GROUPS):
        gen = fitting.SMALL[number % len(fitting.SMALL)]
        regs = tuple(
            reg
            for reg in names("regularizer")[number::GROUPS]
            if fitting.refusal(REGISTRY, gen, loss, (reg,)) is None
        )
        if fitting.refusal(REGISTRY, gen, loss, regs) is None:
            torch._dynamo.reset()
            check_first_update(gen, loss, regs, backend="aot_eager" if number == first else "eager")
            pairs += len(regs)
    assert pairs > 0.1 * len(names("regularizer"))


def ten_updates(gen, loss, regs, mode):
    """Losses of ten updates, and the weights after them."""
    built = pipeline(gen, loss, regs)
    said, losses = [], []
    clips = {side: built.clips(side) for side in SIDES}
    engine = Engine(built.parts, built.optimizers, clips, mode, torch.tensor(0.3), said.append)
    torch.manual_seed(0)
    for n in range(10):
        for side in SIDES:
            losses.append(engine.update(side, *batch(built, n), n).values)
    assert engine.mode == mode, said
    weights = torch.cat(
        [p.detach().flatten() for side in SIDES for p in built.parts.net(side).parameters()]
    )
    return torch.cat(losses), weights


@pytest.mark.slow
@pytest.mark.parametrize(("gen", "loss", "regs"), small_pipelines(), ids=str)
def test_engines_agree_after_ten_updates(gen, loss, regs):
    """Through inductor, as users run it."""
    losses, weights = ten_updates(gen, loss, regs, "eager")
    compiled_losses, compiled_weights = ten_updates(gen, loss, regs, "compiled")
    torch.testing.assert_close(compiled_losses, losses, rtol=2e-3, atol=2e-4)
    assert torch.dist(compiled_weights, weights) <= 1e-3 * weights.norm()
