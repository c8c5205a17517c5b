"""The residual nets (resnet, sagan, biggan, biggan-deep): sizes, parameters, classes, attention,
and that each trains compiled, captured, resumed and from its generator file.
"""

import copy
from itertools import pairwise

import pytest
import recorded
import torch
from one_graph import check_one_graph
from torch import nn

import ganzoo
from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.assembly.pipeline import SIDES
from ganzoo.components.loading import zoo
from ganzoo.contracts import Batch, Spec
from ganzoo.engine import capture
from ganzoo.errors import Incompatible, UsageError
from ganzoo.generate.sampling import sample
from ganzoo.io import checkpoints
from ganzoo.nn import (
    INITIALISATIONS,
    ConcatHead,
    ConditionalBatchNorm,
    ResidualDown,
    ResidualUp,
    SelfAttention,
    downsample,
    label_head,
    upsample,
    use_native_layers,
)
from ganzoo.training.loop import Interrupted, Training

NAMES = ["resnet", "sagan", "biggan", "biggan-deep"]
REGISTRY = zoo().registry
SHAPES = [(1, 8, 8), (3, 32, 32), (4, 16, 24), (3, 48, 48), (1, 28, 28), (2, 10, 14)]


def create(kind, name, shape, classes=0, **options):
    return REGISTRY.create(kind, name, Spec(shape, classes), **options)


def nets(name, shape, classes=0, **options):
    return (
        create(kind, name, shape, classes, **options) for kind in ("generator", "discriminator")
    )


def count(net):
    return sum(p.numel() for p in net.parameters())


# Parameters, counted by the formulas of each layer from the published widths.


def conv(inputs, outputs, side):
    return inputs * outputs * side * side + outputs


def up(inputs, outputs):
    norms = 2 * inputs + 2 * outputs
    return norms + conv(inputs, outputs, 3) + conv(outputs, outputs, 3) + conv(inputs, outputs, 1)


def down(inputs, outputs, hidden, shortcut):
    return (
        conv(inputs, hidden, 3)
        + conv(hidden, outputs, 3)
        + (conv(inputs, outputs, 1) if shortcut else 0)
    )


MIMICRY = {  # image -> base, the generator's widths, the discriminator's, the blocks that halve
    32: (4, [256] * 4, [128] * 4, 2),
    48: (6, [512, 256, 128, 64], [64, 128, 256, 512, 1024], 4),
    64: (4, [1024, 512, 256, 128, 64], [64, 128, 256, 512, 1024], 5),
    128: (4, [1024, 1024, 512, 256, 128, 64], [64, 128, 256, 512, 1024, 1024], 5),
}
COUNTS = {
    32: (4_276_739, 1_053_825),
    48: (4_878_083, 10_141_441),
    64: (12_220_675, 10_141_441),
    128: (32_150_787, 29_017_857),
}


@pytest.mark.parametrize("side", MIMICRY)
def test_resnet_has_the_parameters_of_mimicrys_sngan(side):
    base, wide, narrow, halvings = MIMICRY[side]
    drawing = 129 * base * base * wide[0] + 2 * wide[-1] + conv(wide[-1], 3, 3)
    drawing += sum(map(up, wide, wide[1:]))
    judging = down(3, narrow[0], narrow[0], True) + narrow[-1] + 1
    for block, (a, b) in enumerate(pairwise(narrow), 1):
        judging += down(a, b, a, a != b or block < halvings)
    with torch.device("meta"):
        generator, discriminator = nets("resnet", (3, side, side))
        maps = discriminator.blocks(torch.zeros(1, 3, side, side))
    assert (count(generator), count(discriminator)) == (drawing, judging) == COUNTS[side]
    assert maps.shape[2] == side >> halvings
    assert discriminator.sides == [side >> min(i, halvings) for i in range(1, len(narrow) + 1)]


def test_sagan_adds_attention_to_the_parameters_of_resnet():
    with torch.device("meta"):
        for kind, channels in (("generator", 256), ("discriminator", 128)):
            plain, attending = (count(create(kind, n, (3, 32, 32))) for n in ("resnet", "sagan"))
            quarter = channels * channels // 4  # query and key an eighth each; value and out a half
            assert attending - plain == quarter + channels * channels + 1
            assert attending == {"generator": 4_358_660, "discriminator": 1_074_306}[kind]


