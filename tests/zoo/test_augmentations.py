"""Augmentations: their distributions against references in numpy, what they leave as it is, slopes
and second derivatives through them, compiled updates, probabilities that follow the logits.
"""

import copy
import math

import augmented_by_hand as hand
import numpy as np
import pytest
import torch
from ganzoo_plugins.augmentations import colours, diffaug, filters, geometry, probability
from recorded import check_close
from test_penalties import WAYS, gradients
from torch import nn
from torch.nn.functional import softplus

from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.contracts import Batch, Discriminator, Generator, Spec, Step, Update
from ganzoo.engine.losses import Parts, losses
from ganzoo.errors import Incompatible
from ganzoo.training.loop import Training

REGISTRY = zoo().registry
SHAPES = [(1, 8, 8), (3, 6, 9), (4, 9, 6), (2, 5, 8)]
GROUPS = ("blit", "geom", "color", "filter", "noise", "cutout")
EVERY = [  # each transform by itself
    ("flip", {}),
    ("pac", {"m": 3}),
    *(("diffaug", {"policy": policy}) for policy in ("color", "translation", "cutout")),
    *(("ada", {"groups": group, "probability": 0.7}) for group in GROUPS),
]
WHOLE = [
    ("flip", {}),
    ("pac", {}),
    ("diffaug", {}),
    ("ada", {"groups": "bgcfnc", "probability": 0.7}),
]


def create(name, shape=(3, 6, 9), **options):
    return REGISTRY.create("augmentation", name, Spec(shape), **options).double()


def images(count, shape, seed=0):
    stream = torch.Generator().manual_seed(seed)
    return torch.rand(count, *shape, dtype=torch.float64, generator=stream) * 2 - 1


def seeded(function, *arguments, seed=1):
    torch.manual_seed(seed)
    return function(*arguments)


def alike(found, wanted, what):
    """Means and mean squares of two sets of draws [n, ...] differ by what chance may do."""
    found, wanted = (
        np.asarray(each, dtype=float).reshape(len(each), -1) for each in (found, wanted)
    )
    for power in (1, 2):
        one, other = found**power, wanted**power
        error = np.sqrt(one.var(0) / len(one) + other.var(0) / len(other)) + 1e-9
        far = np.abs(one.mean(0) - other.mean(0)) / error
        assert far.max() < 5, f"{what}: moment {power} is {far.max():.1f} deviations off"


# What they leave as it is.


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_at_probability_0_images_stay_bit_for_bit(shape):
    given = images(6, shape)
    for dtype in (torch.float64, torch.float32):
        part = create("ada", shape, groups="bgcfnc", probability=0.0).to(dtype)
        assert torch.equal(part(given.to(dtype)), given.to(dtype))


