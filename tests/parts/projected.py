"""Discriminators that stand on a net that learns nothing (Sauer et al. 2021), or that look at
their own past (a mean teacher), or whose layers are bounded by what they learn.
"""

import copy
import itertools

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from ganzoo import hookimpl
from ganzoo.contracts import Discriminator, PositiveInt, Regularizer, Spec, nets_of


class ProjectedDiscriminator(Discriminator):
    """Judges of several scales of a frozen net's features, which frozen random layers mix across
    channels and scales (Sauer et al. 2021, section 3.2; its features are of ImageNet).

    width: channels
    """

    modalities = ("image",)

    def __init__(self, spec: Spec, *, width: PositiveInt = 8) -> None:
        super().__init__(spec)
        widths = [spec.shape[0], width, 2 * width]
        self.trunk = nn.ModuleList(
            nn.Conv2d(inputs, outputs, 4, 2, 1) for inputs, outputs in itertools.pairwise(widths)
        )
        self.channels = nn.ModuleList(nn.Conv2d(each, width, 1) for each in widths[1:])
        self.scales = nn.Conv2d(width, width, 3, 1, 1)
        for frozen in (self.trunk, self.channels, self.scales):
            frozen.requires_grad_(False)
        self.judges = nn.ModuleList(nn.Conv2d(width, 1, 3, 1, 1) for _ in widths[1:])

    def features(self, samples):
        fine = F.leaky_relu(self.trunk[0](samples), 0.2)
        coarse = F.leaky_relu(self.trunk[1](fine), 0.2)
        mixed = self.channels[1](coarse)
        above = F.interpolate(mixed, fine.shape[2:], mode="bilinear")
        return [self.scales(self.channels[0](fine) + above), mixed]

    def score(self, features, labels=None):
        return [
            judge(F.leaky_relu(each, 0.2)).squeeze(1)
            for judge, each in zip(self.judges, features, strict=True)
        ]


class Teacher(Regularizer):
    """The discriminator stays near a running average of itself (Tarvainen and Valpola 2017).

    decay: share of the average that one update keeps
    """

    decay = 0.9

    def prepare(self, generator, discriminator):
        self.teachers = nn.ModuleList(
            copy.deepcopy(net).requires_grad_(False) for net in nets_of(discriminator)
        )

    def penalty(self, step):
        with torch.no_grad():
            said = self.teachers[0](step.real)
        return (step.real_logits - said).square().mean()

    def after_update(self, net):
        for teacher, pupil in zip(self.teachers, nets_of(net), strict=True):
            own = list(pupil.parameters())
            for average, value in zip(teacher.parameters(), own, strict=True):
                average.lerp_(value, 1 - self.decay)


class Scale(nn.Module):
    """A weight times a number that is learnt."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, weight):
        return self.scale * weight


class ScaledNorm(Regularizer):
    """Divides every weight by its largest singular value and multiplies it by a number that is
    learnt (Miyato et al. 2018, appendix E).
    """

    def prepare(self, generator, discriminator):
        for net in nets_of(discriminator):
            for module in list(net.modules()):
                if isinstance(module, nn.Linear | nn.Conv2d):
                    parametrizations.spectral_norm(module)
                    parametrize.register_parametrization(module, "weight", Scale())


@hookimpl
def register_discriminators(register):
    register("projected", ProjectedDiscriminator, paper="arXiv:2111.01007")


@hookimpl
def register_regularizers(register):
    register("teacher", Teacher, paper="arXiv:1703.01780")
    register("scaled-norm", ScaledNorm, paper="arXiv:1802.05957")
