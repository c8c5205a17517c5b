"""Regularizers on logits, features, latents and weights against their papers' formulas, in float64:
values and gradients; what they keep, and what they refuse.
"""

import copy
import math

import pytest
import terms_by_hand as hand
import torch
from parts.conditional import LabelledGenerator
from torch import nn

from ganzoo.components.loading import zoo
from ganzoo.contracts import Discriminator, Generator, Spec, Step
from ganzoo.contracts.game import Nets
from ganzoo.errors import Incompatible

IMAGE = Spec((2, 6, 7), 3)
SPECS = {"image": IMAGE, "points": Spec((3,), 3)}
CLOSE = {"rtol": 1e-10, "atol": 1e-13}


def create(name, **options):
    return zoo().registry.create("regularizer", name, **options).double()


class Judge(Discriminator):
    """Two layers; features are those of the first, and its scores of classes are linear."""

    def __init__(self, spec, width=5):
        super().__init__(spec)
        self.inner, self.outer = nn.Linear(spec.numel, width), nn.Linear(width, 1)
        self.classify = nn.Linear(width, spec.classes)

    def features(self, samples):
        return self.inner(samples.flatten(1)).tanh()

    def score(self, features, labels=None):
        return self.outer(features).squeeze(1)


class Maker(Generator):
    """Two layers."""

    def __init__(self, spec):
        super().__init__(spec, latent_dim=4)
        self.inner, self.outer = nn.Linear(4, 6), nn.Linear(6, spec.numel)

    def forward(self, latents, labels=None):
        return self.outer(self.inner(latents).tanh()).view(-1, *self.spec.shape)


def step_for(side, spec=IMAGE, seed=0, maker=Maker, **more):
    torch.manual_seed(seed)
    generator, discriminator = maker(spec).double(), Judge(spec).double()
    data = torch.randn(6, *spec.shape, dtype=torch.float64)
    latents = torch.randn(6, generator.latent_dim, dtype=torch.float64)
    labels = torch.tensor([0, 2, 1, 1, 0, 2])
    return Step(side, generator, discriminator, data, latents, labels, **more)


def agree(found, wanted, net):
    """Equal values, and equal gradients in a net that are not zero."""
    torch.testing.assert_close(found, wanted, **CLOSE)
    trained = [p for p in net.parameters() if p.requires_grad]
    one, other = (
        torch.autograd.grad(value, trained, materialize_grads=True, allow_unused=True)
        for value in (found, wanted)
    )
    assert any(gradient.any() for gradient in other)
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, **CLOSE)


# Logits.


@pytest.mark.parametrize(("decay", "start"), [(0.9, 0), (0.9, 1), (0.5, 3)])
def test_lecam_is_near_the_running_means_of_the_other_side(decay, start):
    penalty, batches = create("lecam", decay=decay, start=start), []
    judge, other = (Judge(IMAGE).double() for _ in range(2))
    penalty.prepare(None, Nets({"disc.a": judge, "disc.b": other}))
    judge.double()
    for number in range(6):
        step = step_for("discriminator", seed=number)
        step.discriminator = judge
        real = judge(step.data)
        fake = judge(step.generator(step.latents).detach())
        means = hand.lecam_means(batches, decay, start)[-1]
        found = penalty.penalty(step)
        if number < start:
            assert found.item() == 0
        else:
            agree(found, hand.lecam(real, fake, *means), judge)
        with torch.no_grad():
            penalty.after_update(judge)
            penalty.after_update(judge)  # of an update in which it did not act: the means stay
        batches.append((real.detach(), fake.detach()))
        means = hand.lecam_means(batches, decay, start)[-1]
        kept = judge.logit_means
        assert (kept.real.item(), kept.fake.item()) == pytest.approx(means, rel=1e-12)
    assert kept.updates == 6
    assert other.logit_means.updates == 0, "each discriminator has means of its own"


def test_drift_is_the_mean_square_of_real_logits():
    step = step_for("discriminator")
    wanted = (step.discriminator(step.data) ** 2).sum() / 6
    agree(create("drift").penalty(step), wanted, step.discriminator)


# Consistency.