@pytest.mark.parametrize("shape", [*SHAPES, (3, 1, 1), (1, 2, 3)], ids=str)
@pytest.mark.parametrize(("name", "options"), WHOLE, ids=str)
def test_any_channels_and_rectangles(shape, name, options):
    given = images(4, shape)
    seen = create(name, shape, **options)(given)
    packs = 2 if name == "pac" else 1
    assert seen.shape == (4 // packs, packs * shape[0], *shape[1:])
    assert seen.isfinite().all() and seen.dtype == given.dtype


@pytest.mark.parametrize(("name", "options"), EVERY, ids=str)
def test_every_sample_draws_its_own_change(name, options):
    """It depends on no other sample; and equal samples become different ones."""
    part, packs = create(name, **options), options.get("m", 1)
    given = images(12, (3, 6, 9))
    other = torch.cat([given[:packs], images(12 - packs, (3, 6, 9), seed=5)])
    one, two = (seeded(part, x) for x in (given, other))
    assert torch.equal(one[0], two[0]) and not torch.equal(one[1:], two[1:])
    if name != "pac":
        same = part(given[:1].expand(12, -1, -1, -1))
        assert (same != same[:1]).any()


@pytest.mark.parametrize(
    "part",
    [
        create("ada", (4, 6, 9), groups="color", probability=1.0),
        create("diffaug", (4, 6, 9), policy="color"),
    ],
    ids=["ada", "diffaug"],
)
def test_colours_change_and_alpha_does_not(part):
    given = images(5, (4, 6, 9))
    seen = part(given)
    assert torch.equal(seen[:, 3], given[:, 3])
    assert (seen[:, :3] != given[:, :3]).flatten(1).all(1).all()


@pytest.mark.parametrize(("name", "options"), [
    ("flip", {}),
    ("diffaug", {"policy": "translation,cutout"}),
    *(("ada", {"groups": group, "probability": 0.8}) for group in ("bg", "cutout", "filter")),
], ids=str)  # fmt: skip
def test_alpha_goes_where_colours_go(name, options):
    """An alpha that equals a colour does so afterwards."""
    given = images(8, (4, 6, 9))
    given[:, 3] = given[:, 1]
    seen = create(name, (4, 6, 9), **options)(given)
    torch.testing.assert_close(seen[:, 3], seen[:, 1])


# Distributions.


def test_maps_are_drawn_as_the_paper_says():
    count, shape = 20_000, (1, 16, 24)
    draw = np.random.default_rng(0)
    like = torch.empty(count, *shape, dtype=torch.float64)
    for group, reference in (("blit", hand.blit), ("geom", hand.geom)):
        for chance in (0.3, 1.0):
            part, where = create("ada", shape, groups=group, probability=chance), geometry.Map(like)
            seeded(getattr(part, group), where, like)
            found = torch.cat([where.linear, where.shift[:, :, None]], 2)
            wanted = reference(draw, count, chance, 16, 24)[:, :2]
            alike(found, wanted, f"{group} at {chance}")
            still = where.still().double()
            alike(still, (wanted == np.eye(3)[:2]).all((1, 2)), f"still, {group} at {chance}")


@pytest.mark.parametrize("size", [(5, 8), (7, 7)], ids=str)
def test_images_are_warped_as_the_paper_resamples_them(size):
    given, warp = images(4, (1, *size)), geometry.Warp(size).double()
    where = geometry.Map(given)
    draw = np.random.default_rng(3)
    inverse = hand.geom(draw, 4, 0.9, *size)
    where.linear = torch.from_numpy(inverse[:, :2, :2])
    where.shift = torch.from_numpy(inverse[:, :2, 2])
    for found, image, each in zip(warp(given, where), given, inverse, strict=True):
        wanted = hand.warped(image[0].numpy(), each, filters.SYM6)
        np.testing.assert_allclose(found[0].numpy(), wanted, atol=2e-6)


def test_whole_steps_and_quarter_turns_move_pixels_as_they_are():
    given = images(3, (2, 6, 6))
    where = geometry.Map(given)
    where.scaled(torch.tensor([-1.0, 1, 1]).double(), torch.ones(3).double())
    where.turned(torch.tensor([1.0, 0, 1]).double(), torch.tensor([0.0, 1, 0]).double())
    where.moved(torch.tensor([0.0, 0, 2]).double(), torch.tensor([0.0, 0, -1]).double())
    found = geometry.shuffled(given, where)
    assert torch.equal(found[0], given[0].flip(-1))
    assert torch.equal(found[1], given[1].rot90(-1, (1, 2)))
    assert torch.equal(found[2, :, :-1, 2:], given[2, :, 1:, :-2])
    assert torch.equal(found[2, :, :-1, :2], given[2, :, 1:, 1:3].flip(-1)), "mirrored there"


def test_the_warp_of_whole_steps_and_its_way_back_give_the_image_again():
    """The filter is orthonormal: on whole pixels its way there and back is none."""
    given, warp = images(2, (2, 9, 12)), geometry.Warp((9, 12)).double()
    where = geometry.Map(given)
    torch.testing.assert_close(warp(given, where), given, atol=1e-6, rtol=0)
    three = torch.full((2,), 3.0).double()
    where.moved(three, -three)
    torch.testing.assert_close(
        warp(given, where), geometry.shuffled(given, where), atol=1e-6, rtol=0
    )


def test_a_map_and_its_inverse_give_a_smooth_image_again():
    side = 24
    line = torch.linspace(-1, 1, side).double()
    given = torch.exp(-6 * ((line[:, None] - 0.1) ** 2 + (line - 0.05) ** 2))[None, None]
    there, back = geometry.Map(given), geometry.Map(given)
    a, s = torch.tensor([0.4]).double(), torch.tensor([1.3]).double()
    there.turned(a.cos(), a.sin())
    there.scaled(s, 1 / s)
    there.moved(s, a)
    back.moved(-s, -a)
    back.scaled(1 / s, s)
    back.turned(a.cos(), -a.sin())
    warp = geometry.Warp((side, side)).double()
    once = warp(given, there)
    again = warp(once, back)
    inner = (..., slice(6, -6), slice(6, -6))
    assert (once - given)[inner].abs().max() > 0.2
    assert (again - given)[inner].abs().max() < 0.02


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("chance", [0.4, 1.0])
def test_colours_are_drawn_as_the_paper_says(channels, chance):
    count = 20_000
    colour = torch.tensor([0.5, -0.2, 0.1][:channels]).double()
    given = colour.view(1, -1, 1, 1).expand(count, -1, 1, 1)
    part = create("ada", (channels, 1, 1), groups="color", probability=chance)
    found = seeded(part, given).flatten(1)
    matrices = hand.colours(np.random.default_rng(0), count, chance, channels)
    full = np.append(np.resize(colour.numpy(), 3), 1)
    wanted = (matrices @ full)[:, :channels]
    # contrast and saturation spread so widely that the moments themselves are unsteady
    alike(found.tanh(), np.tanh(wanted), "colours")


def test_hue_and_saturation_are_the_matrices_of_the_paper():
    given = images(4, (3, 2, 2))
    angle, factor, luma = (torch.rand(4, 1, 1, 1).double() for _ in range(3))
    found = colours.luma_and_chroma(given, luma, angle, factor)
    axis = np.full((3, 3), 1 / 3)
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    for one, image, a, f, b in zip(found, given, angle, factor, luma, strict=True):
        a, f, b = a.item(), f.item(), b.item()
        turn = (np.eye(3) - axis) * math.cos(a) + cross * math.sin(a)
        wanted = np.einsum("ij,jhw->ihw", b * axis + f * turn, image.numpy())
        np.testing.assert_allclose(one.numpy(), wanted, atol=1e-12)


def test_octaves_are_those_of_the_wavelet_and_sum_to_the_image():
    side = 50
    bands, taps = filters.octaves(side), hand.bank()
    torch.testing.assert_close(bands.sum(0), torch.eye(side).double())
    given = images(1, (1, 1, side))[0, 0, 0]
    wide = np.pad(given.numpy(), 21, mode="reflect")
    for band, each in zip(bands, taps, strict=True):
        wanted = np.convolve(wide, each, mode="valid")
        np.testing.assert_allclose((band @ given).numpy(), wanted, atol=1e-10)


def test_bands_are_multiplied_as_the_paper_says():
    count, shape = 20_000, (1, 1, 1)
    part = create("ada", shape, groups="filter", probability=0.6)
    found = seeded(part.gains, torch.empty(count, *shape, dtype=torch.float64))
    alike(found, hand.gains(np.random.default_rng(0), count, 0.6), "gains")
    # along both sides, with the gains that the filter itself draws
    given = images(3, (2, 7, 10))
    part = create("ada", (2, 7, 10), groups="filter", probability=1.0)
    found, drawn = seeded(part, given), seeded(part.gains, given)
    down, across = (torch.einsum("nb,bij->nij", drawn, filters.octaves(side)) for side in (7, 10))
    wanted = torch.einsum("nij,ncjk,nlk->ncil", down, given, across)
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-6)


