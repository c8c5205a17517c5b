"""An auxiliary classifier whose loss joins on both sides (Odena et al. 2017)."""

from torch import nn
from torch.nn.functional import cross_entropy, leaky_relu

from ganzoo import hookimpl
from ganzoo.contracts import Discriminator, PositiveInt, Regularizer, Spec, Step
from ganzoo.errors import Incompatible


class ClassifyingDiscriminator(Discriminator):
    """A discriminator with a second head that names the class; its logit does not read labels.

    width: units in the hidden layer
    """

    classifies = True  # has classify(features) -> [n, classes]
    heads = ("classify",)

    def __init__(self, spec: Spec, *, width: PositiveInt = 32) -> None:
        super().__init__(spec)
        if not spec.classes:
            raise Incompatible(
                "--disc classifying: needs classes; use data with labels and --reg auxiliary"
            )
        self.hidden, self.judge = nn.Linear(spec.numel, width), nn.Linear(width, 1)
        self.classify = nn.Linear(width, spec.classes)

    def features(self, samples):
        return leaky_relu(self.hidden(samples.flatten(1)), 0.2)

    def score(self, features, labels=None):
        return self.judge(features).squeeze(1)


class AuxiliaryClassifier(Regularizer):
    """Both nets minimise the cross-entropy of the
    classes: L_C of AC-GAN (Odena et al. 2017, eq. 3).
    """

    side = "both"
    conditional = True
    needs = {"discriminator": "classifies"}  # noqa: RUF012

    def penalty(self, step: Step):
        classify = step.discriminator.classify
        fake = cross_entropy(classify(step.fake_features), step.labels)
        return (
            fake
            if step.side == "generator"
            else fake + cross_entropy(classify(step.real_features), step.labels)
        )


@hookimpl
def register_discriminators(register):
    register("classifying", ClassifyingDiscriminator)


@hookimpl
def register_regularizers(register):
    register("auxiliary", AuxiliaryClassifier, paper="arXiv:1610.09585")
