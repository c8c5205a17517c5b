"""Classes as a loss of their own, made of rotations, and read by a net that learns nothing."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy, softplus

from ganzoo import hookimpl
from ganzoo.contracts import Discriminator, Loss, PositiveInt, Regularizer, Spec


class ClassLoss(Loss):
    """Cross-entropy of real or generated and of the class, in one loss (Odena et al. 2017)."""

    conditional = True
    needs = {"discriminator": "classify"}  # noqa: RUF012

    def discriminator(self, step):
        told = softplus(-step.real_logits).mean() + softplus(step.fake_logits).mean()
        return (
            told + self._missed(step, step.real_features) + self._missed(step, step.fake_features)
        )

    def generator(self, step):
        return softplus(-step.fake_logits).mean() + self._missed(step, step.fake_features)

    def _missed(self, step, features):
        return cross_entropy(step.discriminator.classify(features), step.labels)


class Turning(Discriminator):
    """Judges pictures, and says by how many quarters they are turned.

    width: units in the hidden layer
    """

    modalities = ("image",)
    heads = ("turned",)

    def __init__(self, spec: Spec, *, width: PositiveInt = 16) -> None:
        super().__init__(spec)
        self.hidden, self.judge = nn.Linear(spec.numel, width), nn.Linear(width, 1)
        self.turned = nn.Linear(width, 4)

    def features(self, samples):
        return nn.functional.leaky_relu(self.hidden(samples.flatten(1)), 0.2)

    def score(self, features, labels=None):
        return self.judge(features).squeeze(1)


class Rotations(Regularizer):
    """The discriminator learns rotations of real pictures, the generator draws pictures whose
    rotations it tells (Chen et al. 2019, eq. 4 and 5).
    """

    side = "both"
    needs = {"discriminator": "turned"}  # noqa: RUF012

    def penalty(self, step):
        pictures = step.real if step.side == "discriminator" else step.fake
        turned = torch.cat([pictures.rot90(times, (2, 3)) for times in range(4)])
        wanted = torch.arange(4, device=turned.device).repeat_interleave(len(pictures))
        return cross_entropy(step.discriminator.turned(step.discriminator.features(turned)), wanted)


class Guided(Regularizer):
    """What is drawn is to be taken for its class by a classifier that learns nothing; here one of
    random weights.

    classes: that it tells apart
    """

    side = "generator"
    conditional = True

    def __init__(self, *, classes: PositiveInt = 3) -> None:
        super().__init__()
        layers = nn.Conv2d(1, 8, 4, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(128, classes)
        self.classifier = nn.Sequential(*layers).requires_grad_(False)

    def penalty(self, step):
        return cross_entropy(self.classifier(step.drawn), step.labels)


@hookimpl
def register_losses(register):
    register("class-loss", ClassLoss, paper="arXiv:1610.09585")


@hookimpl
def register_discriminators(register):
    register("turning", Turning, paper="arXiv:1811.11212")


@hookimpl
def register_regularizers(register):
    register("rotations", Rotations, paper="arXiv:1811.11212")
    register("guided", Guided)