def test_noise_and_holes_are_drawn_as_the_paper_says():
    count, shape = 20_000, (1, 6, 9)
    given = torch.ones(count, *shape).double()
    noise = seeded(create("ada", shape, groups="noise", probability=0.5), given) - 1
    draw = np.random.default_rng(0)
    sigma = hand.chance(draw, count, 0.5, np.abs(0.1 * draw.standard_normal(count)), 0)
    wanted = sigma[:, None] * draw.standard_normal((count, 54))
    alike(noise.flatten(1), wanted, "noise")
    alike(noise.square().mean((1, 2, 3)), (wanted**2).mean(1), "noise of an image")
    seen = seeded(create("ada", shape, groups="cutout", probability=0.5), given)
    middle = draw.random((count, 2))
    size = hand.chance(draw, count, 0.5, np.full(count, 0.5), 0)
    rows, columns = (np.arange(6) + 0.5) / 6, (np.arange(9) + 0.5) / 9
    outside = [
        np.abs(each - middle[:, [axis]]) >= size[:, None] / 2
        for axis, each in enumerate((rows, columns))
    ]
    alike(seen.flatten(1), outside[0][:, :, None] | outside[1][:, None], "cutout")


def test_diffaug_changes_colours_as_the_paper_says():
    count = 20_000
    given = images(1, (3, 1, 2)).expand(count, -1, -1, -1)
    found = seeded(diffaug.recoloured, given).flatten(1)
    wanted = hand.recoloured(np.random.default_rng(0), given.numpy())
    alike(found, wanted, "colour")
    alike(
        found[:, :1] * found[:, 1:],
        wanted.reshape(count, -1)[:, :1] * wanted.reshape(count, -1)[:, 1:],
        "products",
    )