BIGGAN = {  # google/compare_gan's counts with 1000 classes; attention at its stage there
    # 256 and 512: its discriminator has no shortcut where a block halves without growing
    ("biggan", 128): (70_433_988, 87_982_370, 120),
    ("biggan", 256): (82_097_604, 98_635_298 + conv(768, 768, 1), 140),
    ("biggan", 512): (82_468_068, 98_801_378 + conv(768, 768, 1) + conv(96, 96, 1), 160),
    ("biggan-deep", 128): (50_244_484, 34_590_210, 128),
    # its test of 512x512 paints 128 channels, of which 3 are kept
    ("biggan-deep", 512): (56_163_905 - 125 * (9 * 128 + 1), 38_301_122, 128),
}


@pytest.mark.parametrize(("name", "side"), BIGGAN)
def test_biggan_has_the_parameters_of_compare_gan(name, side, monkeypatch):
    monkeypatch.setitem(INITIALISATIONS, "orthogonal", lambda weight: None)
    drawing, judging, latent_dim = BIGGAN[name, side]
    at = 128 if side == 256 else "auto"  # the generator's
    with torch.device("meta"):
        shape, told = (3, side, side), {"classes": 1000, "labels": True}
        generator = create("generator", name, shape, latent_dim=latent_dim, attention_at=at, **told)
        assert count(generator) == drawing
        assert count(create("discriminator", name, shape, **told)) == judging


def test_biggan_is_as_large_as_its_paper_says():
    drawing, judging, _ = BIGGAN["biggan", 128]
    assert round((drawing + judging) / 1e6, 1) == 158.4  # 158.3 in table 1


# Sizes.


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_size_that_is_a_doubled_base(name, shape):
    generator, discriminator = nets(name, shape, width=8)
    for module in [*generator.modules(), *discriminator.modules()]:
        if isinstance(module, SelfAttention):
            nn.init.ones_(module.gamma)
    samples = generator(generator.draw_latents(3))
    assert samples.shape == (3, *shape) and samples.abs().max() <= 1
    logits = discriminator(samples)
    assert logits.shape == (3,)
    logits.square().sum().backward()
    for net in (generator, discriminator):
        for key, p in net.named_parameters():
            assert p.grad is not None and p.grad.any(), key


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("shape", "near"),
    [
        ((3, 17, 23), "16x24"),
        ((1, 3, 100), "8x100"),
        ((1, 37, 37), "40x40"),
        ((3, 30, 28), "32x28"),
    ],
)
def test_other_sizes_are_refused_with_the_nearest_that_works(name, shape, near):
    for kind in ("generator", "discriminator"):
        with pytest.raises(Incompatible, match=f"the nearest .* data.resolution = '{near}'"):
            create(kind, name, shape, width=2)
        create(kind, name, (shape[0], *map(int, near.split("x"))), width=2)
        with pytest.raises(Incompatible, match=r"works on images, not on points \[2\]"):
            create(kind, name, (2,))


@pytest.mark.parametrize("side", range(8, 130))
def test_a_size_that_is_named_is_possible(side):
    try:
        create("discriminator", "resnet", (1, side, side + 5), width=1)
    except Incompatible as error:
        near = tuple(map(int, error.change["data.resolution"].split("x")))
        create("discriminator", "resnet", (1, *near), width=1)


def test_widths_are_an_option():
    generator, discriminator = nets("resnet", (3, 32, 32), width=4, widths="doubling")
    assert generator.widths == [32, 16, 8, 4]
    assert discriminator.widths == [4, 8, 16, 32, 64]
    generator, discriminator = nets("resnet", (3, 64, 64), width=4, widths="even")
    assert generator.widths == [4] * 5 and discriminator.widths == [4] * 4


# Blocks.


