"""StyleGAN2's nets and the layers that they need: filters, equalised and modulated convolutions,
deviation over the batch; parameters, styles, truncation, classes, and training with its penalties.
"""

import copy
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from one_graph import check_one_graph

import ganzoo
from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.contracts import Batch, Spec, Step
from ganzoo.errors import Incompatible, UsageError
from ganzoo.generate.sampling import sample
from ganzoo.nn import (
    EqualConv2d,
    EqualLinear,
    MinibatchDeviation,
    ModulatedConv2d,
    filtered,
    filtered_downsample,
    filtered_upsample,
    pixel_norm,
    scaled_leaky_relu,
)
from ganzoo.testing import check
from ganzoo.training.loop import Training

REGISTRY = zoo().registry
TAPS = np.array([1, 3, 3, 1]) / 8
SMALL = {"latent_dim": 12, "mapping": 2, "width": 4}


def generator(shape=(1, 8, 8), classes=0, **options):
    torch.manual_seed(0)
    return REGISTRY.create("generator", "stylegan2", Spec(shape, classes), **SMALL | options)


def discriminator(shape=(1, 8, 8), classes=0, **options):
    torch.manual_seed(0)
    return REGISTRY.create(
        "discriminator", "stylegan2", Spec(shape, classes), **{"width": 4} | options
    )


def count(net):
    return sum(p.numel() for p in net.parameters())


@torch.no_grad()
def noisy(net):
    """The net with strengths of noise that are not zero, and w far from its mean."""
    for name, parameter in net.named_parameters():
        if name.endswith("strength"):
            parameter.fill_(0.5)
    net.observe(net.draw_latents(64))
    return net


# Parameters, counted from the published widths.

DRAWING = {1024: 30_370_060, 256: 30_034_338, 32: 21_523_475}
JUDGING = {1024: 29_012_513, 256: 28_864_129, 32: 21_507_073}  # NVlabs/stylegan2's at 1024


def styled(inputs, outputs):
    """A layer: its style, weights, bias, and the strength of the noise."""
    return 512 * inputs + inputs + 9 * inputs * outputs + outputs + 1


def paint(inputs):
    return 512 * inputs + inputs + 3 * inputs + 3