@pytest.mark.parametrize("size", [(16, 9), (5, 12)], ids=str)
def test_diffaug_moves_and_cuts_as_the_paper_says(size):
    count = 2_000
    given = torch.ones(count, 1, *size).double()
    cut = seeded(create("diffaug", (1, *size), policy="cutout"), given)
    alike(cut.flatten(1), hand.holes(np.random.default_rng(0), count, *size), "cutout")
    one = images(1, (2, *size))
    moved = seeded(create("diffaug", (2, *size), policy="translation"), one.expand(600, -1, -1, -1))
    far = [int(side / 8 + 0.5) for side in size]
    moves = {
        (down, right): shifted(one[0], down, right)
        for down in range(-far[0], far[0] + 1)
        for right in range(-far[1], far[1] + 1)
    }
    counts = dict.fromkeys(moves, 0)
    for found in moved:
        (which,) = [move for move, wanted in moves.items() if torch.equal(found, wanted)]
        counts[which] += 1
    expected = 600 / len(moves)
    spread = sum((n - expected) ** 2 / expected for n in counts.values())
    assert min(counts.values()) > 0 and spread < len(moves) + 5 * (2 * len(moves)) ** 0.5


def shifted(image, down, right):
    """An image of which pixels come from so many below and to the right, or are 0."""
    height, width = image.shape[1:]
    wide = torch.nn.functional.pad(image, [width, width, height, height])
    return wide[:, height + down : 2 * height + down, width + right : 2 * width + right]


def test_half_of_all_samples_are_mirrored():
    for shape in ((2, 3, 4), (2, 5)):
        given = images(4000, shape)
        seen = create("flip", shape)(given)
        mirrored = (seen == given.flip(-1)).flatten(1).all(1)
        assert (mirrored | (seen == given).flatten(1).all(1)).all()
        assert abs(mirrored.double().mean() - 0.5) < 0.04


# Packing.


def test_packs_are_neighbours_along_the_channels():
    given, part = images(6, (2, 3, 4)), create("pac", (2, 3, 4), m=3)
    seen = part(given)
    assert part.respec(Spec((2, 3, 4), 5)) == Spec((6, 3, 4), 5)
    assert torch.equal(seen[1], torch.cat([given[3], given[4], given[5]]))
    with pytest.raises(Incompatible, match="batch_size = 8: does not come in packs of 3"):
        part(images(8, (2, 3, 4)))


# Slopes.


class Judge(Discriminator):
    """A convolution and a smooth score."""

    def __init__(self, spec):
        super().__init__(spec)
        self.first, self.score_of = nn.Conv2d(spec.shape[0], 4, 3), nn.LazyLinear(1)
        self(torch.zeros(1, *spec.shape))

    def features(self, samples):
        return self.first(samples).tanh()

    def score(self, features, labels=None):
        return self.score_of(features.flatten(1)).squeeze(1)


class Maker(Generator):
    """One layer."""

    def __init__(self, spec):
        super().__init__(spec, latent_dim=4)
        self.layer = nn.Linear(4, spec.numel)

    def forward(self, latents, labels=None):
        return self.layer(latents).tanh().view(-1, *self.spec.shape)


def nets(spec, seen=None):
    torch.manual_seed(0)
    return Maker(spec).double(), Judge(seen or spec).double()


@pytest.mark.parametrize(("name", "options"), EVERY, ids=str)
def test_first_and_second_derivatives(name, options):
    shape, count = (3, 3, 2), options.get("m", 2)
    part = create(name, shape, **options)
    given = images(count, shape).requires_grad_()

    def through(x):
        return seeded(part, x, seed=3)

    def bent(x):  # a linear change alone has no second derivative in samples
        return through(x).square()

    assert torch.autograd.gradcheck(through, given)
    assert torch.autograd.gradgradcheck(bent, given)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("name", "options"), EVERY, ids=str)
