"""The built-in nets: sizes, shapes, ranges, initial weights, and what they refuse."""

import pytest
import torch
from torch import nn

from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.contracts import Spec
from ganzoo.errors import Incompatible
from ganzoo.nn import MomentNorm

SHAPES = [
    (1, 28, 28),
    (3, 37, 53),
    (4, 32, 16),
    (1, 8, 8),
    (3, 64, 64),
    (1, 4, 4),
    (2, 5, 7),
    (3, 4, 31),
    (12, 9, 15),
]


def nets(name, shape, **options):
    registry, spec = zoo().registry, Spec(shape)
    return registry.create("generator", name, spec, **options), registry.create(
        "discriminator", name, spec, **options
    )


def count(net):
    return sum(p.numel() for p in net.parameters())


def test_dcgan_has_the_canonical_number_of_parameters():
    generator, discriminator = nets("dcgan", (3, 64, 64), width=64)
    assert generator.latent_dim == 100
    assert count(generator) == 3_576_704
    assert count(discriminator) == 2_765_568


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_dcgan_makes_and_judges_every_size_from_four(shape):
    generator, discriminator = nets("dcgan", shape, width=4)
    samples = generator(generator.draw_latents(3))
    assert samples.shape == (3, *shape) and samples.abs().max() <= 1
    logits = discriminator(samples)
    assert logits.shape == (3,)
    logits.square().sum().backward()
    for net in (generator, discriminator):
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


@pytest.mark.parametrize("side", range(4, 41))
def test_dcgan_base_is_four_to_seven(side):
    generator, discriminator = nets("dcgan", (1, side, side + 3), width=2)
    assert 4 <= min(generator.base[1:]) <= 7
    with torch.no_grad():
        assert generator.eval()(torch.randn(1, 100)).shape == (1, 1, side, side + 3)
        assert discriminator(torch.randn(2, 1, side, side + 3)).shape == (2,)


