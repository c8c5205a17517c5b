"""GAT's nets and game: parameters, attention by a loop, blocks that begin as almost nothing, sizes,
noise levels, and one graph with slopes by differences and by derivatives.
"""

import math

import pytest
import torch
from ganzoo_plugins.gat.blocks import SIZES, ModulatedBlock, Patches, Shape
from ganzoo_plugins.gat.game import NoiseLevels
from one_graph import check_one_graph
from torch import nn

from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.contracts import Batch, Spec, Update
from ganzoo.engine.engine import SIDES
from ganzoo.errors import Incompatible
from ganzoo.nn import MultiHeadAttention, heads_of, rms_norm, use_native_layers

REGISTRY = zoo().registry
NARROW = {"width": 16, "depth": 2}


def create(kind, shape, classes=0, **options):
    return REGISTRY.create(kind, "gat", Spec(shape, classes), **options)


def count(net):
    return sum(p.numel() for p in net.parameters())


# Nets.


def linear(inputs, outputs):
    return inputs * outputs + outputs


def drawing(depth, width, pixels, classes, tokens):
    """Parameters of a generator: embedding, mapping, tokens, modulated blocks, painters."""
    mapping = classes * width + linear(64 + (width if classes else 0), width) + linear(width, width)
    block = linear(width, 3 * width) + linear(width, width) + linear(width, 4 * width)
    block += linear(width, 4 * width) + linear(4 * width, width)
    return mapping + tokens * width + depth * (block + linear(width, pixels))


def judging(depth, width, pixels, classes, tokens):
    """Parameters of a discriminator: patches, places, the judged token, scaled blocks, head."""
    block = linear(width, 3 * width) + linear(width, width)
    block += linear(width, 4 * width) + linear(4 * width, width) + 4 * width
    first = linear(pixels, width) + (tokens + 1) * width
    return first + depth * block + linear(width, 1) + classes * width


@pytest.mark.parametrize(
    ("size", "drawn", "judged"),
    [
        ("S", 29_247_936, 21_783_169),
        ("B", 115_708_608, 86_033_665),
        ("L", 406_817_152, 303_614_977),
        ("XL", 599_655_616, 447_795_073),
    ],
)
def test_nets_have_the_parameters_of_their_size(size, drawn, judged):
    """At 32x32x4 and patch 2; the paper states 602 million for XL's generator."""
    depth, width, _ = {
        "S": (12, 384, 6),
        "B": (12, 768, 12),
        "L": (24, 1024, 16),
        "XL": (28, 1152, 16),
    }[size]
    options = {"size": size, "labels": True}
    with torch.device("meta"):
        generator = create("generator", (4, 32, 32), 1000, **options)
        discriminator = create("discriminator", (4, 32, 32), 1000, **options)
        plain = create("discriminator", (3, 32, 32), size=size)
    assert count(generator) == drawing(depth, width, 16, 1000, 256) == drawn
    assert count(discriminator) == judging(depth, width, 16, 1000, 256) == judged
    assert count(plain) == judging(depth, width, 12, 0, 256)
    if size == "XL":
        assert abs(count(generator) / 602e6 - 1) < 0.01
    assert generator.blocks[0].attend.heads == SIZES[size][2]


def test_heads_follow_a_width():
    """Of 64 numbers or more, and whole."""
    found = {width: heads_of(width) for width in (8, 63, 64, 128, 200, 384, 768, 1152)}
    assert found == {8: 1, 63: 1, 64: 1, 128: 2, 200: 2, 384: 6, 768: 12, 1152: 18}
    net = create("generator", (1, 8, 8), width=192, depth=1)
    assert net.blocks[0].attend.heads == 3 and len(net.blocks) == 1


def test_attention_is_a_loop_over_tokens():
    """Values and gradients in float64, of both forms."""
    torch.manual_seed(0)
    layer, x = MultiHeadAttention(6, 2).double(), torch.randn(2, 5, 6, dtype=torch.float64)
    whole = layer.read(x)
    read = torch.zeros_like(x)
    for sample in range(2):
        for head in range(2):
            query, key, value = (
                whole[sample, :, 6 * part + 3 * head : 6 * part + 3 * head + 3] for part in range(3)
            )
            for token in range(5):
                weights = torch.exp(key @ query[token] / math.sqrt(3))
                read[sample, token, 3 * head : 3 * head + 3] = weights @ value / weights.sum()
    expected = layer.out(read)
    x.requires_grad_()
    found = []
    for native in (False, True):
        layer.native = native
        y = layer(x)
        torch.testing.assert_close(y, expected)
        found.append(torch.autograd.grad(y.square().sum(), (x, *layer.parameters())))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)
    net = create("discriminator", (1, 8, 8), **NARROW)
    for slopes in (True, False):
        use_native_layers(net, slopes=slopes)
        assert all(block.attend.native is not slopes for block in net.blocks)