def test_a_1x1_convolution_can_be_exchanged_with_the_change_of_size():
    torch.manual_seed(0)
    x, layer = torch.randn(2, 3, 6, 8), nn.Conv2d(3, 5, 1)
    torch.testing.assert_close(upsample(layer(x)), layer(upsample(x)))
    torch.testing.assert_close(downsample(layer(x)), layer(downsample(x)))
    up = ResidualUp(3, 5, ConditionalBatchNorm)
    branch = up.conv1(upsample(up.norm1(x).relu()))
    wanted = up.conv2(up.norm2(branch).relu()) + up.shortcut(upsample(x))
    torch.testing.assert_close(up(x), wanted)
    down = ResidualDown(3, 5, 4, shrink=True)
    wanted = downsample(down.conv2(down.conv1(x.relu()).relu()) + down.shortcut(x))
    torch.testing.assert_close(down(x), wanted)


def test_a_block_that_changes_nothing_has_no_weights_in_its_shortcut():
    assert isinstance(ResidualDown(4, 4, 4, shrink=False).shortcut, nn.Identity)
    assert isinstance(ResidualDown(4, 4, 4, shrink=True).shortcut, nn.Conv2d)


@pytest.mark.parametrize("shape", [(2, 16, 6, 8), (2, 3, 5, 7)], ids=str)
def test_attention_is_the_same_function_in_both_forms(shape):
    """Values and gradients in float64; at the start it adds nothing."""
    torch.manual_seed(0)
    layer, x = SelfAttention(shape[1]).double(), torch.randn(shape, dtype=torch.float64)
    assert torch.equal(layer(x), x)
    nn.init.ones_(layer.gamma)
    x.requires_grad_()
    found = []
    for native in (False, True):
        layer.native = native
        y = layer(x)
        found.append((y, *torch.autograd.grad(y.square().sum(), (x, *layer.parameters()))))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)
    assert torch.dist(y, x) > 0.01
    use_native_layers(layer, slopes=True)
    assert layer.native is False
    use_native_layers(layer)
    assert layer.native is True


def test_attention_reads_every_pixel():
    torch.manual_seed(0)
    layer, x = SelfAttention(8), torch.randn(1, 8, 4, 6, requires_grad=True)
    nn.init.ones_(layer.gamma)
    layer(x)[0, :, 0, 0].sum().backward()
    assert (x.grad.abs().sum(1) > 0).sum() >= 6  # the strongest of every four


def test_attention_stands_where_it_is_asked_for():
    for at, place in (("auto", 2), (4, 0), (8, 1), (16, 2), (32, 3)):
        net = create("generator", "sagan", (3, 32, 32), width=8, attention_at=at)
        assert [isinstance(b, SelfAttention) for b in net.blocks].index(True) == place
    for at, place in (("auto", 1), (16, 1), (8, 2)):
        net = create("discriminator", "sagan", (3, 32, 32), width=8, attention_at=at)
        assert [isinstance(b, SelfAttention) for b in net.blocks].index(True) == place


@pytest.mark.parametrize("name", NAMES[1:])
def test_attention_at_a_stage_that_is_not_there_is_one_line(name):
    for kind, section, there in (
        ("generator", "gen", "4, 8, 16, 32"),
        ("discriminator", "disc", "8, 16"),
    ):
        line = f"no stage of 15 for attention; there are {there}; .*: {section}.attention_at = 16"
        with pytest.raises(Incompatible, match=line):
            create(kind, name, (3, 32, 32), width=8, attention_at=15)


# Classes.


def test_conditional_batch_norm_begins_as_a_plain_one_and_scales_each_class():
    torch.manual_seed(0)
    plain = ConditionalBatchNorm(3)
    told = ConditionalBatchNorm(3, lambda channels: nn.Embedding(4, channels))
    for layer in (told.scale, told.shift):
        nn.init.zeros_(layer.weight)
    x, labels = torch.randn(6, 3, 4, 4), torch.tensor([0, 1, 2, 3, 0, 1])
    torch.testing.assert_close(told(x, labels), nn.BatchNorm2d(3)(x))
    torch.testing.assert_close(plain(x), nn.BatchNorm2d(3)(x))
    with torch.no_grad():
        told.scale.weight[2], told.shift.weight[2] = 1.0, 5.0
    found, before = told(x, labels), plain(x)
    torch.testing.assert_close(found[2], 2 * before[2] + 5)
    torch.testing.assert_close(found[3], before[3])


