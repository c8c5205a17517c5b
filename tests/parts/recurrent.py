"""Recurrent nets over signals and tokens; symbols by Gumbel's softmax, and by the policy gradient
of boundary-seeking GANs.
"""

import torch
from torch import nn

from ganzoo import hookimpl
from ganzoo.contracts import Discriminator, Generator, Loss, PositiveFloat, PositiveInt, Spec
from ganzoo.nn import gumbel_noise, relaxed

SERIES = ("signal", "tokens")


def in_time(samples, spec):
    """Samples as [n, t, numbers]."""
    return samples.transpose(1, 2) if spec.modality == "signal" else samples


class RecurrentGenerator(Generator):
    """An LSTM that reads the latent at each moment and what it drew before (Mogren 2016).

    Symbols come by Gumbel's softmax (Jang et al. 2017; Kusner and Hernández-Lobato 2016).

    latent_dim: numbers in one latent vector
    width: numbers in the state
    temperature: of the softmax; a schedule may lower it
    """

    modalities = SERIES
    partner = "recurrent"

    def __init__(
        self,
        spec: Spec,
        *,
        latent_dim: PositiveInt = 8,
        width: PositiveInt = 8,
        temperature: PositiveFloat = 1.0,
    ) -> None:
        super().__init__(spec, latent_dim=latent_dim)
        self.temperature, self.width = temperature, width
        tokens = spec.modality == "tokens"
        self.length, self.numbers = spec.shape if tokens else spec.shape[::-1]
        self.cell = nn.LSTMCell(latent_dim + self.numbers, width)
        self.out = nn.Linear(width, self.numbers)

    def forward(self, latents, labels=None):
        state = latents.new_zeros(len(latents), self.width)
        memory, last, drawn = state, latents.new_zeros(len(latents), self.numbers), []
        for _ in range(self.length):
            state, memory = self.cell(torch.cat([latents, last], 1), (state, memory))
            last = self.out(state)
            if self.spec.modality == "tokens":
                last = relaxed(last, self.temperature, gumbel_noise(last))
            drawn.append(last)
        series = torch.stack(drawn, 1)
        return series if self.spec.modality == "tokens" else series.transpose(1, 2).tanh()


class RecurrentDiscriminator(Discriminator):
    """A GRU forwards and one backwards, whose states are judged at every moment.

    width: numbers in a state
    """

    modalities = SERIES

    def __init__(self, spec: Spec, *, width: PositiveInt = 8) -> None:
        super().__init__(spec)
        numbers = in_time(torch.zeros(1, *spec.shape), spec).shape[2]
        self.ways, self.width = nn.ModuleList(nn.GRUCell(numbers, width) for _ in range(2)), width
        self.judge = nn.Linear(2 * width, 1)

    def features(self, samples):
        series = in_time(samples, self.spec)
        forwards = self._states(self.ways[0], series)
        backwards = self._states(self.ways[1], series.flip(1)).flip(1)
        return torch.cat([forwards, backwards], 2)

    def _states(self, cell, series):
        state, found = series.new_zeros(len(series), self.width), []
        for moment in series.unbind(1):
            state = cell(moment, state)
            found.append(state)
        return torch.stack(found, 1)

    def score(self, features, labels=None):
        return self.judge(features).squeeze(2)


class Sampled(Generator):
    """Draws each symbol from probabilities of its own, without a gradient, and knows how likely a
    drawn text was.

    latent_dim: numbers in one latent vector
    width: numbers in the hidden layer
    """

    modalities = ("tokens",)
    partner = "recurrent"
    likely = True

    def __init__(self, spec: Spec, *, latent_dim: PositiveInt = 8, width: PositiveInt = 8) -> None:
        super().__init__(spec, latent_dim=latent_dim)
        self.body = nn.Sequential(
            nn.Linear(latent_dim, width), nn.ReLU(), nn.Linear(width, spec.numel)
        )

    def logits(self, latents):
        return self.body(latents).view(-1, *self.spec.shape)

    def forward(self, latents, labels=None):
        logits = self.logits(latents)
        chosen = (logits + gumbel_noise(logits)).argmax(2)
        drawn = torch.zeros_like(logits).scatter(2, chosen[..., None], 1.0)
        return drawn + 0 * logits  # attached: a generator whose samples have no gradient is refused

    def log_likelihood(self, latents, drawn):
        return (self.logits(latents).log_softmax(2) * drawn).sum((1, 2))


class BoundarySeeking(Loss):
    """Cross-entropy; the generator makes likely what is judged to lie near the boundary, each
    sample by its share w = exp(D) / sum exp(D) (Hjelm et al. 2018, eq. 9 to 11).
    """

    needs = {"generator": "likely"}  # noqa: RUF012

    def discriminator(self, step):
        fooled = nn.functional.softplus(step.fake_logits).mean()
        return nn.functional.softplus(-step.real_logits).mean() + fooled

    def generator(self, step):
        verdicts = (
            step.fake_logits.flatten(1).mean(1) if step.fake_logits.dim() > 1 else step.fake_logits
        )
        weights = verdicts.detach().softmax(0)
        drawn = step.drawn.detach()
        return -(weights * step.generator.log_likelihood(step.latents, drawn)).sum()


@hookimpl
def register_generators(register):
    register("recurrent", RecurrentGenerator, paper="arXiv:1611.09904")
    register("sampled", Sampled, paper="arXiv:1702.08431")


@hookimpl
def register_discriminators(register):
    register("recurrent", RecurrentDiscriminator, paper="arXiv:1611.09904")


@hookimpl
def register_losses(register):
    register("boundary", BoundarySeeking, paper="arXiv:1702.08431")