def test_dcgan_channels_double_up_to_eightfold():
    generator, discriminator = nets("dcgan", (3, 256, 256), width=2)
    found = [m.out_channels for m in discriminator.modules() if isinstance(m, nn.Conv2d)]
    assert found == [2, 4, 8, 16, 16, 16]
    found = [m.in_channels for m in generator.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert found == [16, 16, 16, 8, 4, 2]


def test_dcgan_first_layer_is_a_transposed_convolution_on_one_pixel():
    generator, _ = nets("dcgan", (1, 16, 16), width=4)
    latents, (channels, height, width) = torch.randn(5, 100), generator.base
    weight = generator.project.weight.view(channels, height, width, 100).permute(3, 0, 1, 2)
    wanted = nn.functional.conv_transpose2d(latents[:, :, None, None], weight)
    assert torch.allclose(
        generator.project(latents).view(5, channels, height, width), wanted, atol=1e-6
    )


def test_dcgan_initial_weights():
    torch.manual_seed(0)
    for net in nets("dcgan", (3, 64, 64)):
        for module in net.modules():
            if hasattr(module, "weight"):
                mean = 0.0 if module.weight.dim() > 1 else 1.0
                assert module.weight.std().item() == pytest.approx(0.02, rel=0.25)
                assert module.weight.mean().item() == pytest.approx(mean, abs=0.008)


@pytest.mark.parametrize("norm", ["auto", "batch", "layer", "instance", "none"])
def test_dcgan_discriminator_says_whether_it_judges_each_sample_by_itself(norm):
    torch.manual_seed(0)
    net = zoo().registry.create("discriminator", "dcgan", Spec((3, 16, 16)), width=8, norm=norm)
    x = torch.randn(4, 3, 16, 16)
    alone = (net(x)[:1] - net(torch.cat([x[:1], 3 * x[1:]]))[:1]).abs().item() < 1e-6
    assert net.per_sample is alone is (norm not in ("auto", "batch"))


@pytest.mark.parametrize("norm", ["batch", "layer", "instance", "none"])
@pytest.mark.parametrize("name", ["dcgan", "mlp"])
def test_a_discriminator_tells_more_than_directions(name, norm):
    """D(3x) = 3 D(x) for every net of rectifiers without biases."""
    torch.manual_seed(0)
    options = {"norm": norm} if name == "dcgan" else {}
    net = zoo().registry.create("discriminator", name, Spec((3, 16, 16)), width=8, **options)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    net(torch.rand(8, 3, 16, 16)).square().sub(1).mean().backward()
    optimizer.step()  # biases begin at zero
    x = torch.randn(8, 3, 16, 16)
    assert torch.dist(net(3 * x), 3 * net(x)) > 1e-3 * net(x).norm()


def test_dcgan_without_norms_has_a_bias_in_every_layer():
    net = zoo().registry.create("discriminator", "dcgan", Spec((3, 32, 32)), width=8, norm="none")
    layers = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == 4
    assert all(m.bias is not None and m.bias.abs().sum() == 0 for m in layers)


def test_dcgan_is_told_the_class_where_that_is_asked_for_and_the_data_have_classes():
    registry, labels = zoo().registry, torch.tensor([0, 1, 2])
    for kind, takes in (
        ("generator", torch.randn(3, 100)),
        ("discriminator", torch.rand(3, 1, 8, 8)),
    ):
        plain = registry.create(kind, "dcgan", Spec((1, 8, 8), 4), width=4)
        unlabelled = registry.create(kind, "dcgan", Spec((1, 8, 8)), width=4, labels=True)
        assert not plain.conditional and not unlabelled.conditional
        assert plain.state_dict().keys() == unlabelled.state_dict().keys()
        torch.manual_seed(0)
        net = registry.create(kind, "dcgan", Spec((1, 8, 8), 4), width=4, labels=True).eval()
        assert net.conditional and len(net.classes.weight) == 4
        found, other = net(takes, labels), net(takes, labels.roll(1))
        same = (found - other).view(3, -1).abs().amax(1) == 0
        assert not same.any()  # each is drawn or judged otherwise as another class
    without = net.judge(net.features(takes)).squeeze(1)
    inner = (net.features(takes) * net.classes.weight[labels]).sum(1)
    assert torch.allclose(found, without + inner)


def test_dcgan_gets_labels_from_a_pipeline_only_where_an_option_says_so():
    def assembled(**sections):
        tree = configuration.merge(configuration.defaults(), {"gen": {"width": 2}, **sections})
        return assemble(configuration.check(tree), zoo().registry)

    assert assembled().spec.classes == 0
    told = assembled(gen={"labels": True, "width": 2}, disc={"labels": True})
    assert told.spec.classes == 10
    assert told.parts.generator.conditional and told.parts.discriminator.conditional
    off = {"gen": {"labels": True}, "train": {"conditional": False}}
    assert assembled(**off).parts.generator.conditional is False


def test_dcgan_adapts_to_a_slope_penalty():
    factory = zoo().registry.get("discriminator", "dcgan").load()
    assert factory(Spec((1, 16, 16)), **factory.adapts["per_sample"]).per_sample


@pytest.mark.parametrize("kind", ["generator", "discriminator"])
def test_dcgan_refuses_what_it_cannot_make(kind):
    with pytest.raises(
        Incompatible,
        match=r"3x17 .* smallest possible is 4x4; take at least: data.resolution = '4x17'",
    ):
        zoo().registry.create(kind, "dcgan", Spec((1, 3, 17)))
    with pytest.raises(
        Incompatible,
        match=r"dcgan works on images, not on points \[2\]; use mlp",
    ):
        zoo().registry.create(kind, "dcgan", Spec((2,)))


@pytest.mark.parametrize("shape", [(2,), (1, 300), (3, 8, 5)], ids=str)
@pytest.mark.parametrize("norm", ["none", "batch"])
def test_mlp_fits_every_sort_of_sample(shape, norm):
    torch.manual_seed(0)
    registry, spec = zoo().registry, Spec(shape)
    generator = registry.create(
        "generator", "mlp", spec, latent_dim=7, width=32, depth=2, norm=norm
    )
    discriminator = registry.create("discriminator", "mlp", spec, width=32, depth=2)
    samples = generator(100 * generator.draw_latents(64))
    assert samples.shape == (64, *shape)
    assert (samples.abs().max() <= 1) == (
        spec.modality == "image" or (norm == "batch" and bool(samples.abs().max() <= 1))
    )
    logits = discriminator(samples)
    assert logits.shape == (64,) and discriminator.per_sample
    logits.square().sum().backward()
    trained = [p for net in (generator, discriminator) for p in net.parameters()]
    assert (
        all(p.grad is not None for p in trained)
        and sum(p.grad.abs().sum() > 0 for p in trained) >= len(trained) - 2
    )


def test_mlp_depth_and_width():
    generator, discriminator = nets("mlp", (1, 28, 28), width=50, depth=3)
    assert count(generator) == 101 * 50 + 2 * 51 * 50 + 51 * 784
    assert count(discriminator) == 785 * 50 + 2 * 51 * 50 + 51


def test_generators_name_a_partner_that_exists():
    for component in zoo().registry.components("generator"):
        if component.name in ("mlp", "dcgan"):
            assert zoo().registry.get("discriminator", component.load().partner)


@pytest.mark.parametrize(
    ("dims", "shape"),
    [
        ("batch", (5, 3, 4, 6)),
        ("batch", (5, 3)),
        ("layer", (5, 3, 4, 6)),
        ("layer", (1, 3, 7)),
        ("instance", (5, 3, 4, 6)),
        ("instance", (1, 3, 1, 1)),
    ],
    ids=str,
)
def test_native_norms_are_the_elementary_ones(dims, shape):
    """Values and gradients in float64, with moments far from 0 and 1."""
    torch.manual_seed(0)
    norm = MomentNorm(dims, 3).double()
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = (torch.randn(shape, dtype=torch.float64) * 3 + 2).requires_grad_()
    pull = torch.arange(float(x[0].numel())).view(x.shape[1:])
    found = []
    for native in (False, True):
        norm.native = native
        y = norm(x)
        total = (y * pull).square().sum()
        found.append((y, *torch.autograd.grad(total, (x, *norm.parameters()))))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-7)