def test_patches_by_hand():
    x = torch.arange(2 * 3 * 4 * 6).view(2, 3, 4, 6)
    patches = Patches(2, 3, 2)
    tokens = patches.cut(x)
    assert tokens.shape == (2, 6, 12)
    for row in range(2):
        for column in range(3):
            part = x[:, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            assert torch.equal(tokens[:, 3 * row + column], part.flatten(1))
    assert torch.equal(patches.join(tokens, 3), x)


def test_a_generators_blocks_begin_as_almost_nothing():
    """Modulations begin near zero; at zero a block is the identity."""
    torch.manual_seed(0)
    block = ModulatedBlock(Shape(1, 128, 2))
    x, w = torch.randn(8, 16, 128), rms_norm(torch.randn(8, 128))
    gains = block.modulate(w)
    assert 0.08 < gains.std() < 0.12
    assert torch.dist(block(x, w), x) < 0.15 * x.norm()
    nn.init.zeros_(block.modulate.weight)
    assert torch.equal(block(x, w), x)
    nn.init.ones_(block.modulate.bias)  # 1 + g is two, a is one
    h = x + block.attend(2 * rms_norm(x))
    torch.testing.assert_close(block(x, w), h + block.feed(2 * rms_norm(h)))


def test_a_discriminators_scales_are_learnt_from_a_tenth():
    net = create("discriminator", (1, 8, 8), **NARROW)
    for block in net.blocks:
        assert (block.scales == 0.1).all() and not block.gains.any()
        x = torch.randn(2, 4, 16)
        h = x + 0.1 * block.attend(rms_norm(x))
        torch.testing.assert_close(block(x), h + 0.1 * block.feed(rms_norm(h)))


@pytest.mark.parametrize(
    ("shape", "patch"),
    [((1, 8, 8), 1), ((3, 16, 24), 2), ((4, 12, 8), 4), ((2, 14, 21), 7)],
    ids=str,
)
def test_every_size_that_patches_make_up(shape, patch):
    torch.manual_seed(0)
    generator = create("generator", shape, patch=patch, **NARROW)
    net = create("discriminator", shape, patch=patch, **NARROW)
    samples = generator(generator.draw_latents(3))
    assert samples.shape == (3, *shape) and samples.abs().max() <= 1
    assert samples.std(0).mean() > 0.3  # latents tell from the start
    logits = net(samples)
    assert logits.shape == (3,)
    torch.testing.assert_close(net(samples[:1]), logits[:1])
    logits.square().sum().backward()
    for each in (generator, net):
        for key, p in each.named_parameters():
            assert p.grad is not None and p.grad.any(), key


def test_other_sizes_are_one_line():
    for kind in ("generator", "discriminator"):
        with pytest.raises(Incompatible, match=r"gat: .* 2x2; .* data.resolution = '16x24'"):
            create(kind, (3, 17, 23))
        with pytest.raises(Incompatible, match=r"gat works on images"):
            create(kind, (3, 16))


def test_classes_change_what_is_drawn_and_judged():
    torch.manual_seed(0)
    options = {"labels": True, **NARROW}
    generator = create("generator", (1, 8, 8), 3, **options)
    latents, labels = generator.draw_latents(3), torch.tensor([0, 1, 2])
    samples = generator(latents, labels)
    assert torch.dist(samples, generator(latents, labels.roll(1))) > 0.01
    net = create("discriminator", (1, 8, 8), 3, **options)
    features = net.features(samples)
    torch.testing.assert_close(features.square().mean(1), torch.ones(3), atol=1e-2, rtol=0)
    plain = (features @ net.head.judge.weight.T + net.head.judge.bias).squeeze(1)
    vectors = net.head.classes.weight
    expected = plain + torch.stack([features[i] @ vectors[i] for i in range(3)])
    torch.testing.assert_close(net(samples, labels), expected)
    told = create("discriminator", (1, 8, 8), 3, head="classify", **options)
    assert told.heads == ("classify",) and told.classify(features).shape == (3, 3)
    assert not told.conditional and not create("generator", (1, 8, 8), **options).conditional


def test_pictures_of_stages_add_up():
    torch.manual_seed(0)
    net = create("generator", (2, 8, 12), width=16, depth=5)
    latents = net.draw_latents(4)
    each = net.pictures(latents, count=5)
    assert each.shape == (4, 5, 2, 8, 12) and torch.equal(each[:, -1], net(latents))
    pictures = net.pictures(latents, count=3)  # after 1, 3 and 5 of five blocks
    assert torch.equal(pictures, each[:, [0, 2, 4]])
    assert 0.8 < pictures[:, -1].atanh().std() < 1.2
    added = net.patches.cut(each[:, 1].atanh() - each[:, 0].atanh())
    w = rms_norm(net.mapping(latents))
    tokens = net.blocks[1](net.blocks[0](net.tokens.expand(4, -1, -1), w), w)
    torch.testing.assert_close(added, net.paint[1](rms_norm(tokens)), atol=1e-4, rtol=1e-3)


# The game.


class Plain(nn.Module):
    """A generator whose picture is a number."""

    def forward(self, latents, labels=None):
        return torch.full((4000, 2, 2, 1), 3.0)


class Staged(Plain):
    """One whose stages draw other numbers before."""

    stages = 4

    def pictures(self, latents, labels=None, *, count=1):
        numbers = torch.arange(4.0 - count, 4.0)
        return numbers[None, :, None, None, None].expand(4000, count, 2, 2, 1)


@pytest.mark.parametrize("staged", [True, False])
def test_levels_of_noise(staged):
    """Means and deviations of all levels, of real and generated samples; the last has no noise."""
    torch.manual_seed(0)
    game = NoiseLevels(Spec((2, 2, 1)), levels=3, least=0.25)
    nets = {"gen": Staged() if staged else Plain(), "disc": nn.Identity()}
    assert game.roles()["disc"].spec(nets).shape == (6, 2, 1)
    update = Update("discriminator", nets, Batch(torch.full((4000, 2, 2, 1), 5.0)), torch.zeros(4))
    (step,) = game.steps(update)
    shares = (0.25, 0.5, 1.0)
    for found, values in ((step.data, (5, 5, 5)), (step.drawn, (1, 2, 3) if staged else (3,) * 3)):
        assert found.shape == (4000, 6, 2, 1)
        for share, value, seen in zip(shares, values, found.chunk(3, 1), strict=True):
            assert abs(seen.mean() - share * value) < 0.03
            assert abs(seen.std() - math.sqrt(1 - share**2)) < 0.03
        assert (found[:, 4:] == values[-1]).all()
        assert abs(torch.corrcoef(found[:, [0, 2], 0, 0].T)[0, 1]) < 0.06


def test_one_level_is_the_plain_game():
    torch.manual_seed(0)
    net = create("generator", (1, 8, 8), **NARROW)
    nets, data = {"gen": net, "disc": None}, torch.rand(4, 1, 8, 8)
    update = Update("discriminator", nets, Batch(data), net.draw_latents(4))
    game = NoiseLevels(Spec((1, 8, 8)), levels=1)
    (step,) = game.steps(update)
    assert torch.equal(step.data, data) and torch.equal(step.drawn, net(update.latents))
    assert game.roles()["disc"].spec(nets).shape == (1, 8, 8)


def pipeline(**sections):
    tree = {
        "gen": {"name": "gat", "width": 8, "depth": 2, "latent_dim": 8},
        "disc": {"name": "gat", "width": 8, "depth": 1},
        "loss": {"name": "rpgan"},
        "data": {"resolution": 8},
        "train": {"images": 64, "batch_size": 4, "device": "cpu", "engine": "eager"},
    }
    merged = configuration.merge(configuration.merge(configuration.defaults(), tree), sections)
    return assemble(configuration.check(merged), REGISTRY)


def test_the_game_takes_any_generator_and_refuses_other_stages():
    built = pipeline(game={"name": "mng", "levels": 3}, gen={"name": "dcgan", "width": 4})
    assert built.parts.discriminator.spec.shape == (3, 8, 8)
    with pytest.raises(Incompatible, match=r"has 2 stages, .* game.levels = 2"):
        pipeline(game={"name": "mng", "levels": 3})


SLOPES = {
    "differences": {"approx-r1": {"weight": 1.0}},
    "derivatives": {"r1": {"weight": 1.0}},
}


@pytest.mark.slow
@pytest.mark.parametrize("slopes", SLOPES)
def test_an_update_is_one_graph(slopes):
    """By relativistic pairs and under guidance: either player's, the discriminator's under R1."""
    built = pipeline(game={"name": "mng", "levels": 2}, reg=SLOPES[slopes])
    judge = built.parts.discriminator
    assert judge.blocks[0].attend.native is (slopes == "differences")
    data = torch.rand(4, *built.spec.shape) * 2 - 1
    batch, latents = Batch(data, torch.arange(4)), built.parts.draw_latents(4)
    sides = SIDES if slopes == "differences" else SIDES[:1]
    check_one_graph(built, batch, latents, sides=sides)


def test_the_recipe_scales_its_rates_by_width():
    """From the README's 2e-4 at width 768."""
    recipe = configuration.settings(REGISTRY.get("recipe", "gat-s").recipe())
    tree = configuration.check(configuration.merge(configuration.defaults(), recipe))
    for optim in (tree.optim.gen, tree.optim.disc):
        assert optim.options["lr"] * SIZES["S"][1] == pytest.approx(2e-4 * 768)
        assert list(optim.options["betas"]) == [0.0, 0.99]
    assert (tree.game.name, tree.game.options["levels"]) == ("mng", 4)
    assert set(tree.reg) == {"approx-r1", "approx-r2"}