def test_images_are_mirrored_and_moved_by_up_to_four_pixels():
    from ganzoo_plugins.penalties.consistency import mirrored_and_moved

    torch.manual_seed(0)
    image = torch.randn(2, 11, 12)
    images = mirrored_and_moved(image.expand(3000, -1, -1, -1))
    moves = {
        (mirror, down, right): hand.shifted(image, mirror, down, right)
        for mirror in (False, True)
        for down in range(-4, 5)
        for right in range(-4, 5)
    }
    counts = dict.fromkeys(moves, 0)
    for found in images:
        (which,) = [move for move, wanted in moves.items() if torch.equal(found, wanted)]
        counts[which] += 1
    assert min(counts.values()) > 3 and max(counts.values()) < 45, "162 moves, 18.5 times each"
    for place, sides in ((0, 2), (1, 9), (2, 9)):
        shares = [
            sum(n for move, n in counts.items() if move[place] == value) / 3000
            for value in {move[place] for move in moves}
        ]
        assert len(shares) == sides and all(abs(s - 1 / sides) < 0.035 for s in shares)


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (3, 8)])
def test_small_images_are_moved_within_themselves(size):
    from ganzoo_plugins.penalties.consistency import mirrored_and_moved

    images = torch.arange(size[0] * size[1]).double().view(1, 1, *size).expand(50, -1, -1, -1)
    found = mirrored_and_moved(images)
    assert found.shape == images.shape and set(found.flatten().tolist()) <= set(
        images[0].flatten().tolist()
    )


@pytest.mark.parametrize("name", ["cr", "bcr"])
def test_consistency_is_of_the_moved_images_as_seen(name, monkeypatch):
    from ganzoo_plugins.penalties import consistency

    monkeypatch.setattr(consistency, "mirrored_and_moved", lambda images: images.roll(1, 3) * 2)
    step = step_for("discriminator", views=[lambda samples, step: samples + 1])
    judge = step.discriminator
    real, fake = step.data + 1, step.generator(step.latents).detach() + 1
    wanted = hand.squared_difference(judge(real.roll(1, 3) * 2), judge(real))
    if name == "bcr":
        wanted = wanted + hand.squared_difference(judge(fake.roll(1, 3) * 2), judge(fake))
    agree(create(name).penalty(step), wanted, judge)


@pytest.mark.parametrize("name", ["cr", "bcr"])
@pytest.mark.parametrize("shape", [(3,), (2, 9)])
def test_consistency_refuses_what_is_no_image(name, shape):
    spec = Spec(shape)
    with pytest.raises(Incompatible, match="mirrors and moves images, and these are"):
        create(name).prepare(Maker(spec), Judge(Spec(shape, 3)))


@pytest.mark.parametrize("sort", SPECS)
@pytest.mark.parametrize("maker", [Maker, LabelledGenerator])
def test_latent_consistency_of_either_net(sort, maker):
    for side in ("discriminator", "generator"):
        step = step_for(side, SPECS[sort], maker=maker)
        latents, make, judge = step.latents, step.generator, step.discriminator
        torch.manual_seed(7)
        found = create("zcr", judge=3.0, spread=0.7, std=0.2).penalty(step)
        torch.manual_seed(7)
        one = make(latents, step.labels)
        other = make(latents + 0.2 * torch.randn_like(latents), step.labels)
        if side == "discriminator":
            wanted = 3 * hand.squared_difference(judge(one.detach()), judge(other.detach()))
        else:
            wanted = -0.7 * hand.squared_difference(one, other)
        agree(found, wanted, step.net)


# Features and classes.


class Nested(Judge):
    """Features in a dictionary of tensors and lists."""

    def features(self, samples):
        hidden = super().features(samples)
        return {"hidden": hidden, "raw": [samples, [hidden**2]]}

    def score(self, features, labels=None):
        return super().score(features["hidden"])


@pytest.mark.parametrize("nested", [False, True])
def test_feature_matching_is_the_distance_of_means(nested):
    step = step_for("generator")
    if nested:
        step.discriminator = Nested(IMAGE).double()
    hidden = step.discriminator.inner
    lists = []
    for samples in (step.data, step.generator(step.latents)):
        first = torch.tanh(hidden(samples.flatten(1)))
        lists.append([first, samples, first**2] if nested else [first])
    agree(create("featmatch").penalty(step), hand.feature_matching(*lists), step.generator)


class Whole(Discriminator):
    """Defines forward alone."""

    def __init__(self, spec):
        super().__init__(spec)
        self.judge = nn.Linear(spec.numel, 1)

    def forward(self, samples, labels=None):
        return self.judge(samples.flatten(1)).squeeze(1)


