"""Fully connected nets for images, signals and points alike."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from ganzoo.contracts import Discriminator, Generator, PositiveInt, Spec


def _trunk(inputs: int, width: int, depth: int, norm: bool = False) -> nn.Sequential:
    """`depth` hidden layers of `width` units, leaky rectifiers of slope 0.2."""
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [
            nn.Linear(inputs, width),
            *([nn.BatchNorm1d(width)] if norm else []),
            nn.LeakyReLU(0.2),
        ]
        inputs = width
    return nn.Sequential(*layers)


class MLPGenerator(Generator):
    """A fully connected generator for samples of any shape (Goodfellow et al. 2014).

    Images end in tanh; signals and points are unbounded.
    The paper's own net for MNIST is width 1200, depth 2.

    latent_dim: numbers in one latent vector
    width: units in each hidden layer
    depth: hidden layers
    norm: normalisation of the hidden layers
    """

    partner = "mlp"

    def __init__(
        self,
        spec: Spec,
        *,
        latent_dim: PositiveInt = 100,
        width: PositiveInt = 256,
        depth: PositiveInt = 3,
        norm: Literal["none", "batch"] = "none",
    ) -> None:
        super().__init__(spec, latent_dim=latent_dim)
        self.trunk = _trunk(latent_dim, width, depth, norm == "batch")
        self.draw = nn.Linear(width, spec.numel)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        samples: Tensor = self.draw(self.trunk(latents))
        bounded = samples.tanh() if self.spec.modality == "image" else samples
        return bounded.view(-1, *self.spec.shape)


class MLPDiscriminator(Discriminator):
    """A fully connected discriminator for samples of any shape (Goodfellow et al. 2014).

    Leaky rectifiers stand for the paper's maxout units, and nothing mixes the batch.

    width: units in each hidden layer
    depth: hidden layers
    """

    def __init__(self, spec: Spec, *, width: PositiveInt = 256, depth: PositiveInt = 3) -> None:
        super().__init__(spec)
        self.trunk = _trunk(spec.numel, width, depth)
        self.judge = nn.Linear(width, 1)

    def features(self, samples: Tensor) -> Tensor:
        """What the last hidden layer says, [n, width]."""
        units: Tensor = self.trunk(samples.flatten(1))
        return units

    def score(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits [n]."""
        logits: Tensor = self.judge(features).squeeze(1)
        return logits
