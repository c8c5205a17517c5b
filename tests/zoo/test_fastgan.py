"""FastGAN's nets and its penalty: parameters, excitation by hand, judges, decoders, sizes, and one
graph with R1 and R2.
"""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from ganzoo_plugins.fastgan.blocks import Excitation, Noise
from ganzoo_plugins.fastgan.discriminator import quarters
from one_graph import check_one_graph
from torch import nn

from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.contracts import Batch, Spec, Step
from ganzoo.errors import Incompatible

REGISTRY = zoo().registry


def create(kind, shape, **options):
    return REGISTRY.create(kind, "fastgan", Spec(shape), **options)


def count(net):
    return sum(p.numel() for p in net.parameters())


def gated(inputs, outputs, noise=0):
    """A 3x3 convolution to twice the outputs, and its batch norm."""
    return 18 * inputs * outputs + 4 * outputs + noise


def excitation(small, large):
    return 16 * small * large + large * large


def down(inputs, outputs):
    kernels = 16 * inputs * outputs + 9 * outputs * outputs + inputs * outputs
    return kernels + 3 * 2 * outputs


def decoder(inputs):
    widths = (inputs, 128, 64, 64, 32)
    return sum(gated(a, b) for a, b in pairwise(widths)) + 27 * 32


@pytest.mark.parametrize("side", [256, 512, 1024])
def test_nets_have_the_parameters_of_the_published_widths(side):
    """Widths 64, latents 256, as the authors' code builds them, without its second output."""
    stages = {256: 6, 512: 7, 1024: 8}[side]
    wide = [1024, 512, 256, 128, 128, 64, 32, 16, 8][: stages + 1]
    drawing = 256 * 2048 * 16 + 2 * 2048 + 27 * wide[-1]
    for stage, (a, b) in enumerate(pairwise(wide)):
        drawing += gated(a, b, 1) + gated(b, b, 1) if stage % 2 == 0 else gated(a, b)
    drawing += sum(excitation(wide[s - 4], wide[s]) for s in (4, 5, 6, 7) if s <= stages)
    narrow = [16, 32, 64, 128, 256, 512]
    judging = {256: 27 * 16, 512: 48 * 16, 1024: 48 * 8 + 16 * 8 * 16 + 2 * 16}[side]
    judging += sum(down(a, b) for a, b in pairwise(narrow))
    judging += sum(excitation(narrow[i], narrow[i + 3]) for i in range(3))
    judging += 512 * 1024 + 2 * 1024 + 16 * 1024  # the judge
    judging += 48 * 32 + sum(16 * a * b + 2 * b for a, b in pairwise((32, 64, 128, 256)))
    judging += 16 * 256
    redrawing = decoder(512) + decoder(256) + decoder(256)
    with torch.device("meta"):
        generator = create("generator", (3, side, side))
        discriminator = create("discriminator", (3, side, side))
        whole = create("discriminator", (3, side, side), decode=True)
        logits = whole(torch.zeros(2, 3, side, side))
    assert count(generator) == drawing
    assert (count(discriminator), count(whole)) == (judging, judging + redrawing)
    assert [tuple(judge.shape) for judge in logits] == [(2, 5, 5), (2, 5, 5)]


def test_excitation_by_hand():
    torch.manual_seed(0)
    layer = Excitation(3, 2).double()
    small = torch.randn(2, 3, 8, 12, dtype=torch.float64)
    large = torch.randn(2, 2, 6, 5, dtype=torch.float64)
    pooled = torch.empty(2, 3, 4, 4, dtype=torch.float64)
    for row in range(4):
        for column in range(4):
            part = small[:, :, 2 * row : 2 * row + 2, 3 * column : 3 * column + 3]
            pooled[:, :, row, column] = part.mean((2, 3))
    hidden = torch.einsum("nchw,ochw->no", pooled, layer.squeeze.weight)
    hidden = hidden * torch.sigmoid(hidden)
    scale = torch.sigmoid(hidden @ layer.excite.weight[:, :, 0, 0].T)
    torch.testing.assert_close(layer(small, large), large * scale[:, :, None, None])


def test_which_stages_excite():
    for side, stages in ((8, [1]), (32, [3]), (64, [4]), (128, [4, 5]), (512, [4, 5, 6, 7])):
        with torch.device("meta"):
            net = create("generator", (3, side, side), width=16)
        assert [int(stage) for stage in net.excite] == stages
        for stage in stages:
            assert net.excite[str(stage)].squeeze.in_channels == net.widths[stage - net.span]


def test_noise_is_alike_for_channels_and_begins_at_nothing():
    torch.manual_seed(0)
    layer, x = Noise(), torch.randn(2, 3, 4, 4)
    assert torch.equal(layer(x), x)
    nn.init.ones_(layer.weight)
    added = layer(x) - x
    torch.testing.assert_close(added[:, :1].expand_as(added), added)
    assert added.std().item() > 0.5 and not torch.allclose(layer(x), layer(x))
    net = create("generator", (1, 16, 16), width=4, latent_dim=8)
    assert all(not m.weight.any() for m in net.modules() if isinstance(m, Noise))


