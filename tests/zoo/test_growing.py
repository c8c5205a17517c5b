"""ProGAN's growing as a number that moves, on StyleGAN2's skip nets."""

import pytest
import torch
from ganzoo_plugins.stylegan2.growing import fade
from torch.nn.functional import interpolate

import ganzoo
from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.contracts import Spec
from ganzoo.generate.generator_file import make_header
from ganzoo.training.loop import Training

SPEC = Spec((3, 32, 32))
SMALL = {"width": 4, "mapping": 1}
MOVES = {"from": 0.0, "to": 1.0}


def nets(**options):
    torch.manual_seed(0)
    generator = ganzoo.create("generator", "progan", SPEC, latent_dim=8, **SMALL, **options).eval()
    return generator, ganzoo.create("discriminator", "progan", SPEC, **SMALL, **options)


def test_stages_come_in_one_after_another():
    found = [[fade(g, stage, 4) for stage in (1, 2, 3, 4)] for g in (0.0, 0.125, 0.5, 0.875, 1.0)]
    assert found == [[0, 0, 0, 0], [0.5, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0.5], [1, 1, 1, 1]]
    moved = [float(fade(torch.tensor(0.125), stage, 4)) for stage in (1, 2)]
    assert moved == [0.5, 0.0]


def test_grown_nets_are_stylegan2s():
    generator, discriminator = nets()
    other = ganzoo.create("generator", "stylegan2", SPEC, latent_dim=8, **SMALL).eval()
    judge = ganzoo.create("discriminator", "stylegan2", SPEC, architecture="skip", **SMALL)
    other.load_state_dict(generator.state_dict())
    judge.load_state_dict(discriminator.state_dict())
    latents = generator.draw_latents(4)
    samples = []
    for net in (generator, other):
        torch.manual_seed(1)
        samples.append(net(latents))
    assert torch.equal(*samples)
    assert torch.equal(discriminator(samples[0]), judge(samples[0]))


@pytest.mark.parametrize("stages", [0, 1, 2])
def test_what_is_not_there_yet_draws_and_sees_nothing(stages):
    """An image of `stages` stages has no more detail than one of that size, and the judge sees
    none that is finer.
    """
    generator, discriminator = nets(grown=stages / 3)
    side = 4 << stages
    image = torch.atanh(generator(generator.draw_latents(2)).double().clamp(-1 + 1e-9, 1 - 1e-9))
    spectrum = torch.fft.fft2(image).abs()
    fine = spectrum[..., side // 2 + side // 4 : -(side // 2 + side // 4) or None, :]
    assert fine.square().sum() < 0.02 * spectrum.square().sum()
    samples = torch.randn(4, 3, 32, 32, requires_grad=True)
    slope = torch.autograd.grad(discriminator(samples).sum(), samples)[0]
    small = interpolate(slope, size=side, mode="area")
    rough = interpolate(small, size=32, mode="bilinear")
    assert (slope - rough).square().sum() < 0.35 * slope.square().sum()
    unused = [*discriminator.blocks][: 3 - stages]
    given = torch.autograd.grad(
        discriminator(samples).square().sum(),
        [p for block in unused for p in block.parameters()],
        allow_unused=True,
    )
    assert all(slope is None or not slope.any() for slope in given)


def pipeline(engine, grown):
    tree = configuration.defaults()
    parts = {
        "data": {"resolution": 8},
        "gen": {"name": "progan", "latent_dim": 8, "mixing": 0.0, "grown": grown, **SMALL},
        "disc": {"grown": grown, **SMALL},
        "loss": {"name": "nonsat"},
        "train": {"images": 8 * 6, "batch_size": 8, "device": "cpu"},
        "log": {"images": 48},
    }
    built = assemble(configuration.check(configuration.merge(tree, parts)), zoo().registry)
    built.engine = engine
    return built


@pytest.mark.slow
def test_compiled_updates_follow_the_schedule_in_one_graph(monkeypatch):
    graphs, compile_ = [], torch.compile

    def keep(graph, inputs):
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", lambda f, **k: compile_(f, **{**k, "backend": keep}))
    ends = []
    for engine in ("eager", "compiled"):
        run = Training(pipeline(engine, MOVES))
        torch.manual_seed(5)
        run.run()
        ends.append(run.pipeline.parts.discriminator.state_dict())
        assert run.engine.mode == engine
        grown = run.pipeline.parts.generator.grown
        assert float(grown) == pytest.approx(40 / 48), "of the last round"
        assert torch.equal(run.pipeline.average.net.grown, grown)
        assert make_header(run.pipeline, 24, {}).options["grown"] == pytest.approx(0.5)
    assert len(graphs) == 2, "one a side"
    for name, value in ends[0].items():
        torch.testing.assert_close(ends[1][name], value, rtol=1e-3, atol=1e-5)
