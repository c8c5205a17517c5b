"""R3GAN's nets: parameters, how they begin, resampling, sizes, classes, and one graph with both
penalties.
"""

import math
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from ganzoo_plugins.r3gan.blocks import ResidualBlock, smooth_downsample, smooth_upsample
from one_graph import check_one_graph
from torch import nn

from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.config.schedules import followed
from ganzoo.contracts import Batch, Spec
from ganzoo.engine.engine import SIDES
from ganzoo.errors import Incompatible

REGISTRY = zoo().registry


def create(kind, shape, classes=0, **options):
    return REGISTRY.create(kind, "r3gan", Spec(shape, classes), **options)


def count(net):
    return sum(p.numel() for p in net.parameters())


# Parameters.


def block(width, group):
    wide = 2 * width
    return width * wide + wide * group * 9 + wide * width + 2 * wide


def changes(widths):
    return sum(a * b for a, b in pairwise(widths) if a != b)


PRESETS = {  # side, classes -> widths from the base up, channels of a group, counts
    (32, 0): ([768] * 4, 16, 20_732_160, 20_683_776),  # the 20.73 M and 20.68 M
    (32, 10): ([768] * 4, 16, 20_781_952, 21_280_512),
    (64, 0): ([768] * 4 + [384], 16, 22_429_824, 22_381_440),
    (256, 0): ([768] * 4 + [384, 192, 96], 16, 23_057_952, 23_009_568),
    (32, 1000): ([1536] * 4, 32, 82_914_304, 86_548_992),
    (64, 1000): ([1536] * 5, 32, 103_570_432, 107_205_120),
}


@pytest.mark.parametrize(("side", "classes"), PRESETS)
def test_presets_have_the_parameters_of_their_formulas(side, classes):
    widths, group, drawing, judging = PRESETS[side, classes]
    first, last, told = widths[0], widths[-1], 1 if classes else 0
    body = sum(2 * block(width, group) for width in widths) + changes(widths)
    generator = body + 16 * first + 64 * (1 + told) * first + 3 * last + 64 * classes
    discriminator = body + 16 * first + 3 * last + (first * (first + classes) if told else first)
    assert (generator, discriminator) == (drawing, judging)
    options = {"width": first, "group_size": group, "labels": bool(told)}
    if widths == [1536] * 5:
        options["widths"] = "even"
    with torch.device("meta"):
        nets = [create(k, (3, side, side), classes, **options) for k in KINDS]
    assert [count(net) for net in nets] == [drawing, judging]
    groups = nets[0].body[0].conv2.groups
    assert groups == 96  # the published cardinality


