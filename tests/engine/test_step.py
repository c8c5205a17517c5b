"""Where slopes are taken, and how: the places of a
step by their distributions, the way by a trial.
"""

import pytest
import torch
from torch import nn

from ganzoo.components.loading import zoo
from ganzoo.contracts import Discriminator, Spec
from ganzoo.contracts.step import Step
from ganzoo.engine.losses import choose_differentiation

N = 4000


@pytest.fixture
def step():
    """Real samples of deviation 2 around 10, generated ones of deviation 1 around -10."""
    torch.manual_seed(0)
    real, fake = torch.randn(N, 3) * 2 + 10, torch.randn(N, 3) - 10
    return Step("discriminator", lambda latents, labels: fake, None, real, torch.zeros(N, 1))


def test_real_and_fake_are_the_samples(step):
    assert torch.equal(step.point("real"), step.data)
    assert torch.equal(step.point("fake"), step.drawn)


def test_between_has_one_weight_a_sample_that_is_uniform(step):
    weights = (step.point("between") - step.real) / (step.fake - step.real)
    torch.testing.assert_close(weights, weights[:, :1].expand(-1, 3), rtol=0, atol=1e-5)
    shares = weights[:, 0].histc(10, 0, 1) / N
    assert (shares - 0.1).abs().max() < 0.02


def test_around_is_noise_of_half_the_deviation_a_part_of_the_way(step):
    """A part of the way u, uniform in 0..1, along noise uniform in 0..0.5 deviations (Kodali et al.
    2017): mean 1/8 of the deviation, mean square 1/36, never below 0 nor above 1/2.
    """
    moved = (step.point("around") - step.real) / step.data.std()
    assert moved.min() >= -1e-6 and 0.45 < moved.max() <= 0.5 + 1e-6
    assert moved.mean().item() == pytest.approx(1 / 8, rel=0.05)
    assert moved.square().mean().item() == pytest.approx(1 / 36, rel=0.05)
    # One part of the way a sample: its numbers are small or large together.
    centred = moved - moved.mean(0)
    related = (centred[:, 0] * centred[:, 1]).mean() / centred.square().mean()
    assert related.item() == pytest.approx((1 / 12 * 1 / 16) / (1 / 36 - 1 / 64), rel=0.15)


class Judge(Discriminator):
    """One hidden layer, with a norm or without."""

    def __init__(self, spec, norm):
        super().__init__(spec)
        self.net = nn.Sequential(nn.Linear(3, 8), norm, nn.Tanh(), nn.Linear(8, 1))

    def score(self, features, labels=None):
        return self.net(features).squeeze(1)


@pytest.mark.parametrize("way", [None, "double_backward", "forward_over_reverse"])
@pytest.mark.parametrize(("name", "place"), [("r1", "data"), ("r2", "drawn")])
def test_a_slope_in_a_pass_of_its_own(name, place, way):
    """A penalty that is called by hand: its formula, and its gradient in the weights."""
    torch.manual_seed(0)
    judge = Judge(Spec((3,)), nn.Identity()).double()
    real, fake = torch.randn(2, 5, 3, dtype=torch.float64)
    latents = torch.zeros(5, 1)
    step = Step("discriminator", lambda *_: fake, judge, real, latents)
    penalty = zoo().registry.create("regularizer", name)
    if way is None:
        found = penalty.penalty(step)
    else:
        found = step.penalise([(name, penalty)], way)[0] / penalty.weight
    x = getattr(step, place).clone().requires_grad_()
    (slope,) = torch.autograd.grad(judge(x).sum(), x, create_graph=True)
    wanted = slope.square().sum(1).mean() / 2
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=0)
    weights = list(judge.parameters())
    one, other = (
        torch.autograd.grad(value, weights, allow_unused=True, materialize_grads=True)
        for value in (found, wanted)
    )
    torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-14)


class Labelled(Judge):
    """Turns a sample's slope by its class, and cannot do without one."""

    conditional = True

    def score(self, features, labels=None):
        return super().score(features) * (1 + nn.functional.one_hot(labels, 2)[:, 0])


