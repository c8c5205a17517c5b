"""A class-conditional generator with a projection discriminator (Miyato and Koyama 2018)."""

from torch import nn

from ganzoo import hookimpl
from ganzoo.contracts import Discriminator, Generator, PositiveInt, Spec


class LabelledGenerator(Generator):
    """A fully connected generator that is told the class of each sample, if there are classes.

    latent_dim: numbers in one latent vector
    width: units in the hidden layer
    """

    conditional = True
    partner = "projection"

    def __init__(
        self, spec: Spec, *, latent_dim: PositiveInt = 16, width: PositiveInt = 32
    ) -> None:
        super().__init__(spec, latent_dim=latent_dim)
        self.classes = nn.Embedding(spec.classes, width) if spec.classes else None
        self.hidden, self.draw = nn.Linear(latent_dim, width), nn.Linear(width, spec.numel)

    def forward(self, latents, labels=None):
        hidden = (
            self.hidden(latents) if labels is None else self.hidden(latents) + self.classes(labels)
        )
        samples = self.draw(hidden.relu())
        return (samples.tanh() if self.spec.modality == "image" else samples).view(
            -1, *self.spec.shape
        )


class ProjectionDiscriminator(Discriminator):
    """Adds the inner product of features and the class's
    vector to the logit (Miyato and Koyama 2018, eq. 3).

    width: units in the hidden layer
    """

    conditional = True

    def __init__(self, spec: Spec, *, width: PositiveInt = 32) -> None:
        super().__init__(spec)
        self.hidden, self.judge = nn.Linear(spec.numel, width), nn.Linear(width, 1)
        self.classes = nn.Embedding(spec.classes, width) if spec.classes else None

    def features(self, samples):
        return nn.functional.leaky_relu(self.hidden(samples.flatten(1)), 0.2)

    def score(self, features, labels=None):
        logits = self.judge(features).squeeze(1)
        return logits if labels is None else logits + (self.classes(labels) * features).sum(1)


@hookimpl
def register_generators(register):
    register("labelled", LabelledGenerator)


@hookimpl
def register_discriminators(register):
    register("projection", ProjectionDiscriminator, paper="arXiv:1802.05637")