@pytest.mark.parametrize("side", DRAWING)
def test_parameters_of_config_f(side):
    stages = [4 << i for i in range(int(math.log2(side)) - 1)]
    wide = [min(512, 32768 // stage) for stage in stages]
    mapping = 8 * (512 * 512 + 512)
    drawing = mapping + 16 * 512 + styled(512, 512) + sum(map(paint, wide))
    judging = 3 * wide[-1] + wide[-1]
    for a, b in pairwise(wide):
        drawing += styled(a, b) + styled(b, b)
        judging += (9 * b * b + b) + (9 * b * a + a) + b * a
    judging += 9 * 513 * 512 + 512 + (16 * 512 * 512 + 512) + 512 + 1
    with torch.device("meta"):
        spec = Spec((3, side, side))
        nets = [REGISTRY.create(k, "stylegan2", spec) for k in ("generator", "discriminator")]
    assert mapping == count(nets[0].mapped) == 2_101_248
    assert drawing == count(nets[0]) == DRAWING[side]
    assert judging == count(nets[1]) == JUDGING[side]
    assert nets[0].styles == 2 * len(stages)


def test_parameters_of_the_other_architectures():
    residual, skip = generator(architecture="residual"), generator()
    a, b = residual.widths
    own = 12 * a + a + a + 1  # the style, weights and bias of a stage's paint
    assert count(residual) - count(skip) == a * b - own
    by = {name: count(discriminator(architecture=name)) for name in ("residual", "skip", "plain")}
    assert by["residual"] - by["plain"] == a * b
    assert by["skip"] - by["plain"] == 2 * a  # an image of one channel is read once more


# Equalised layers.


@pytest.mark.parametrize("rate", [1.0, 0.01])
def test_equalised_weights_are_standard_normal_and_scaled_when_used(rate):
    torch.manual_seed(0)
    linear, conv = EqualLinear(400, 300, rate=rate, bias=1.5), EqualConv2d(32, 64, 3)
    for weight in (linear.weight * rate, conv.weight):
        assert abs(weight.mean()) < 0.02 and weight.std().item() == pytest.approx(1, abs=0.01)
    x, maps = torch.randn(64, 400), torch.randn(4, 32, 9, 9)
    torch.testing.assert_close(linear(x), x @ linear.weight.T * (rate / 20) + 1.5)
    assert (linear(x) - 1.5).std().item() == pytest.approx(1, abs=0.03)
    inner = conv(maps)[:, :, 1:-1, 1:-1]  # the rim has zeros beside it
    assert inner.std().item() == pytest.approx(1, abs=0.03)
    wanted = F.conv2d(maps, conv.weight / math.sqrt(32 * 9), padding=1)
    torch.testing.assert_close(conv(maps), wanted)


def test_an_optimizer_moves_all_equalised_layers_at_one_rate():
    """One step of Adam changes an output of either width by the same share of its size."""
    for rate in (1.0, 0.01):
        changes = []
        for inputs in (16, 1024):
            torch.manual_seed(1)
            layer = EqualLinear(inputs, 1, rate=rate)
            before = layer.weight.detach().clone()
            optimizer = torch.optim.Adam(layer.parameters(), lr=0.01)
            layer(torch.randn(8, inputs)).sum().backward()
            optimizer.step()
            change = (layer.weight - before) * layer.scale
            changes.append((change.norm() / (before * layer.scale).norm()).item())
        assert changes == pytest.approx([0.01 * rate] * 2, rel=0.4)


def test_the_scaled_leaky_relu_keeps_the_mean_square():
    torch.manual_seed(0)
    assert scaled_leaky_relu(torch.randn(10**6)).square().mean().item() == pytest.approx(
        1.04, abs=0.01
    )


def test_pixel_norm_has_a_mean_square_of_one():
    x = torch.randn(3, 5, 2, 2, dtype=torch.float64)
    wanted = x / x.square().mean(1, keepdim=True).sqrt()
    torch.testing.assert_close(pixel_norm(x, 0.0), wanted)


# Filters.


def by_hand(x, up=1, down=1, before=0, behind=0, gain=1.0):
    """Zeros between pixels, zeros around, the filter at every place, every `down`th of them."""
    n, c, h, w = x.shape
    spread = np.zeros((n, c, h * up, w * up))
    spread[:, :, ::up, ::up] = x
    rim = (before, behind)
    padded = np.pad(spread, ((0, 0), (0, 0), rim, rim))
    kernel, found = np.outer(TAPS, TAPS) * gain, []
    for i in range(padded.shape[2] - 3):
        row = [(padded[:, :, i : i + 4, j : j + 4] * kernel).sum((2, 3)) for j in range(
            padded.shape[3] - 3)]  # fmt: skip
        found.append(np.stack(row, -1))
    return np.stack(found, 2)[:, :, ::down, ::down]


def test_filters_are_those_written_out():
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 4))
    tensor = torch.from_numpy(x)
    pairs = [
        (filtered(tensor, 1, 4.0), by_hand(x, before=1, behind=1, gain=4.0)),
        (filtered(tensor, 2), by_hand(x, before=2, behind=2)),
        (filtered_downsample(tensor), by_hand(x, down=2, before=1, behind=1)),
        (filtered_upsample(tensor), by_hand(x, up=2, before=2, behind=1, gain=4.0)),
    ]
    for found, wanted in pairs:
        np.testing.assert_allclose(found.numpy(), wanted, atol=1e-12)
    assert filtered_upsample(tensor).shape == (2, 3, 12, 8)


def test_a_constant_stays_what_it_is_away_from_the_rim():
    assert TAPS.sum() == 1
    x = torch.full((1, 2, 8, 6), 3.0, dtype=torch.float64)
    for found in (
        filtered_upsample(x),
        filtered_downsample(x),
        filtered(x, 1),
        filtered_downsample(filtered_upsample(x)),
    ):
        inner = found[:, :, 1:-1, 1:-1]
        torch.testing.assert_close(inner, torch.full_like(inner, 3.0))


def test_filters_take_away_what_the_smaller_maps_cannot_hold():
    checks = torch.ones(1, 1, 8, 8)
    checks[:, :, ::2, 1::2] = checks[:, :, 1::2, ::2] = -1
    assert filtered_downsample(checks)[:, :, 1:-1, 1:-1].abs().max() == 0