@pytest.mark.parametrize(
    "shape", [(1, 8, 8), (3, 16, 24), (4, 32, 32), (2, 28, 20), (1, 64, 64)], ids=str
)
def test_every_size_that_is_a_doubled_base(shape):
    torch.manual_seed(0)
    generator = create("generator", shape, width=4, latent_dim=16)
    net = create("discriminator", shape, width=4, decode=True)
    for module in generator.modules():
        if isinstance(module, Noise):
            nn.init.ones_(module.weight)
    samples = generator(generator.draw_latents(5))
    assert samples.shape == (5, *shape) and samples.abs().max() <= 1
    features = net.features(samples)
    logits = net.score(features)
    assert len(logits) == (1 if shape[1] == 8 else 2)
    drawn, wanted = net.decoders(features), net.decoders.wanted(samples)
    assert drawn.shape == wanted.shape and drawn.shape[1] == (1 if shape[1] == 8 else 3)
    (drawn.square().sum() + sum(one.square().sum() for one in logits)).backward()
    for each in (generator, net):
        for key, p in each.named_parameters():
            assert p.grad is not None and p.grad.any(), key


def test_other_sizes_are_one_line():
    for kind in ("generator", "discriminator"):
        with pytest.raises(Incompatible, match=r"fastgan: .* data.resolution = '16x24'"):
            create(kind, (3, 17, 23), width=4)


# Decoders.


def test_decoders_learn_from_their_penalty_alone():
    torch.manual_seed(0)
    net = create("discriminator", (3, 32, 32), width=4, decode=True)
    assert net.heads == ("decoders",)
    assert create("discriminator", (3, 32, 32), width=4).heads == ()
    generator = create("generator", (3, 32, 32), width=4, latent_dim=8)
    data, latents = torch.rand(4, 3, 32, 32) * 2 - 1, generator.draw_latents(4)
    sum(one.sum() for one in net(data)).backward()
    assert all(p.grad is None for p in net.decoders.parameters())
    net.zero_grad()
    step = Step("discriminator", generator, net, data, latents)
    part = REGISTRY.create("regularizer", "reconstruct")
    found = part.penalty(step)
    found.backward()
    assert all(p.grad is not None and p.grad.any() for p in net.decoders.parameters())
    assert net.first[0].weight.grad.any()  # and the maps that they read
    assert all(p.grad is None for p in net.judge.parameters())
    assert not step._knows("_drawn")  # generated samples are not even made
    assert part.on("discriminator") and not part.on("generator")
    away = net.decoders(net.features(data)) - net.decoders.wanted(data)
    torch.testing.assert_close(found, away.abs().mean())
    squared = REGISTRY.create("regularizer", "reconstruct", distance="l2")
    torch.testing.assert_close(squared.penalty(step), away.square().mean())


def test_what_decoders_should_draw():
    x = torch.randn(5, 3, 32, 48)
    net = create("discriminator", (3, 32, 48), width=4, decode=True)
    whole, corner, small = net.decoders.wanted(x).unbind(1)
    torch.testing.assert_close(whole, F.avg_pool2d(x, 2))
    assert torch.equal(whole, small)
    places = [(0, 0), (0, 24), (16, 0), (16, 24), (0, 0)]
    for sample, part, (row, column) in zip(x, corner, places, strict=True):
        torch.testing.assert_close(part, sample[:, row : row + 16, column : column + 24])
    assert torch.equal(quarters(x), corner)


# Training.


def pipeline(**sections):
    tree = {
        "gen": {"name": "fastgan", "width": 4, "latent_dim": 8},
        "disc": {"name": "fastgan", "width": 4},
        "loss": {"name": "hinge"},
        "data": {"resolution": 16},
        "train": {"images": 64, "batch_size": 4, "device": "cpu", "engine": "eager"},
    }
    merged = configuration.merge(configuration.merge(configuration.defaults(), tree), sections)
    return assemble(configuration.check(merged), REGISTRY)


def test_penalties_get_what_they_need():
    """Batch norm gives way to layer norm under a slope penalty, and decoders are built."""
    built = pipeline(reg={"reconstruct": {}, "sn": {"side": "both"}})
    assert not built.parts.discriminator.per_sample
    assert built.parts.discriminator.heads == ("decoders",)
    assert pipeline(reg={"r1": {}}).parts.discriminator.per_sample
    with pytest.raises(Incompatible, match=r"needs a discriminator with the trait 'decoders'"):
        pipeline(disc={"name": "resnet", "width": 4}, reg={"reconstruct": {}})


@pytest.mark.slow
def test_an_update_with_all_penalties_is_one_graph():
    built = pipeline(reg={"reconstruct": {}, "r1": {"weight": 1.0}, "r2": {"weight": 1.0}})
    data = torch.rand(4, *built.spec.shape) * 2 - 1
    batch, latents = Batch(data, torch.arange(4)), built.parts.draw_latents(4)
    check_one_graph(built, batch, latents)