KINDS = ("generator", "discriminator")
RECIPES = {  # recipe -> side, classes, batch, gamma from and to
    "r3gan-cifar10": (32, 10, 512, 0.05, 0.005),
    "r3gan-ffhq-64": (64, 0, 256, 2.0, 0.2),
    "r3gan-ffhq-256": (256, 0, 256, 150.0, 15.0),
    "r3gan-imagenet-32": (32, 1000, 4096, 0.5, 0.05),
    "r3gan-imagenet-64": (64, 1000, 4096, 1.0, 0.1),
    "r3gan-stacked-mnist": (32, 0, 512, 1.0, 0.1),
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_its_preset(name):
    side, classes, batch, start, end = RECIPES[name]
    recipe = configuration.settings(REGISTRY.get("recipe", name).recipe())
    tree = configuration.check(configuration.merge(configuration.defaults(), recipe))
    assert (tree.train.batch_size, tree.loss.name) == (batch, "rpgan")
    over = 2_000_000 if name == "r3gan-stacked-mnist" else tree.train.images
    for penalty in ("r1", "r2"):  # both weigh |g|² by gamma / 2
        weight = tree.reg[penalty]["weight"]
        assert REGISTRY.create("regularizer", penalty).of(torch.ones(4, 3)).item() == 1.5
        found = [followed(weight)(images, 10**9) for images in (0, over // 2, over, 2 * over)]
        assert found == pytest.approx([start, (start + end) / 2, end, end])
    for optimizer in (tree.optim.gen, tree.optim.disc):
        betas = [followed(optimizer.options["betas"])(images, 10**9) for images in (0, over)]
        assert betas == [[0.0, 0.9], [0.0, 0.99]]
    with torch.device("meta"):
        nets = [
            create(kind, (3, side, side), classes, **options.options)
            for kind, options in zip(KINDS, (tree.gen, tree.disc), strict=True)
        ]
    assert tuple(count(net) for net in nets) == PRESETS[side, classes][2:]
    assert nets[0].latent_dim == 64


# How they begin.


def test_a_branch_begins_as_zero_and_its_weights_as_the_paper_scales_them():
    torch.manual_seed(0)
    gain = math.sqrt(2 / 1.04)
    for blocks in (2, 8):
        layer = ResidualBlock(64, group_size=16, blocks=blocks)
        x = torch.randn(2, 64, 4, 4)
        assert torch.equal(layer(x), x)
        assert not layer.conv3.weight.any()
        assert not layer.conv1.bias.any() and not layer.conv2.bias.any()
        for weight, inputs in ((layer.conv1.weight, 64), (layer.conv2.weight, 16 * 9)):
            wanted = gain * blocks ** (-1 / 4) / math.sqrt(inputs)
            assert weight.std().item() == pytest.approx(wanted, rel=0.05)
        nn.init.ones_(layer.conv3.weight)
        assert not torch.equal(layer(x), x)


def test_nets_begin_as_resampling_alone():
    """All blocks are the identity: what is left is the base, interpolated and painted."""
    torch.manual_seed(0)
    generator = create("generator", (3, 16, 24), width=24, group_size=16)
    z = torch.randn(2, 64)
    base = torch.einsum("nc,chw->nchw", z @ generator.project.weight.T, generator.basis)
    wanted = generator.paint(smooth_upsample(smooth_upsample(base))).tanh()
    torch.testing.assert_close(generator(z), wanted)
    discriminator = create("discriminator", (3, 16, 24), width=24, group_size=16)
    x = torch.rand(2, 3, 16, 24) * 2 - 1
    maps = smooth_downsample(smooth_downsample(discriminator.extract(x)))
    summed = torch.einsum("nchw,chw->nc", maps, discriminator.basis)
    wanted = (summed @ discriminator.judge.weight.T).squeeze(1)
    torch.testing.assert_close(discriminator(x), wanted)


def test_the_other_weights_keep_the_variance():
    torch.manual_seed(0)
    generator = create("generator", (3, 8, 8), 9, width=128, labels=True)
    discriminator = create("discriminator", (3, 8, 8), 9, width=128, labels=True)
    for weight, wanted in (
        (generator.basis, 1),
        (generator.project.weight, 1 / math.sqrt(128)),
        (generator.paint.weight, 1 / math.sqrt(128)),
        (generator.classes.weight, 1 / 3),
        (discriminator.basis, 1 / 4),
        (discriminator.judge.weight, 1 / math.sqrt(128)),
        (discriminator.extract.weight, 1 / math.sqrt(3)),
        (discriminator.classes.weight, 1 / 3 / math.sqrt(128)),
    ):
        assert weight.std().item() == pytest.approx(wanted, rel=0.15)


# Resampling.


def along(x, function):
    """A function of a row, along both sides of maps."""
    return function(function(x).transpose(2, 3)).transpose(2, 3)


def test_resampling_is_the_filter_1331():
    """By matrices, in float64: zeros between pixels, [1, 2, 1] of every pixel twice."""
    x = torch.randn(2, 3, 6, 10, dtype=torch.float64)

    def matrix(length):
        """[2 length, length]: what each pixel gives to those of twice the size."""
        grown = torch.zeros(2 * length, length, dtype=torch.float64)
        for place in range(length):
            twice = [0.0] * (2 * length + 4)
            for near, much in ((-1, 1), (0, 2), (1, 1)):  # [1, 2, 1] / 4 of both halves
                for half in (0, 1):
                    twice[2 * place + half + near + 2] += much / 4
            grown[:, place] = torch.tensor(twice[2:-2], dtype=torch.float64)
        return grown

    wanted = matrix(6) @ x @ matrix(10).T
    torch.testing.assert_close(smooth_upsample(x), wanted)
    halved = matrix(3).T / 2 @ x @ matrix(5) / 2
    torch.testing.assert_close(smooth_downsample(x), halved)
    inside = smooth_upsample(torch.ones(1, 1, 4, 4))[..., 1:-1, 1:-1]
    assert (inside == 1).all()
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64) / 8
    kernel = torch.outer(taps, taps).expand(3, 1, 4, 4)
    by_convolution = F.conv2d(x, kernel, stride=2, padding=1, groups=3)
    torch.testing.assert_close(smooth_downsample(x), by_convolution)


# Sizes and classes.


@pytest.mark.parametrize(
    "shape", [(1, 8, 8), (3, 16, 24), (4, 28, 28), (2, 10, 14), (3, 64, 64)], ids=str
)
def test_every_size_that_is_a_doubled_base(shape):
    torch.manual_seed(0)
    generator, discriminator = (create(kind, shape, width=8, blocks=1) for kind in KINDS)
    for net in (generator, discriminator):
        for name, p in net.named_parameters():
            if "conv3" in name:
                nn.init.normal_(p, 0, 0.1)
    samples = generator(generator.draw_latents(3))
    assert samples.shape == (3, *shape) and samples.abs().max() <= 1
    discriminator(samples).square().sum().backward()
    for net in (generator, discriminator):
        for key, p in net.named_parameters():
            assert p.grad is not None and p.grad.any(), key


def test_what_is_not_possible_is_one_line():
    for kind, section in zip(KINDS, ("gen", "disc"), strict=True):
        with pytest.raises(Incompatible, match=r"r3gan: .* data.resolution = '16x24'"):
            create(kind, (3, 17, 23), width=8)
        line = rf"40 channels are no whole groups of 16; .*: {section}\.width = 32"
        with pytest.raises(Incompatible, match=line):
            create(kind, (3, 16, 16), width=20)
        create(kind, (3, 16, 16), width=32)


def test_stages_above_32_pixels_halve():
    assert create("generator", (1, 128, 128), width=32).widths == [32, 32, 32, 32, 16, 8]
    assert create("discriminator", (1, 128, 128), width=32).widths == [8, 16, 32, 32, 32, 32]
    assert create("generator", (1, 64, 64), width=8, widths="even").widths == [8] * 5


def test_the_logit_is_the_product_of_sample_and_class():
    torch.manual_seed(0)
    net = create("discriminator", (1, 8, 8), 4, width=8, labels=True)
    x, labels = torch.rand(3, 1, 8, 8), torch.tensor([3, 0, 3])
    vectors = net.features(x) @ net.judge.weight.T
    wanted = torch.stack([v @ net.classes.weight[y] for v, y in zip(vectors, labels, strict=True)])
    torch.testing.assert_close(net(x, labels), wanted)
    net = create("discriminator", (1, 8, 8), 4, width=8, labels=True, head="classify")
    assert not net.conditional and net.heads == ("classify",)
    assert net.classify(net.features(x)).shape == (3, 4)
    plain = create("discriminator", (1, 8, 8), 4, width=8)
    assert not plain.conditional and plain.heads == ()


def test_the_class_stands_beside_the_latents():
    torch.manual_seed(0)
    net = create("generator", (1, 8, 8), 4, width=8, labels=True)
    z, labels = torch.randn(2, 64), torch.tensor([1, 3])
    told = torch.cat([z, net.classes.weight[labels]], 1) @ net.project.weight.T
    wanted = net.paint(net.body(told[:, :, None, None] * net.basis)).tanh()
    torch.testing.assert_close(net(z, labels), wanted)


# Training.


@pytest.mark.slow
def test_an_update_with_both_penalties_is_one_graph():
    tree = {
        "gen": {"name": "r3gan", "width": 16, "blocks": 1, "group_size": 8, "labels": True},
        "disc": {"name": "r3gan", "width": 16, "blocks": 1, "group_size": 8, "labels": True},
        "loss": {"name": "rpgan"},
        "reg": {"r1": {"weight": 1.0}, "r2": {"weight": 1.0}},
        "data": {"resolution": 8},
        "train": {"images": 64, "batch_size": 4, "device": "cpu", "engine": "eager"},
    }
    built = assemble(
        configuration.check(configuration.merge(configuration.defaults(), tree)), REGISTRY
    )
    torch.manual_seed(1)
    for side in SIDES:
        for name, p in built.parts.net(side).named_parameters():
            if "conv3" in name:
                nn.init.normal_(p, 0, 0.1)
    batch = Batch(torch.rand(4, *built.spec.shape) * 2 - 1, torch.arange(4))
    latents = built.parts.draw_latents(4)
    check_one_graph(built, batch, latents)