def test_r1_through_it_is_plain_double_backward(name, options, way):
    shape = (3, 5, 6)
    part, penalty = create(name, shape, **options), REGISTRY.create("regularizer", "r1", weight=3.0)
    generator, judge = nets(Spec(shape), part.respec(Spec(shape)))
    data, latents = images(6, shape), torch.randn(6, 4).double()
    step = Step("discriminator", generator, judge, data, latents, views=[lambda x, step: part(x)])
    torch.manual_seed(8)
    total, _ = step.penalise([("r1", penalty)], way)
    total = total + softplus(-step.real_logits).mean() + softplus(step.fake_logits).mean()

    torch.manual_seed(8)
    leaf = data.clone().requires_grad_()
    real = judge(part(leaf))
    slope = torch.autograd.grad(real.sum(), leaf, create_graph=True)[0]
    fake = judge(part(generator(latents).detach()))
    # half the mean of squared slopes, as the regularizer says of itself
    wanted = penalty.of(slope) * 3.0 + softplus(-real).mean() + softplus(fake).mean()
    wanted_gradient = gradients(wanted, judge)
    assert slope.abs().sum() > 0
    assert total.item() == pytest.approx(wanted.item(), rel=1e-10)
    torch.testing.assert_close(gradients(total, judge), wanted_gradient, rtol=1e-8, atol=1e-11)


# The adaptive probability.


def test_the_probability_moves_as_worked_out_by_hand():
    part = create("ada", target=0.25, speed=100)
    stream, by_hand, signs = np.random.default_rng(0), 0.0, []
    history = []
    for number in range(1, 33):
        logits = stream.standard_normal(7) + (1.5 if number < 17 else -0.5)
        part.observe(torch.from_numpy(logits))
        signs += list(np.sign(logits))
        if number % 4 == 0:
            move = np.sign(np.mean(signs) - 0.25) * len(signs) / 100
            by_hand, signs = min(max(by_hand + move, 0.0), 1.0), []
        assert part.chance.p.item() == pytest.approx(by_hand, abs=1e-12)
        history.append(by_hand)
    assert max(history) == 1.0 and history[-1] == 0.0, "both ends are met"
    fixed = create("ada", probability=0.4)
    fixed.observe(torch.ones(8))
    assert fixed.chance.p.item() == pytest.approx(0.4) and len(list(fixed.chance.buffers())) == 1


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_a_compiled_update_has_the_gradient_of_the_probability_before_it_moved(backend):
    """The probability goes from 0.5 to 1 in this very update, and slopes are taken through it."""
    import torch._inductor.config as inductor

    shape = (3, 5, 6)
    generator, judge = nets(Spec(shape))
    part = create("ada", shape, groups="color", speed=12)
    penalty = REGISTRY.create("regularizer", "r1", weight=3.0).double()
    found = []
    for compiled in (False, True):
        parts = Parts(
            generator,
            judge,
            REGISTRY.create("loss", "nonsat"),
            {"r1": penalty},
            {"ada": copy.deepcopy(part)},
        )
        chance = parts.augmentations["ada"].chance
        chance.p.fill_(0.5)
        chance.updates.fill_(probability.EVERY - 1)
        chance.target = -2.0  # so that it rises whatever the logits are
        compute = losses(parts, "discriminator")
        if compiled:
            torch._dynamo.reset()
            compute = torch.compile(compute, fullgraph=True, dynamic=False, backend=backend)
        data, latents = images(6, shape), torch.ones(6, 4).double()
        judge.zero_grad()
        torch.manual_seed(4)
        with inductor.patch(fallback_random=True):
            total, *_ = compute(Batch(data), latents, torch.tensor(0.0), ("r1",))
            total.backward()
        assert chance.p.item() == 1.0 and chance.seen.item() == 0.0
        found.append([total.detach(), *(p.grad.clone() for p in judge.parameters())])
    torch._dynamo.reset()
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-11)


# Pseudo augmentation.


def update_of(side):
    spec = Spec((2, 4, 4))
    generator, judge = nets(spec)
    data, latents = images(8, spec.shape), torch.randn(8, 4).double()
    return Update(side, {"gen": generator, "disc": judge}, Batch(data), latents), generator, data


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_generated_samples_pass_for_real_with_the_probability(chance):
    game = REGISTRY.create("game", "apa", Spec((2, 4, 4)), probability=chance).double()
    update, generator, data = update_of("discriminator")
    (step,) = game.steps(update)
    torch.manual_seed(2)
    real = step.data
    drawn = generator(update.latents.roll(1, 0))
    is_drawn = torch.isclose(real, drawn, atol=1e-12).flatten(1).all(1)
    is_data = (real == data).flatten(1).all(1)
    assert (is_drawn ^ is_data).all() and not real.requires_grad
    torch.manual_seed(2)
    assert torch.equal(is_drawn, torch.rand(8, dtype=torch.float64) < chance)
    assert is_drawn.sum() == {0.0: 0, 1.0: 8}.get(chance, is_drawn.sum())
    assert torch.equal(step.drawn, generator(update.latents).detach()), "what is judged as fake"
    (step,) = game.steps(update_of("generator")[0])
    assert torch.equal(step.data, data), "the generator's updates see real samples"