@pytest.mark.parametrize("head", ["projection", "concat"])
def test_a_head_joins_class_and_features(head):
    torch.manual_seed(0)
    layer, features = label_head(head, 6, 3), torch.randn(4, 6)
    found = torch.stack([layer(features, torch.full((4,), label)) for label in range(3)])
    assert found.shape == (3, 4)
    between = found[1:] - found[0]  # what the class adds depends on the sample
    assert (between.std(1) > 1e-3).all()
    if head == "concat":
        narrow = ConcatHead(6, 3, width=2)
        assert narrow.hidden.weight.shape == (2, 8) and narrow(
            features, torch.ones(4, dtype=int)
        ).shape == (4,)
    if head == "projection":
        wanted = features @ (layer.classes.weight[1:] - layer.classes.weight[0]).T
        torch.testing.assert_close(between, wanted.T)


@pytest.mark.parametrize("name", NAMES)
def test_classes_where_they_are_asked_for_and_there(name):
    labels = torch.tensor([0, 1, 2])
    for kind, takes in (("generator", None), ("discriminator", torch.rand(3, 1, 8, 8))):
        plain = create(kind, name, (1, 8, 8), 4, width=4)
        unlabelled = create(kind, name, (1, 8, 8), width=4, labels=True)
        assert not plain.conditional and not unlabelled.conditional
        assert plain.state_dict().keys() == unlabelled.state_dict().keys()
        net = create(kind, name, (1, 8, 8), 4, width=4, labels=True).eval()
        with torch.no_grad():
            for p in net.parameters():
                p.add_(0.1 * torch.randn_like(p))
        takes = net.draw_latents(3) if takes is None else takes
        found, other = net(takes, labels), net(takes, labels.roll(1))
        assert net.conditional and not ((found - other).view(3, -1).abs().amax(1) == 0).any()


@pytest.mark.parametrize("name", NAMES)
def test_an_auxiliary_classifier_stands_beside_the_logit(name):
    net = create("discriminator", name, (1, 8, 8), 4, width=4, labels=True, head="classify")
    assert net.heads == ("classify",) and not net.conditional
    features = net.features(torch.rand(3, 1, 8, 8))
    assert net.classify(features).shape == (3, 4)
    net.score(features).sum().backward()
    assert net.classify.weight.grad is None
    plain = create("discriminator", name, (1, 8, 8), 4, width=4)
    assert plain.heads == () and not hasattr(plain, "classify")


# BigGAN's latents.


def test_biggan_cuts_its_latents_into_parts():
    net = create("generator", "biggan", (3, 32, 32), width=2, latent_dim=10, attention_at="none")
    assert net.parts == [3, 3, 2, 2]
    net.eval()
    z = torch.randn(1, 10)
    for place in range(10):
        moved = z.clone()
        moved[0, place] += 1
        assert torch.dist(net(moved), net(z)) > 1e-6
    with pytest.raises(Incompatible, match=r"cut into 4 parts; take at least: gen.latent_dim = 4"):
        create("generator", "biggan", (3, 32, 32), width=2, latent_dim=3)


@pytest.mark.parametrize("name", NAMES[2:])
def test_one_vector_of_the_class_is_for_all_blocks(name):
    net = create("generator", name, (1, 8, 8), 4, width=2, labels=True, embedding=5)
    assert [m for m in net.modules() if isinstance(m, nn.Embedding)] == [net.classes]
    assert net.classes.weight.shape == (4, 5)


@pytest.mark.parametrize("name", NAMES[2:])
def test_weights_begin_orthogonal(name):
    for net in nets(name, (3, 32, 32), width=4):
        for module in net.modules():
            if isinstance(module, nn.Conv2d):
                weight = module.weight.detach().flatten(1)
                small = min(weight.shape)
                gram = weight @ weight.T if len(weight) == small else weight.T @ weight
                torch.testing.assert_close(gram, torch.eye(small), atol=1e-5, rtol=0)