@pytest.mark.parametrize("name", ["featmatch", "d2dce"])
def test_features_must_be_defined(name):
    with pytest.raises(Incompatible, match="that defines `features`, and Whole does not"):
        create(name).prepare(Maker(IMAGE), Whole(IMAGE))


def test_features_are_counted_with_what_their_discriminator_reads():
    from ganzoo_plugins.penalties.features import features_of

    class Reading(Judge):
        """Sees a mask beside the sample."""

        reads = ("mask",)

        def features(self, samples, mask):
            return torch.cat([super().features(samples), mask.flatten(1)], 1)

    spec = Spec(IMAGE.shape, IMAGE.classes, given={"mask": Spec((1, 2, 3))})
    assert features_of(Reading(spec)) == 5 + 6


@pytest.mark.parametrize("side", ["discriminator", "generator"])
def test_auxiliary_classifier_is_cross_entropy_on_either_side(side):
    step = step_for(side)
    judge, fake = step.discriminator, step.generator(step.latents)
    fake = fake.detach() if side == "discriminator" else fake
    wanted = hand.cross_entropy(judge.classify(judge.features(fake)), step.labels)
    if side == "discriminator":
        real = judge.classify(judge.features(step.data))
        wanted = wanted + hand.cross_entropy(real, step.labels)
    agree(create("acgan").penalty(step), wanted, step.net)


@pytest.mark.parametrize("side", ["discriminator", "generator"])
@pytest.mark.parametrize(("temperature", "margin"), [(0.5, 0.98), (0.2, 0.6)])
def test_data_to_data_cross_entropy(side, temperature, margin):
    step = step_for(side)
    judge = step.discriminator
    penalty = create("d2dce", size=4, temperature=temperature, margin=margin)
    penalty.prepare(step.generator, judge.float())
    judge.double()
    assert judge.embed.weight.shape == (4, 5) and judge.proxies.weight.shape == (3, 4)
    samples = step.data if side == "discriminator" else step.generator(step.latents)
    vectors = judge.embed(judge.features(samples))
    wanted = hand.data_to_data(vectors, judge.proxies.weight, step.labels, temperature, margin)
    agree(penalty.penalty(step), wanted, step.net)


def test_data_to_data_without_rivals_is_zero():
    """All of one class: nothing to be told from, and nothing to learn."""
    step = step_for("discriminator")
    step.labels = torch.zeros(6, dtype=torch.long)
    penalty = create("d2dce")
    penalty.prepare(step.generator, step.discriminator.float())
    step.discriminator.double()
    assert penalty.penalty(step).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("name", ["acgan", "d2dce"])
@pytest.mark.parametrize("labels", [None, torch.tensor([0, 1])])
def test_classes_want_a_label_a_sample(name, labels):
    """Packing makes one judgement of several samples."""
    step, penalty = step_for("generator"), create(name)
    penalty.prepare(step.generator, step.discriminator.float())
    step.discriminator.double()
    step.labels = labels
    with pytest.raises(Incompatible, match="one label for each sample that the discriminator"):
        penalty.penalty(step)


def test_classes_are_refused_where_there_are_none():
    with pytest.raises(Incompatible, match="no classes to tell apart"):
        create("d2dce").prepare(None, zoo().registry.create("discriminator", "mlp", Spec((3,))))
    with pytest.raises(Incompatible, match="no classes to tell apart"):
        zoo().registry.create("discriminator", "mlp", Spec((1, 8, 8)), labels="classify")


# Samples and latents.


@pytest.mark.parametrize("maker", [Maker, LabelledGenerator])
def test_mode_seeking_compares_neighbours_of_the_batch_of_one_label(maker):
    step = step_for("generator", maker=maker)
    latents, make = step.latents, step.generator
    others = torch.cat([latents[-1:], latents[:-1]])
    samples = make(latents, step.labels)
    wanted = hand.mode_seeking(samples, make(others, step.labels), latents, others)
    agree(create("mode-seeking").penalty(step), wanted, make)


def test_mode_seeking_of_equal_samples_is_finite_and_of_one_is_refused():
    step = step_for("generator")
    step.drawn = torch.zeros(6, *IMAGE.shape)
    assert create("mode-seeking").penalty(step).item() == pytest.approx(1e5)
    step.latents = step.latents[:1]
    with pytest.raises(
        Incompatible, match="mode-seeking compares the samples of a batch; take at least 2"
    ):
        create("mode-seeking").penalty(step)