def test_a_penalty_and_the_loss_share_a_pass():
    """The pass of a penalty gives the logits where it was: three penalties at two places, and the
    loss after them, take two passes.
    """
    torch.manual_seed(0)
    judge, seen = Judge(Spec((3,)), nn.Identity()), []
    judge.net.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    step = Step("discriminator", lambda latents, labels: latents, judge, torch.randn(5, 3),
                torch.randn(5, 3))  # fmt: skip
    due = [(name, zoo().registry.get("regularizer", name).create()) for name in ("r1", "r2", "lgp")]
    due[2][1].at = "real"
    step.penalise(due)
    assert len(seen) == 2
    assert torch.equal(step.real_logits, judge(step.data))
    assert torch.equal(step.fake_logits, judge(step.drawn))
    assert len(seen) == 4, "the two of this comparison"


def test_the_trial_of_a_conditional_discriminator_is_given_labels():
    torch.manual_seed(0)
    spec = Spec((3,), 2)
    assert choose_differentiation(Labelled(spec, nn.Identity()), spec) == "forward_over_reverse"


class Reading(Judge):
    """One that reads a mask."""

    reads = ("mask",)

    def features(self, samples, mask):
        return samples * mask


def test_the_trial_of_a_discriminator_that_reads_is_given_what_it_reads():
    torch.manual_seed(0)
    spec = Spec((3,), given={"mask": Spec((3,))})
    assert choose_differentiation(Reading(spec, nn.Identity()), spec) == "forward_over_reverse"


def test_each_net_is_given_what_it_reads_and_no_more():
    class Repeating(nn.Module):
        """Draws what it is given."""

        reads = ("hint",)

        def forward(self, latents, labels=None, *, hint):
            return hint

    torch.manual_seed(0)
    judge = Reading(Spec((3,), given={"mask": Spec((3,))}), nn.Identity())
    given = {name: torch.randn(5, 3) for name in ("mask", "hint")}
    data = torch.randn(5, 3)
    step = Step("discriminator", Repeating(), judge, data, torch.randn(5, 1), given=given)
    assert torch.equal(step.drawn, given["hint"])
    assert torch.equal(step.real_logits, judge.score(data * given["mask"]))


class Pair(Labelled):
    """Two judges, of which the second is the first upside down."""

    def score(self, features, labels=None):
        logits = super().score(features, labels)
        return [logits, -logits]


@pytest.mark.parametrize("made", ["for one judge", "before another"])
def test_a_step_made_of_another_has_all_that_it_had(made):
    torch.manual_seed(0)
    spec = Spec((3,), 2)
    one, other = Pair(spec, nn.Identity()), Pair(spec, nn.Identity())
    data, latents, labels = torch.randn(5, 3), torch.randn(5, 1), torch.arange(5) % 2
    more = {"given": {"mask": data}, "progress": 0.5, "from_latents": False, "weight": 2.0}
    step = Step("discriminator", lambda z, y: data, one, data, latents, labels, **more)
    again = step.judges[1] if made == "for one judge" else step.against(other)
    judge = one if made == "for one judge" else other
    assert again.discriminator is judge and again.generator is step.generator
    assert again.latents is latents and again.labels is labels and again.side == step.side
    for name, value in more.items():
        assert getattr(again, name) == value, name
    logits = judge(data, labels)
    wanted = logits[1] if made == "for one judge" else torch.stack(logits, 1)
    assert torch.equal(again.real_logits, wanted)


def test_the_way_is_dual_where_it_is_exact_and_double_where_it_is_not():
    spec = Spec((3,))
    assert choose_differentiation(Judge(spec, nn.Identity()), spec) == "forward_over_reverse"

    class Wrong(torch.autograd.Function):
        """The identity, whose forward-mode derivative is wrong by a factor."""

        generate_vmap_rule = True

        @staticmethod
        def forward(x):
            return x.clone()

        @staticmethod
        def setup_context(ctx, inputs, output):
            pass

        @staticmethod
        def backward(ctx, gradient):
            return gradient

        @staticmethod
        def jvp(ctx, tangent):
            return tangent * 1.01

    class Slightly(nn.Module):
        def forward(self, x):
            return Wrong.apply(x)

    assert choose_differentiation(Judge(spec, Slightly()), spec) == "double_backward"