def test_truncated_latents_are_a_normal_without_its_tails():
    net = create("generator", "biggan", (1, 8, 8), width=2, latent_dim=50)
    draw = net.draw_latents
    for threshold in (0.04, 0.5, 2.0):
        found = [
            draw(400, torch.Generator().manual_seed(seed), truncation=threshold)
            for seed in (1, 1, 2)
        ]
        assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])
        assert found[0].abs().max() <= threshold
        normal = torch.distributions.Normal(0.0, 1.0)
        inside = normal.cdf(torch.tensor(threshold)) * 2 - 1
        density = normal.log_prob(torch.tensor(threshold)).exp()
        variance = 1 - 2 * threshold * density / inside  # of the truncated normal
        assert found[0].var() == pytest.approx(variance.item(), rel=0.03)
        assert found[0].mean().abs() < 4 * variance.sqrt() / 20_000**0.5
    plain, wide = draw(3, torch.Generator().manual_seed(1)), torch.Generator().manual_seed(1)
    assert torch.equal(draw(3, wide, truncation=50.0), plain)
    for bad in (0.0, -1.0, float("nan")):
        with pytest.raises(UsageError, match=r"truncation = .*: give 0.01 or more"):
            draw(3, truncation=bad)


def test_an_image_larger_than_published_is_one_line():
    for name in NAMES[2:]:
        with pytest.raises(Incompatible, match=r"1024x1024 .* data.resolution = '512x512'"):
            create("generator", name, (3, 1024, 1024))


# Training.

TINY = {
    "disc": {"width": 4, "labels": True},
    "loss": {"name": "hinge"},
    "reg": {"sn": {"side": "both"}},
    "data": {"resolution": 8},
    "train": {"images": 8 * 9, "batch_size": 8, "n_critic": 2, "device": "cpu", "engine": "eager"},
    "average": {"half_life": 50},
    "checkpoint": {"images": 0, "minutes": 0},
    "samples": {"count": 4},
    "log": {"images": 16},
}


def pipeline(name, **sections):
    chosen = {"gen": {"name": name, "width": 4, "labels": True}}  # a name drops what was before
    tree = configuration.merge(configuration.merge(TINY, chosen), sections)
    tree = configuration.merge(configuration.defaults(), tree)
    return assemble(configuration.check(tree), REGISTRY)


@pytest.fixture
def same_random_numbers():
    """inductor would draw other random numbers than eager."""
    torch._dynamo.reset()
    with torch._inductor.config.patch(fallback_random=True):
        yield


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "head", "reg"),
    [
        ("resnet", "concat", "gp"),
        ("sagan", "projection", "gp"),
        ("biggan", "concat", "sn"),
        ("biggan-deep", "projection", "sn"),
    ],
)
def test_an_update_with_classes_is_one_graph(name, head, reg, same_random_numbers):
    """The discriminator's, whose head it is, on samples drawn with classes; the generator's is in
    tests/engine/test_engines.py.
    """
    built = pipeline(name, reg={reg: {}}, disc={"head": head})
    data, labels = torch.rand(8, *built.spec.shape) * 2 - 1, torch.arange(8) % 10
    batch, latents = Batch(data, labels), built.parts.draw_latents(8)
    check_one_graph(built, batch, latents, sides=SIDES[:1])


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_captured_trains_as_eager(name, monkeypatch):
    monkeypatch.setattr(capture, "cuda", recorded.Cuda())
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    forget = capture.Recorder, "_forget_recording"
    monkeypatch.setattr(*forget, lambda self, state: torch.set_rng_state(state))
    states = []
    for engine in ("eager", "captured"):
        built = pipeline(name)
        built.engine = engine
        run = Training(built)
        torch.manual_seed(5)
        run.run()
        assert run.engine.mode == engine
        states.append(run.state_dict())
    for group in ("generator", "discriminator", "average"):
        for key, value in states[0][group].items():
            # A bias before batch norm does nothing, and goes where rounding sends it
            if value.is_floating_point() and not key.endswith("bias"):
                away = torch.dist(value, states[1][group][key])
                assert away <= 1e-3 * value.norm() + 1e-5, (group, key)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_resumed_bit_for_bit(name, tmp_path):
    for folder in ("whole", "cut"):
        (tmp_path / folder).mkdir()
    whole = Training(pipeline(name), tmp_path / "whole")
    whole.run()
    cut = Training(pipeline(name), tmp_path / "cut")

    def stop(images):
        if cut.updates == 2:
            cut.stop = 15

    cut.tick = stop
    with pytest.raises(Interrupted):
        cut.run()
    torch.manual_seed(99)
    again = Training(pipeline(name), tmp_path / "cut")
    state, _ = checkpoints.newest(tmp_path / "cut", print)
    again.load_state_dict(state)
    assert 0 < again.updates < whole.updates
    again.run()
    for group, content in whole.state_dict().items():
        for key, value in content.items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(value, again.state_dict()[group][key]), (group, key)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [8, "8x12"], ids=str)