class Mapped(Maker):
    """By way of w, one for each of two layers."""

    def mapping(self, latents):
        return torch.stack([self.inner(latents), self.inner(latents).sin()], 1)

    def synthesis(self, w):
        return self.outer((w[:, 0] * w[:, 1].exp()).tanh()).view(-1, *self.spec.shape)

    def forward(self, latents, labels=None):
        return self.synthesis(self.mapping(latents))


class MappedClasses(Mapped):
    """The same, with labels."""

    conditional = True

    def mapping(self, latents, labels):
        return super().mapping(latents + labels[:, None])

    def forward(self, latents, labels=None):
        return self.synthesis(self.mapping(latents, labels))


@pytest.mark.parametrize("sort", SPECS)
@pytest.mark.parametrize("maker", [Maker, LabelledGenerator, Mapped, MappedClasses])
def test_path_length_is_that_of_plain_double_backward(maker, sort):
    penalty, spec = create("pathlen", decay=0.75), SPECS[sort]
    for number in range(3):
        step = step_for("generator", spec, seed=number, maker=maker)
        make, labels = step.generator, (step.labels,) * maker.conditional
        mapped = issubclass(maker, Mapped)
        torch.manual_seed(5)
        before = penalty.mean.item()
        total, values = step.penalise([("pathlen", penalty)])
        torch.manual_seed(5)
        w = make.mapping(step.latents, *labels) if mapped else step.latents
        w = w.detach().requires_grad_()
        samples = make.synthesis(w) if mapped else make(w, *labels)
        noise = torch.randn_like(samples) / math.sqrt(math.prod(spec.shape[1:]))
        slope = torch.autograd.grad((samples * noise).sum(), w, create_graph=True)[0]
        wanted = hand.path_length(slope, before)
        torch.testing.assert_close(values["pathlen"], wanted.detach(), rtol=1e-8, atol=1e-13)
        layers = [make.outer] if mapped else [make]  # a slope in w does not reach the mapping
        for layer in layers:
            one, other = (
                torch.autograd.grad(
                    value, list(layer.parameters()), allow_unused=True, retain_graph=True
                )
                for value in (total / 8, wanted)  # weight 2, every 4th update
            )
            for a, b in zip(one, other, strict=True):
                if b is not None and b.any():
                    torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-13)
        with torch.no_grad():
            penalty.after_update(make)
            penalty.after_update(make)  # of an update in which it did not act
        after = 0.75 * before + 0.25 * mean_length(slope)
        assert penalty.mean.item() == pytest.approx(after, rel=1e-9)


def mean_length(slope):
    """The mean length of slopes, one by one."""
    found = [math.sqrt(hand.path_length(one[None], 0).item()) for one in slope.detach()]
    return sum(found) / len(found)


# Weights, and who is learned from.