def test_second_derivatives_are_right():
    torch.manual_seed(0)
    x = torch.randn(2, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    style = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    grow = ModulatedConv2d(2, 2, 3, 3, grow=True).double()
    deviation = MinibatchDeviation(2)
    for function, inputs in (
        (lambda x: filtered_upsample(filtered_downsample(x)).square(), (x,)),
        (lambda x: filtered(x, 2).square(), (x,)),
        (grow, (x, style)),
        (deviation, (x,)),
    ):
        assert torch.autograd.gradcheck(function, inputs)
        assert torch.autograd.gradgradcheck(function, inputs)


# Modulated convolution.


def one_by_one(layer, x, style):
    """Each sample by itself with weights of its own, as the paper writes them."""
    found = []
    for one, scales in zip(x, layer.style(style), strict=True):
        weight = layer.weight * layer.scale * scales[None, :, None, None]
        if layer.demodulate:
            weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if layer.grow:
            spread = one.new_zeros(len(one), 2 * one.shape[1] - 1, 2 * one.shape[2] - 1)
            spread[:, ::2, ::2] = one
            maps = F.conv2d(spread[None], weight.flip(2, 3), padding=2)
            found.append(torch.from_numpy(by_hand(maps.numpy(), before=1, behind=1, gain=4.0)))
        else:
            found.append(F.conv2d(one[None], weight, padding=layer.padding))
    return torch.cat(found)


@torch.no_grad()
@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize(("side", "grow"), [(3, False), (3, True), (1, False)])
def test_modulated_convolution_is_a_convolution_for_each_sample(side, grow, demodulate):
    torch.manual_seed(0)
    layer = ModulatedConv2d(4, 5, side, 6, demodulate=demodulate, grow=grow).double()
    x, style = torch.randn(3, 4, 5, 3).double(), torch.randn(3, 6).double()
    torch.testing.assert_close(layer(x, style), one_by_one(layer, x, style))


@torch.no_grad()
def test_demodulated_maps_have_unit_variance():
    torch.manual_seed(0)
    layer = ModulatedConv2d(64, 48, 3, 32)
    x, style = torch.randn(8, 64, 20, 20), 4 * torch.randn(8, 32)
    inner = layer(x, style)[:, :, 1:-1, 1:-1]
    variances = inner.var((2, 3))  # of each sample and channel
    assert variances.mean().item() == pytest.approx(1, abs=0.02)
    assert (variances - 1).abs().max() < 0.5
    free = ModulatedConv2d(64, 48, 3, 32, demodulate=False)
    assert free(x, style)[:, :, 1:-1, 1:-1].var() > 10  # scales of deviation 4 around one
    scales = layer.style(torch.randn(1000, 32))
    assert scales.mean().item() == pytest.approx(1, abs=0.1)
    assert scales.std().item() == pytest.approx(1, abs=0.1)


# Deviation over the batch.


def test_deviation_over_groups_is_that_written_out():
    torch.manual_seed(0)
    for batch, group, size in ((8, 4, 4), (6, 4, 3), (5, 4, 1), (2, 4, 2), (4, 32, 4)):
        x = torch.randn(batch, 3, 2, 5, dtype=torch.float64)
        found = MinibatchDeviation(group)(x)
        assert found.shape == (batch, 4, 2, 5) and torch.equal(found[:, :3], x)
        groups = batch // size
        for first in range(groups):
            members = x.numpy()[first::groups]
            wanted = np.sqrt(members.var(0) + 1e-8).mean()
            np.testing.assert_allclose(found[first::groups, 3].numpy(), wanted)


# Styles.


def test_without_mixing_all_layers_have_one_w():
    for net in (generator(mixing=0.0).train(), generator(mixing=1.0).eval()):
        w = net.mapping(net.draw_latents(5))
        assert w.shape == (5, 4, 12)
        assert torch.equal(w, w[:, :1].expand_as(w))


def test_mixing_takes_another_w_from_a_random_layer_on():
    net, samples = generator((1, 16, 16), mixing=0.7).train(), 4000
    latents = net.draw_latents(samples, torch.Generator().manual_seed(1))
    w, own = net.mapping(latents), net.mapped(latents)[:, None]
    same = (w == own).all(2)
    assert same[:, 0].all()  # the first layer is always its own
    places = same.sum(1)
    assert torch.equal(same, torch.arange(6) < places[:, None])
    assert (places < 6).float().mean().item() == pytest.approx(0.7, abs=0.03)
    shares = [(places == place).float().mean().item() for place in range(1, 6)]
    assert shares == pytest.approx([0.14] * 5, abs=0.02)


def test_every_layer_of_w_is_read():
    for architecture in ("skip", "residual"):
        net = generator((2, 8, 12), architecture=architecture).eval()
        w = net.mapping(net.draw_latents(2)).detach().clone().requires_grad_()
        net.synthesis(w).square().sum().backward()
        reads = w.grad.abs().amax((0, 2))
        assert [i for i, most in enumerate(reads) if not most] == [], architecture


def test_the_mean_of_w_moves_in_observe_alone():
    net = generator().train()
    latents = net.draw_latents(16)
    net(latents).sum().backward()
    net.eval()(latents)
    assert not net.w_avg.any()
    with torch.no_grad():
        net.observe(latents)
        torch.testing.assert_close(net.w_avg, 0.005 * net.mapped(latents).mean(0))


def test_truncation_goes_towards_the_mean_of_w():
    net = generator().eval()
    with torch.no_grad():
        net.observe(net.draw_latents(100))
    draw = [net.draw_latents(6, torch.Generator().manual_seed(3), truncation=t) for t in (0, 0.4)]
    z = net.draw_latents(6, torch.Generator().manual_seed(3))
    assert torch.equal(draw[0][:, :12], z)
    pictures = net(draw[0])
    torch.testing.assert_close(pictures, pictures[:1].expand_as(pictures))
    w = net.mapping(z)
    torch.testing.assert_close(net.mapping(draw[1]), net.w_avg + 0.4 * (w - net.w_avg))
    whole = net.draw_latents(6, torch.Generator().manual_seed(3), truncation=1.0)
    torch.testing.assert_close(net(whole), net(z))
    between = draw[1][:3] * 0.6 + draw[1][3:] * 0.8  # as in a walk
    wanted = net.w_avg + 0.4 * (net.mapping(z[:3] * 0.6 + z[3:] * 0.8) - net.w_avg)
    torch.testing.assert_close(net.mapping(between), wanted)
    for bad in (float("nan"), float("inf")):
        with pytest.raises(UsageError, match=r"truncation = .*: give a finite number"):
            net.draw_latents(2, truncation=bad)


def test_noise_is_new_in_every_call_and_comes_from_torchs_generator():
    net = generator().eval()
    z = net.draw_latents(4)
    assert torch.equal(net(z), net(z))  # its strength begins at zero
    noisy(net)
    assert torch.dist(net(z), net(z)) > 0.1
    found = []
    for _ in range(2):
        torch.manual_seed(7)
        found.append(net(z))
    assert torch.equal(*found)


def test_the_sizes_of_latents_do_not_matter():
    net = generator().eval()
    z = net.draw_latents(4)
    torch.testing.assert_close(net(3 * z), net(z))


@torch.no_grad()
def test_scales_at_the_start():
    """Demodulated maps keep a mean square of one but for what filters and the rim take away."""
    seen = []
    net = generator((3, 32, 32), width=32, latent_dim=64).eval()
    hooks = [layer.register_forward_hook(lambda *_: seen.append(_[2].square().mean().item()))
             for layer in (net.first, *net.blocks)]  # fmt: skip
    net(net.draw_latents(32))
    assert all(0.15 < mean < 1.5 for mean in seen), seen
    for hook in hooks:
        hook.remove()
    judge, maps = discriminator((3, 32, 32), width=32), torch.randn(16, 3, 32, 32)
    assert 0.02 < judge.features(maps).square().mean() < 1  # white noise loses to the filters


# Sizes, options, classes.


@pytest.mark.parametrize("shape", [(1, 8, 8), (4, 16, 24), (2, 10, 14), (3, 28, 28)], ids=str)
@pytest.mark.parametrize("architecture", ["residual", "skip"])
def test_every_size_that_is_a_doubled_base(shape, architecture):
    made = generator(shape, architecture=architecture)
    judge = discriminator(shape, architecture=architecture)
    noisy(made)
    samples = made(made.draw_latents(4))
    assert samples.shape == (4, *shape) and samples.abs().max() <= 1
    logits = judge(samples)
    assert logits.shape == (4,)
    logits.square().sum().backward()
    for net in (made, judge):
        for key, p in net.named_parameters():
            assert p.grad is not None and p.grad.any(), key


def test_other_sizes_are_refused_with_the_nearest_that_works():
    for create in (generator, discriminator):
        with pytest.raises(Incompatible, match=r"stylegan2: .* data.resolution = '16x24'"):
            create((3, 17, 23))
        with pytest.raises(Incompatible, match=r"stylegan2 works on images, not on points \[2\]"):
            create((2,))


def test_widths_double_up_to_512():
    net = generator((1, 64, 64), width=100)
    assert net.widths == [512, 512, 400, 200, 100]
    assert discriminator((1, 64, 64), width=100).widths == net.widths[::-1]


def test_the_plain_discriminator_runs():
    judge = discriminator((3, 16, 16), architecture="plain", group=1)
    assert judge.per_sample and judge(torch.randn(3, 3, 16, 16)).shape == (3,)


def test_the_class_is_mapped_and_projected():
    judge, x = discriminator(classes=3, labels=True), torch.randn(4, 1, 8, 8)
    features, vectors = judge.features(x), judge.mapped(None, torch.arange(3))
    found = torch.stack([judge.score(features, torch.full((4,), c)) for c in range(3)], 1)
    width = vectors.shape[1]
    torch.testing.assert_close(found, judge.judge(features) @ vectors.T / math.sqrt(width))
    embedded = pixel_norm(judge.mapped.embed(torch.eye(3)))
    for layer in judge.mapped.layers:
        embedded = scaled_leaky_relu(layer(embedded))
    torch.testing.assert_close(vectors, embedded)


def test_classes_where_they_are_asked_for_and_there():
    plain = generator(classes=4)
    unlabelled = generator(labels=True)
    assert not plain.conditional and not unlabelled.conditional
    assert plain.state_dict().keys() == unlabelled.state_dict().keys()
    net, z = generator(classes=4, labels=True).eval(), torch.randn(3, 12)
    first, second = (net(z, torch.tensor(labels)) for labels in ([0, 1, 2], [1, 2, 3]))
    assert net.conditional and ((first - second).flatten(1).abs().amax(1) > 1e-3).all()
    with torch.no_grad():
        net.observe(z, torch.tensor([0, 1, 2]))
    assert net.w_avg.any()
    x, labels = torch.rand(3, 1, 8, 8), torch.tensor([0, 1, 2])
    joint = discriminator(classes=4, labels=True, head="concat", group=1)
    assert joint.conditional and joint.joint.weight.shape[1] == 2 * joint.joint.weight.shape[0]
    assert (joint(x, labels) - joint(x, labels.roll(1))).abs().min() > 1e-4
    judge = discriminator(classes=4, labels=True, head="classify")
    assert judge.heads == ("classify",) and not judge.conditional
    assert judge.classify(judge.features(torch.rand(3, 1, 8, 8))).shape == (3, 4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["generator", "discriminator"])
def test_the_kit_takes_it_with_classes(kind):
    component = next(c for c in REGISTRY.components(kind) if c.name == "stylegan2")
    options = {"width": 4, "mapping": 2, "labels": True}
    options |= {"latent_dim": 12} if kind == "generator" else {}
    check(component, specs=(Spec((1, 8, 8), 3), Spec((3, 8, 12), 3)), **options)


# Training.

TINY = {
    "gen": {"name": "stylegan2", **SMALL, "labels": True},
    "disc": {"width": 4, "mapping": 2, "group": 4, "labels": True},
    "reg": {"r1": {"weight": 1.0, "every": 2}, "pathlen": {"every": 2}},
    "optim": {side: {"eps": 1e-4} for side in ("gen", "disc")},
    "data": {"resolution": 8},
    "train": {"images": 8 * 8, "batch_size": 8, "device": "cpu", "engine": "eager"},
    "average": {"half_life": 50},
    "checkpoint": {"images": 0, "minutes": 0},
    "samples": {"count": 4},
    "log": {"images": 16},
}


def pipeline(**sections):
    tree = configuration.merge(configuration.merge(configuration.defaults(), TINY), sections)
    return assemble(configuration.check(tree), REGISTRY)


def test_a_group_that_is_set_stays_under_a_penalty_on_slopes():
    kept, changed = pipeline(), pipeline(disc={"group": "auto"})
    assert kept.parts.discriminator.deviation.group == 4
    assert any("kept, as you insist" in note for note in kept.notes)
    assert changed.parts.discriminator.per_sample
    assert any("disc.group = 1" in note for note in changed.notes)


@pytest.mark.parametrize(
    ("name", "group"), [("stylegan2", 4), ("stylegan2-ada", 32), ("stylegan2-cifar", 32)]
)
def test_recipes_keep_the_groups_of_their_papers(name, group):
    tree = REGISTRY.get("recipe", name).load().read_text("utf-8")
    assert f"group = {group}" in tree


def test_path_length_is_that_of_w():
    """The slope that the penalty sees, against a Jacobian in each layer's w in float64."""
    net, judge = generator(mixing=0.0).double(), discriminator().double()
    penalty = REGISTRY.create("regularizer", "pathlen").double()
    z = torch.randn(3, 12, dtype=torch.float64)
    step = Step("generator", net, judge, torch.rand(3, 1, 8, 8, dtype=torch.float64), z)
    torch.manual_seed(3)
    value = step.penalty_of(penalty)
    torch.manual_seed(3)
    w = net.mapping(z).detach().clone().requires_grad_()
    samples = net.synthesis(w)
    noise = torch.randn_like(samples) / 8
    (slope,) = torch.autograd.grad((samples * noise).sum(), w)
    assert slope.shape == (3, 4, 12)
    lengths = slope.square().sum(2).mean(1).sqrt()
    torch.testing.assert_close(value, lengths.square().mean())
    value.backward()
    assert all(p.grad.any() for p in net.mapped.parameters())


@pytest.mark.slow
def test_updates_with_both_penalties_are_one_graph():
    built = pipeline()
    data, labels = torch.rand(8, *built.spec.shape) * 2 - 1, torch.arange(8) % 10
    batch, latents = Batch(data, labels), built.parts.draw_latents(8)
    check_one_graph(built, batch, latents)


@pytest.mark.slow
def test_resumed_bit_for_bit():
    whole = Training(pipeline())
    whole.goal = 32
    whole.run()
    saved = copy.deepcopy(whole.state_dict())
    whole.goal = 64
    whole.run()
    rest = Training(pipeline())
    rest.load_state_dict(saved)
    rest.run()
    for side in ("generator", "discriminator"):
        a, b = (getattr(t.pipeline.parts, side).state_dict() for t in (whole, rest))
        assert all(torch.equal(a[name], b[name]) for name in a), side
    assert whole.pipeline.parts.generator.w_avg.any()
    average = whole.pipeline.average.net.w_avg
    assert average.any() and torch.equal(average, rest.pipeline.average.net.w_avg)


def test_truncation_when_a_file_is_sampled(tmp_path, cli, monkeypatch):
    run = Training(pipeline(), tmp_path)
    run.run()
    file = tmp_path / "generator.safetensors"
    loaded = ganzoo.load(file)
    wanted = sample(run.pipeline.average.net, 5, 1, spec=loaded.spec)
    torch.testing.assert_close(loaded.sample(5, seed=1), wanted)
    assert not torch.equal(loaded.sample(2, label=3), loaded.sample(2, label=4))
    near, far = (loaded.sample(20, label=3, truncation=t).std(0).mean() for t in ("0.05", "1"))
    assert near < far
    monkeypatch.chdir(tmp_path)
    for number, flags in enumerate(((), ("--truncation", 0.3), ("--truncation", 0.3))):
        done = cli("generate", file, *flags, "--out", f"{number}.png", "--count", 4)
        assert done.code == 0, done.err
    plain, once, again = ((tmp_path / f"{number}.png").read_bytes() for number in range(3))
    assert plain != once == again
    walk = ("--interpolate", "walk.gif", "--truncation", 0.3)
    assert cli("generate", file, "--out", "0.png", *walk).code == 0


def test_a_share_of_mixing_may_move():
    built = pipeline(gen={"mixing": {"from": 1.0, "to": 0.0, "over": 64}})
    net = built.parts.generator.train()
    w = net.mapping(net.draw_latents(50), torch.zeros(50, dtype=torch.long))
    assert not torch.equal(w, w[:, :1].expand_as(w))