def test_pseudo_augmentation_follows_the_logits():
    game = REGISTRY.create("game", "apa", Spec((2, 4, 4)), target=-1.0, speed=64).double()
    for number in range(1, 9):
        update, *_ = update_of("discriminator")
        assert game.terms(update, game.steps(update)) == {}
        game.terms(update_of("generator")[0], [])
        assert game.chance.p.item() == pytest.approx(min(number // 4 * 0.5, 1.0))


# Trainings.

TRAININGS = {
    "ada and r1": {"aug": {"ada": {"speed": 100}}, "reg": {"r1": {}},
                   "disc": {"norm": "none"}},
    "apa": {"game": {"name": "apa", "speed": 100, "target": -0.9},
            "aug": {"diffaug": {}, "flip": {}}},
    "pac": {"aug": {"flip": {}, "pac": {}}},
}  # fmt: skip


def training(name, engine="eager"):
    tree = configuration.defaults()
    tiny = {
        "data": {"name": "digits", "resolution": 8},
        "gen": {"name": "dcgan", "width": 4},
        "disc": {"width": 4},
        "optim": {"gen": {"eps": 1e-4}, "disc": {"eps": 1e-4}},
        "train": {"images": 8 * 10, "batch_size": 8, "device": "cpu", "precision": "fp32"},
        "log": {"images": 16},
    }
    for later in (tiny, TRAININGS[name]):
        tree = configuration.merge(tree, later)
    pipeline = assemble(configuration.check(tree), REGISTRY)
    pipeline.engine = engine
    return Training(pipeline)


@pytest.mark.parametrize("name", TRAININGS)
def test_a_resumed_run_is_equal_bit_for_bit(name):
    whole = training(name)
    whole.goal = 8 * 6
    whole.run()
    saved = copy.deepcopy(whole.state_dict())
    whole.goal = 8 * 10
    whole.run()
    resumed = training(name)
    resumed.load_state_dict(saved)
    resumed.run()
    end, other = whole.state_dict(), resumed.state_dict()
    kept = [k for k, v in end["parts"].items() if "chance" in k]
    assert len(kept) == (0 if name == "pac" else 4)
    if kept:
        moved = [end["parts"][k] for k in kept if k.endswith("chance.p")]
        assert moved[0] > 0, "it moved"
    for group, content in end.items():
        for key, value in content.items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(value, other[group][key]), f"{group}: {key}"


def test_captured_trains_as_eager(cuda):
    eager, captured = (training("ada and r1", engine) for engine in ("eager", "captured"))
    for run in (eager, captured):
        torch.manual_seed(5)
        run.run()
    assert captured.engine.mode == "captured" and cuda.recordings
    check_close(eager.state_dict(), captured.state_dict())


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("ada", "image"),
        ("diffaug", "image"),
        ("flip", "image and signal"),
        ("pac", "image and signal"),
    ],
)
def test_points_are_refused_in_one_line(name, what):
    tree = configuration.merge(
        configuration.defaults(),
        {"data": {"name": "ring"}, "gen": {"name": "mlp"}, "aug": {name: {}}},
    )
    with pytest.raises(
        Incompatible, match=f"aug.{name}: handles {what} data, and these are points"
    ) as error:
        assemble(configuration.check(tree), REGISTRY)
    assert error.value.remedy == "none that is installed does"


@pytest.mark.parametrize(
    ("layer", "remedy"),
    [
        (
            {"disc": {"labels": True}, "gen": {"labels": True}},
            "leave it out, or set: disc.labels = False",
        ),
        (
            {"gen": {"labels": True}, "reg": {"acgan": {}}, "loss": {"name": "hinge"}},
            "leave one of the two out",
        ),
    ],
    ids=["discriminator", "regularizer"],
)
def test_packs_before_what_reads_labels_are_one_line(layer, remedy):
    tree = configuration.defaults()
    tiny = {"data": {"resolution": 8}, "gen": {"width": 4}, "disc": {"width": 4}}
    for later in (tiny, layer, {"aug": {"pac": {}}}):
        tree = configuration.merge(tree, later)
    with pytest.raises(Incompatible, match="makes one of several samples") as error:
        assemble(configuration.check(tree), REGISTRY)
    assert error.value.section == "aug.pac" and str(error.value).endswith(f"; {remedy}")