@pytest.mark.parametrize("side", ["generator", "discriminator"])
def test_orthogonality_is_of_different_rows(side):
    class Layers(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.up = nn.Conv2d(2, 3, 2), nn.ConvTranspose2d(3, 4, 2)
            self.dense, self.classes = nn.Linear(3, 2), nn.Embedding(5, 3)
            self.norm, self.frozen = nn.LayerNorm(3), nn.Linear(2, 2)
            self.frozen.weight.requires_grad_(False)
            self.held = nn.utils.parametrizations.spectral_norm(nn.Linear(3, 4))

    torch.manual_seed(0)
    step, net = step_for(side), Layers().double()
    setattr(step, side, net)
    rows = [
        net.conv.weight.flatten(1),
        torch.stack([net.up.weight[:, i].flatten() for i in range(4)]),
        net.dense.weight,
        net.held.parametrizations.weight.original,
    ]
    wanted = sum(hand.orthogonality(weight) for weight in rows)
    agree(create("ortho", side=side).penalty(step), wanted, net)


def test_orthogonality_of_orthogonal_rows_of_any_length_is_zero():
    step = step_for("generator")
    step.generator = nn.Linear(3, 3).double()
    with torch.no_grad():
        step.generator.weight.copy_(torch.diag(torch.tensor([1.0, 5.0, -2.0])))
    assert create("ortho").penalty(step).item() == 0
    step.generator = nn.LayerNorm(3)
    assert create("ortho").penalty(step) is None, "no weight of two dimensions"


@pytest.mark.parametrize("loss", ["nonsat", "wgan", "lsgan", "rpgan"])
@pytest.mark.parametrize("progress", [0.0, 0.1, 0.4, 0.8])
def test_top_k_has_the_gradient_of_a_mean_over_the_k_most_real(loss, progress):
    from torch.nn.functional import softplus

    part = create("topk", least=0.5, until=0.4)
    step = step_for("generator", views=[part.view], progress=torch.tensor(progress))
    make, judge = step.generator, step.discriminator
    found = zoo().registry.create("loss", loss).generator(step)
    fake = judge(make(step.latents))
    count = round(6 * hand.share_of_batch(0.5, 0.4, progress))
    assert count == {0.0: 6, 0.1: 5, 0.4: 3, 0.8: 3}[progress]
    chosen = hand.largest(fake.tolist(), count)
    each = {
        "nonsat": lambda: softplus(-fake),
        "wgan": lambda: -fake,
        "lsgan": lambda: (fake - 1) ** 2 / 2,
        "rpgan": lambda: softplus(judge(step.data) - fake),
    }[loss]()
    torch.testing.assert_close(found, each.mean(), **CLOSE)
    one, other = (
        torch.autograd.grad(value, list(make.parameters()))
        for value in (found, each[chosen].mean())
    )
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, **CLOSE)


def test_top_k_leaves_real_samples_and_refuses_packed_ones():
    part, step = create("topk"), step_for("generator")
    assert part.view(step.data, step) is step.data
    assert part.on("generator") and not part.on("discriminator")

    class Packed(Judge):
        def features(self, samples):
            return super().features(samples[::2])

    step.discriminator = Packed(IMAGE).double()
    with pytest.raises(Incompatible, match="judges several at once"):
        part.view(step.drawn, step)


# Codes, and logits over their slope.


@pytest.mark.parametrize("side", ["discriminator", "generator"])
@pytest.mark.parametrize(("categories", "continuous"), [(3, 1), (0, 2), (4, 0)])
def test_infogan_is_the_cross_entropy_of_the_code(side, categories, continuous):
    """Of a category, and of numbers under normal distributions of deviation 1, by hand."""
    step = step_for(side)
    penalty = create("infogan", categories=categories, continuous=continuous)
    penalty.prepare(step.generator, step.discriminator)
    judge = step.discriminator.double()
    fake = step.generator(step.latents)
    read = judge.read_code(judge.features(fake if side == "generator" else fake.detach()))
    total = 0.0
    for row, code in zip(read, step.latents, strict=True):
        if categories:
            chosen = code[:categories].tolist().index(max(code[:categories].tolist()))
            total = total - (row[chosen] - row[:categories].logsumexp(0)) / 6
        for k in range(categories, categories + continuous):
            normal = torch.distributions.Normal(row[k], 1.0)
            total = total - normal.log_prob(code[k]) / 6
    agree(penalty.penalty(step), total, step.net)


def test_a_code_longer_than_the_latents_is_one_line():
    step = step_for("generator")
    with pytest.raises(Incompatible, match="codes have 12 numbers, and latents 4"):
        create("infogan").prepare(step.generator, step.discriminator)
    with pytest.raises(Incompatible, match="a category or numbers"):
        create("infogan", categories=0, continuous=0).prepare(step.generator, step.discriminator)


@pytest.mark.parametrize("side", ["discriminator", "generator"])
def test_gradnorm_divides_a_logit_by_its_slope_and_its_size(side):
    """Against autograd.grad, value and gradient of a loss of the logits."""
    step = step_for(side)
    judge, plain = step.discriminator, copy.deepcopy(step.discriminator)
    create("gradnorm").prepare(step.generator, judge)
    samples = step.data if side == "discriminator" else step.generator(step.latents)
    seen = samples if side == "generator" else samples.clone().requires_grad_()
    logits = plain(seen)
    (slope,) = torch.autograd.grad(logits.sum(), seen, create_graph=True)
    wanted = (logits / (slope.flatten(1).norm(dim=1) + logits.abs())).sin().sum()
    found = (step.real_logits if side == "discriminator" else step.fake_logits).sin().sum()
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)
    nets = (judge, plain) if side == "discriminator" else (step.generator, step.generator)
    ours, theirs = (
        torch.autograd.grad(value, list(net.inner.parameters()), retain_graph=True)
        for value, net in zip((found, wanted), nets, strict=True)
    )
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-12)
    assert step.real_logits.abs().max() < 1
    copied = copy.deepcopy(judge)
    assert torch.equal(copied(step.data), judge(step.data)), "a copy is normalised by itself"


