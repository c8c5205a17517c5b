"""More than two: two judges with opposite aims (D2GAN), generators that are told apart (MAD-GAN),
latents that go a step towards what the judge likes (LOGAN), both players' slopes (consensus).
"""

import torch
from torch import nn
from torch.func import functional_call, grad
from torch.nn.functional import cross_entropy, softplus

from ganzoo import hookimpl
from ganzoo.contracts import Discriminator, Game, Generator, Loss, PositiveInt, Regularizer, Spec


class TwoJudges(Discriminator):
    """Two numbers a sample, of two heads.

    width: units in the hidden layer
    """

    def __init__(self, spec: Spec, *, width: PositiveInt = 16) -> None:
        super().__init__(spec)
        self.hidden = nn.ModuleList(nn.Linear(spec.numel, width) for _ in range(2))
        self.judges = nn.ModuleList(nn.Linear(width, 1) for _ in range(2))

    def score(self, features, labels=None):
        samples = features.flatten(1)
        each = zip(self.hidden, self.judges, strict=True)
        return torch.cat([judge(hidden(samples).relu()) for hidden, judge in each], 1)


class TwoAims(Loss):
    """One judge rewards real samples, the other generated ones (Nguyen et al. 2017, eq. 1); both
    are positive numbers exp(logit).
    """

    def discriminator(self, step):
        (real, other_real), (fake, other_fake) = step.real_logits.T, step.fake_logits.T
        return -real.mean() + fake.exp().mean() + other_real.exp().mean() - other_fake.mean()

    def generator(self, step):
        fake, other = step.fake_logits.T
        return other.mean() - fake.exp().mean()


class Many(Generator):
    """Several generators, of which the latent's sign of some numbers chooses one.

    latent_dim: numbers in one latent vector
    """

    members = 2

    def __init__(self, spec: Spec, *, latent_dim: PositiveInt = 8) -> None:
        super().__init__(spec, latent_dim=latent_dim)
        self.nets = nn.ModuleList(nn.Linear(latent_dim, spec.numel) for _ in range(self.members))

    def forward(self, latents, labels=None):
        drawn = torch.stack([net(latents) for net in self.nets], 1)
        own = nn.functional.one_hot(self.member(latents), self.members)[..., None]
        return (drawn * own).sum(1).tanh().view(-1, *self.spec.shape)

    def member(self, latents):
        return (latents[:, 0] > 0).long()


class WhichOne(Discriminator):
    """Judges, and says which generator drew a sample.

    width: units in the hidden layer
    """

    heads = ("which",)

    def __init__(self, spec: Spec, *, width: PositiveInt = 16) -> None:
        super().__init__(spec)
        self.hidden, self.judge = nn.Linear(spec.numel, width), nn.Linear(width, 1)
        self.which = nn.Linear(width, Many.members)

    def features(self, samples):
        return self.hidden(samples.flatten(1)).relu()

    def score(self, features, labels=None):
        return self.judge(features).squeeze(1)


class Members(Regularizer):
    """Both players want it to be told which generator drew a sample (Hoang et al. 2018, eq. 2)."""

    side = "both"
    needs = {"discriminator": "which", "generator": "member"}  # noqa: RUF012

    def penalty(self, step):
        which = step.discriminator.which(step.fake_features)
        return cross_entropy(which, step.generator.member(step.latents))


class LatentSteps(Game):
    """Samples are drawn of latents after a step up the judge's slope (Wu et al. 2019, eq. 7; the
    step itself has no gradient here).
    """

    def steps(self, update):
        generator, judge = update.nets["gen"], update.nets["disc"]

        def towards(latents):
            slope = grad(lambda z: judge(generator(z)).sum())(latents)
            return generator((latents + 0.5 * slope).detach())

        return [update.step(fake=towards)]


class Consensus(Regularizer):
    """Half the squared slope of both players' losses in their weights (Mescheder et al. 2017,
    eq. 8), for cross-entropy; each player minimises it in its own weights.
    """

    side = "both"
    differentiates = True

    def penalty(self, step):
        generator, judge = step.generator, step.discriminator
        weights = dict(generator.named_parameters()), dict(judge.named_parameters())

        def logits(weights, samples):
            return functional_call(judge, weights, (samples,))

        def of_generator(own):
            return softplus(
                -logits(weights[1], functional_call(generator, own, (step.latents,)))
            ).mean()

        def of_judge(own):
            fake = functional_call(generator, weights[0], (step.latents,))
            return softplus(-logits(own, step.data)).mean() + softplus(logits(own, fake)).mean()

        slopes = [*grad(of_generator)(weights[0]).values(), *grad(of_judge)(weights[1]).values()]
        return sum(slope.square().sum() for slope in slopes) / 2


@hookimpl
def register_generators(register):
    register("many", Many, paper="arXiv:1704.02906")


@hookimpl
def register_discriminators(register):
    register("two-judges", TwoJudges, paper="arXiv:1709.03831")
    register("which-one", WhichOne, paper="arXiv:1708.02556")


@hookimpl
def register_losses(register):
    register("two-aims", TwoAims, paper="arXiv:1709.03831")


@hookimpl
def register_regularizers(register):
    register("members", Members, paper="arXiv:1708.02556")
    register("consensus", Consensus, paper="arXiv:1705.10461")


@hookimpl
def register_games(register):
    register("latent-steps", LatentSteps, paper="arXiv:1912.00953")
