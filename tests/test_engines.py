"""The engines agree: for every combination that trains, the update
compiles without a break, with the losses and gradients of eager, and
the trained result does not depend on the engine beyond float noise.
"""

import itertools

import pytest
import torch

from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.contracts import Batch, GradientPenalty
from ganzoo.engine.engine import SIDES, Engine, only
from ganzoo.engine.losses import choose_differentiation, losses
from ganzoo.errors import Incompatible

REGISTRY = zoo().registry
TINY = {
    "data": {"resolution": 8},
    "train": {"images": 1000, "batch_size": 8},
    "gen": {"width": 8},
    "disc": {"width": 8},
}


def names(kind):
    return [c.name for c in REGISTRY.components(kind)]


def combinations():
    """Every generator, loss and regularizer (or none) together."""
    return itertools.product(names("generator"), names("loss"), [None, *names("regularizer")])


def singles():
    """Every component at least once, each with the plainest of the others."""
    return [
        *((gen, "nonsat", None) for gen in names("generator")),
        *(("dcgan", loss, None) for loss in names("loss") if loss != "nonsat"),
        *(("dcgan", "nonsat", reg) for reg in names("regularizer")),
        ("dcgan", "rpgan", ("r1", "r2", "gp", "noise")),
    ]


def covering():
    """Every component at least once, in as few pipelines as
    hold them: each loss with a share of the regularizers.
    """
    gens, losses, regs = names("generator"), names("loss"), names("regularizer")
    for number, loss in enumerate(losses):
        own = regs[number :: len(losses)]
        fit = tuple(reg for reg in own if refused(loss, reg) is None)
        rest = [reg for reg in own if reg not in fit]
        yield gens[number % len(gens)], loss, fit
        yield from (("dcgan", "nonsat", reg) for reg in rest)


def refused(loss, reg):
    """The trait that a regularizer needs of a loss and that it has not."""
    needs = REGISTRY.get("regularizer", reg).load().needs.get("loss")
    return needs if needs and not getattr(REGISTRY.get("loss", loss).load(), needs, False) else None


def pipeline(gen, loss, reg):
    regs = reg if isinstance(reg, tuple) else tuple(filter(None, [reg]))
    layer = configuration.merge(
        TINY, {"gen": {"name": gen}, "loss": {"name": loss}, "reg": {name: {} for name in regs}}
    )
    built = assemble(
        configuration.check(configuration.merge(configuration.defaults(), layer)), REGISTRY
    )
    if any(isinstance(r, GradientPenalty) for r in built.parts.regularizers.values()):
        built.parts.differentiation = choose_differentiation(
            built.parts.discriminator, built.spec
        )  # as on a GPU
    return built


def batch(built, seed):
    generator = torch.Generator().manual_seed(seed)
    data = torch.rand(8, *built.spec.shape, generator=generator) * 2 - 1
    return Batch(data), built.parts.draw_latents(8, generator)


def check_first_update(gen, loss, reg, backend):
    """One update's terms and gradients of each side, compiled against eager."""
    try:
        built = pipeline(gen, loss, reg)
    except Incompatible:
        return False  # traits forbid it; tests of combinations hold the reason
    for side in SIDES:
        net, function = built.parts.net(side), losses(built.parts, side)
        compiled = torch.compile(function, fullgraph=True, dynamic=False, backend=backend)
        found = []
        buffers = {k: v.clone() for k, v in net.named_buffers()}
        for run in (function, compiled):
            for name, buffer in net.named_buffers():
                buffer.copy_(buffers[name])
            torch.manual_seed(0)
            net.zero_grad()
            with only(net, built.parts.net(SIDES[side == SIDES[0]])):
                total, labels, values, _ = run(
                    *batch(built, 0), torch.tensor(0.3), built.parts.due(side, 0)
                )
                total.backward()
            found.append(
                (
                    labels,
                    values,
                    torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None]),
                )
            )
        (names_a, values_a, gradient_a), (names_b, values_b, gradient_b) = found
        assert names_a == names_b
        torch.testing.assert_close(values_b, values_a, rtol=1e-4, atol=1e-6)
        assert torch.dist(gradient_a, gradient_b) <= 1e-4 * gradient_a.norm() + 1e-9, (
            side,
            gen,
            loss,
            reg,
        )
    return True


@pytest.fixture(autouse=True)
def same_random_numbers():
    """inductor would draw other random numbers than eager."""
    before = torch._inductor.config.fallback_random
    torch._inductor.config.fallback_random = True
    torch._dynamo.reset()
    yield
    torch._inductor.config.fallback_random = before


@pytest.mark.parametrize(("gen", "loss", "reg"), list(covering()), ids=str)
def test_update_is_one_graph(gen, loss, reg):
    assert check_first_update(gen, loss, reg, "aot_eager"), "traits forbid it"


@pytest.mark.slow
@pytest.mark.parametrize("gen", names("generator"))
@pytest.mark.parametrize("loss", names("loss"))
def test_every_combination_is_one_graph(gen, loss):
    for reg in [None, *names("regularizer")]:
        torch._dynamo.reset()
        check_first_update(gen, loss, reg, "aot_eager")


def ten_updates(gen, loss, reg, mode):
    """Losses of ten updates, and the weights after them."""
    built = pipeline(gen, loss, reg)
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
@pytest.mark.parametrize(("gen", "loss", "reg"), singles(), ids=str)
def test_engines_agree_after_ten_updates(gen, loss, reg):
    """Through inductor, as users run it."""
    losses, weights = ten_updates(gen, loss, reg, "eager")
    compiled_losses, compiled_weights = ten_updates(gen, loss, reg, "compiled")
    torch.testing.assert_close(compiled_losses, losses, rtol=2e-3, atol=2e-4)
    assert torch.dist(compiled_weights, weights) <= 1e-3 * weights.norm()