@pytest.mark.parametrize("dims", ["layer", "instance"])
def test_native_norms_are_right_under_double_backward(dims):
    """The gradient of a slope's size, eager and compiled, against the elementary norm's."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 4, 3), MomentNorm(dims, 4), nn.Tanh(), nn.Conv2d(4, 1, 2))
    x, found = torch.randn(3, 2, 6, 5, dtype=torch.float64), []
    net.double()
    nn.init.normal_(net[1].weight)

    def size(x):
        return torch.func.grad(lambda x: net(x).sum())(x).square().sum()

    compiled = torch.compile(size, fullgraph=True, backend="aot_eager")
    for native, function in ((False, size), (True, size), (True, compiled)):
        net[1].native = native
        found.append(torch.autograd.grad(function(x), list(net.parameters())[:-1]))
    for wanted, *others in zip(*found, strict=True):
        for other in others:
            torch.testing.assert_close(other, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("regs", "kind", "native"),
    [
        ((), "batch", True),
        (("sn", "noise"), "batch", True),
        (("gp",), "layer", True),
        (("sn", "r1"), "instance", True),
        (("r1",), "batch", False),  # as somebody may insist
    ],
    ids=str,
)
def test_native_norms_only_where_they_are_right(regs, kind, native):
    """On a CPU, where slopes go by double backward."""
    layer = {"reg": {name: {} for name in regs}, "gen": {"width": 8}}
    layer["disc"] = {"width": 8, "norm": kind}
    built = assemble(
        configuration.check(configuration.merge(configuration.defaults(), layer)), zoo().registry
    )
    norms = [m for m in built.parts.discriminator.modules() if isinstance(m, MomentNorm)]
    assert norms and all(module.native == native for module in norms)


def test_image_nets_lie_channels_last():
    tree = {"gen": {"width": 8}, "disc": {"width": 8}, "train": {"precision": "bf16"}}
    for regs, last in (({}, True), ({"gp": {}}, False)):
        layer = configuration.merge(tree, {"reg": regs})
        built = assemble(
            configuration.check(configuration.merge(configuration.defaults(), layer)),
            zoo().registry,
        )
        weight = built.parts.discriminator.body[2].weight
        assert weight.is_contiguous(memory_format=torch.channels_last) is last