def test_gradnorm_takes_the_slope_of_the_logit_of_the_label():
    class Labelled(Judge):
        """As steep as the label says."""

        conditional = True

        def score(self, features, labels=None):
            return super().score(features) * (1 + labels)

    step = step_for("discriminator")
    judge = Labelled(IMAGE).double()
    samples = step.data.clone().requires_grad_()
    logits = judge(samples, step.labels)
    (slope,) = torch.autograd.grad(logits.sum(), samples)
    create("gradnorm").prepare(step.generator, judge)
    wanted = logits / (slope.flatten(1).norm(dim=1) + logits.abs())
    torch.testing.assert_close(judge(step.data, step.labels), wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("later", ["featmatch", "infogan"])
@pytest.mark.parametrize("first", [True, False])
def test_gradnorm_hides_features_from_others(later, first):
    step = step_for("generator")
    options = {"categories": 2, "continuous": 1} if later == "infogan" else {}
    parts = [create("gradnorm"), create(later, **options)]
    with pytest.raises(Incompatible, match="needs a discriminator that defines `features`"):
        for part in parts if first else parts[::-1]:
            part.prepare(step.generator, step.discriminator)
        step.discriminator.double()
        parts[1].penalty(step)
    heads = step_for("generator").discriminator
    heads.heads = ("classify",)
    with pytest.raises(Incompatible, match="hides the features that classify would read"):
        create("gradnorm").prepare(None, heads)


# Defaults.


BASE = {"every": 1}


@pytest.mark.parametrize(
    ("name", "defaults"),
    [
        ("approx-r1", {"weight": 10.0, "sigma": 0.01, **BASE}),
        ("approx-r2", {"weight": 10.0, "sigma": 0.01, **BASE}),
        ("cr", {"weight": 10.0, **BASE}),  # Zhang et al. 2020
        ("bcr", {"weight": 10.0, **BASE}),  # Zhao et al. 2021
        ("zcr", {"weight": 1.0, "judge": 5.0, "spread": 0.5, "std": 0.05, **BASE}),
        ("lecam", {"weight": 0.3, "decay": 0.99, "start": 0, **BASE}),
        ("drift", {"weight": 1e-3, **BASE}),  # Karras et al. 2018
        ("featmatch", {"weight": 1.0, **BASE}),
        ("acgan", {"weight": 1.0, **BASE}),
        ("infogan", {"weight": 1.0, "categories": 10, "continuous": 2, **BASE}),
        (
            "d2dce",
            {"weight": 1.0, "size": 128, "temperature": 0.5, "margin": 0.98, **BASE},
        ),
        ("mode-seeking", {"weight": 1.0, **BASE}),  # Mao et al. 2019
        ("pathlen", {"weight": 2.0, "decay": 0.99, **BASE, "every": 4}),  # Karras et al. 2020
        ("ortho", {"weight": 1e-4, "side": "generator", **BASE}),  # Brock et al. 2019
        ("topk", {"least": 0.5, "until": 0.5}),
    ],
)
def test_defaults(name, defaults):
    """Of the class itself too, and none is lost on the way."""
    made = create(name)
    assert {key: getattr(made, key) for key in defaults} == defaults
    given = {key: 0.75 if isinstance(value, float) else value for key, value in defaults.items()}
    whole = ("every", "size", "start", "categories", "continuous")
    given |= {key: 3 for key in whole if key in given}
    given |= {"side": "both"} if "side" in given else {}
    other = type(made)(**given)
    assert {key: getattr(other, key) for key in given} == given


def test_path_length_refuses_a_generator_that_mixes_the_batch():
    registry = zoo().registry
    maker = registry.create("generator", "mlp", IMAGE, norm="batch")
    with pytest.raises(Incompatible, match="the generator's BatchNorm1d mixes the batch"):
        create("pathlen").prepare(maker, None)
    create("pathlen").prepare(registry.create("generator", "mlp", IMAGE), None)
