"""Penalties on the discriminator's features."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ganzoo.contracts import Discriminator, Regularizer, Step, nets_of
from ganzoo.errors import Incompatible
from ganzoo.nn import full, whole_mean


class FeatureMatching(Regularizer):
    """The generator matches the mean features of real samples: |mean f(x) - mean f(G(z))|²
    (Salimans et al. 2016, section 3.1).

    f is what the discriminator's `features` gives, a sum over its tensors if there are several. It
    joins any loss; in the paper it takes the place of the generator's. Raises Incompatible where
    the discriminator defines no features.
    """

    side = "generator"

    def prepare(self, generator: Any, discriminator: Any) -> None:
        """Refuse a discriminator whose features are the samples themselves."""
        for net in nets_of(discriminator):
            require_features(net)

    def penalty(self, step: Step) -> Tensor:
        """The squared distance of the batch's mean features, a scalar."""
        require_features(step.discriminator)  # a part that came later may have changed it
        pairs = zip(tensors(step.real_features), tensors(step.fake_features), strict=True)
        return torch.stack([distance(real, fake) for real, fake in pairs]).sum()


def require_features(discriminator: Any) -> None:
    """Raises Incompatible where the features of a discriminator are the samples themselves, or it
    `hides_features`, as one does that judges by more than these.
    """
    own = getattr(type(discriminator), "features", None)
    if own is Discriminator.features or getattr(discriminator, "hides_features", False):
        name = type(discriminator).__name__
        raise Incompatible(f"needs a discriminator that defines `features`, and {name} does not")


def features_of(discriminator: Any) -> int:
    """How many numbers a discriminator's features have; raises Incompatible where they are the
    samples themselves, or several tensors.
    """
    require_features(discriminator)
    spec = discriminator.spec
    like = next(discriminator.parameters())
    samples = like.new_zeros(2, *spec.shape)
    given = {name: like.new_zeros(2, *spec.given[name].shape) for name in discriminator.reads}
    with torch.no_grad():  # of a copy, whose buffers may move
        features = copy.deepcopy(discriminator).features(samples, **given)
    if not isinstance(features, Tensor):
        kind = type(features).__name__
        raise Incompatible(f"needs a discriminator whose features are one tensor, not a {kind}")
    return features.flatten(1).shape[1]


def distance(real: Tensor, fake: Tensor) -> Tensor:
    """The squared distance of the means of features [n, ...]."""
    return whole_mean(full(real).mean(0) - full(fake).mean(0)).square().sum()


def tensors(features: Any) -> list[Tensor]:
    """The tensors in features, which may be nested in lists and dictionaries."""
    if isinstance(features, Tensor):
        return [features]
    parts = features.values() if isinstance(features, Mapping) else features
    return [tensor for part in parts for tensor in tensors(part)]