def test_drawn_from_the_generator_file_alone(name, size, tmp_path):
    run = Training(pipeline(name, data={"resolution": size}), tmp_path)
    run.run()
    loaded = ganzoo.load(tmp_path / "generator.safetensors")
    wanted = sample(run.pipeline.average.net, 5, 1, spec=loaded.spec)
    torch.testing.assert_close(loaded.sample(5, seed=1), wanted)  # laid out otherwise in memory
    assert loaded.spec.classes == 10
    assert not torch.equal(loaded.sample(2, label=3), loaded.sample(2, label=4))


@pytest.mark.slow
def test_truncation_when_a_file_is_sampled(tmp_path, cli, monkeypatch):
    for name in ("biggan", "resnet"):
        Training(pipeline(name, train={"images": 32}), tmp_path / name).run()
    file = tmp_path / "biggan" / "generator.safetensors"
    loaded = ganzoo.load(file)
    z = loaded.net.draw_latents(4, torch.Generator().manual_seed(2), truncation=0.3)
    wanted = loaded.net(z, torch.arange(4))
    torch.testing.assert_close(loaded.sample(4, seed=2, truncation="0.3"), wanted)
    assert torch.equal(loaded.sample(4, truncation=None), loaded.sample(4))
    monkeypatch.chdir(tmp_path)
    for number, flags in enumerate(((), ("--truncation", 0.3), ("--truncation", 0.3))):
        done = cli("generate", file, *flags, "--out", f"{number}.png", "--count", 4)
        assert done.code == 0, done.err
    plain, once, again = ((tmp_path / f"{number}.png").read_bytes() for number in range(3))
    assert plain != once == again
    walk = ("--interpolate", "walk.gif", "--truncation", 0.3)
    assert cli("generate", file, "--out", "0.png", *walk).code == 0
    done = cli("generate", file, "--truncation", 0)
    assert done.code == 2 and "--truncation 0" in done.err and "give 0.01 or more" in done.err
    done = cli("generate", tmp_path / "resnet" / "generator.safetensors", "--truncation", 0.5)
    assert done.code == 2 and done.err.count("\n") == 1
    assert "--truncation 0.5: resnet has no such option of sampling; it takes none" in done.err


def standing(net):
    """A copy whose batch norms have the moments of its own maps, over many latents."""
    net = copy.deepcopy(net).train()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # the mean of all batches
    with torch.no_grad():
        for seed in range(40):
            latents = net.draw_latents(64, torch.Generator().manual_seed(seed))
            net(latents, torch.arange(64) % 10)
    return net.eval()


@pytest.mark.slow
def test_statistics_of_the_averaged_generator_are_those_of_its_maps():
    """They are averaged as the weights are: no pass over standing statistics is wanted."""
    built = pipeline(
        "biggan",
        train={"images": 16 * 2 * 300, "batch_size": 16},
        average={"half_life": 10_000},
        samples={"images": 10**6},
    )
    Training(built).run()
    net = built.average.net
    exact = standing(net)
    norms = [[m for m in n.modules() if isinstance(m, nn.BatchNorm2d)] for n in (net, exact)]
    for own, wanted in zip(*norms, strict=True):
        assert (own.running_var / wanted.running_var).log().abs().max() < 0.15
        away = (own.running_mean - wanted.running_mean).abs() / wanted.running_var.sqrt()
        assert away.max() < 0.15
    latents = net.draw_latents(500, torch.Generator().manual_seed(99))
    with torch.no_grad():
        found, wanted = (n(latents, torch.arange(500) % 10) for n in (net, exact))
    assert torch.dist(found, wanted) < 0.1 * torch.dist(wanted, wanted.mean(0).expand_as(wanted))
