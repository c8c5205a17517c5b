"""From a discriminator's features to its logits, with and without the class, and to classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from ..errors import Incompatible
from ..spec import Spec

if TYPE_CHECKING:
    from ..contracts import Discriminator

Head = Literal["projection", "concat", "classify"]


class LinearHead(nn.Module):
    """Logits [n] from features [n, f]."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.judge = nn.Linear(features, 1)

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        logits: Tensor = self.judge(features)
        return logits.squeeze(1)


class ProjectionHead(LinearHead):
    """A linear head plus the inner product of features [n, f] and a vector for the class [n]
    (Miyato and Koyama 2018, eq. 3).
    """

    def __init__(self, features: int, classes: int) -> None:
        super().__init__(features)
        self.classes = nn.Embedding(classes, features)

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        inner: Tensor = (self.classes(labels) * features).sum(1)
        return super().forward(features) + inner


class ConcatHead(LinearHead):
    """A hidden layer over features [n, f] beside a vector for the class [n], then a linear head
    (Mirza and Osindero 2014, at the features and not at the image).
    """

    def __init__(self, features: int, classes: int) -> None:
        super().__init__(features)
        self.classes = nn.Embedding(classes, features)
        self.hidden = nn.Linear(2 * features, features)

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        joined = torch.cat([features, self.classes(labels)], 1)
        return super().forward(self.hidden(joined).relu())


def label_head(name: Head, features: int, classes: int) -> LinearHead:
    """The head of that name; linear for the one that tells classes beside, and without classes."""
    if classes and name == "projection":
        return ProjectionHead(features, classes)
    if classes and name == "concat":
        return ConcatHead(features, classes)
    return LinearHead(features)


def add_label_head(net: Discriminator, name: Head, features: int, labels: bool) -> LinearHead:
    """A discriminator's head over features [n, features] that reads or tells the class, where it is
    to and the data have classes; sets the net's `conditional`, `classify` and `heads`.
    """
    told = labels and net.spec.classes > 0
    net.conditional = told and name != "classify"
    if told and name == "classify":
        net.classify, net.heads = class_head(features, net.spec), ("classify",)
    return label_head(name, features, net.spec.classes if told else 0)


def class_head(width: int, spec: Spec) -> nn.Linear:
    """Scores [n, classes] from features [n, width].

    Raises Incompatible where labels are not in use.
    """
    if not spec.classes:
        message = "there are no classes to tell apart"
        remedy = "use data with labels, and a loss or regularizer that reads them"
        raise Incompatible(message, remedy=remedy)
    return nn.Linear(width, spec.classes)
