"""Heads of discriminators beside the logit."""

from __future__ import annotations

from torch import nn

from ..errors import Incompatible
from ..spec import Spec


def class_head(width: int, spec: Spec) -> nn.Linear:
    """Scores [n, classes] from features [n, width].

    Raises Incompatible where labels are not in use.
    """
    if not spec.classes:
        message = "there are no classes to tell apart"
        remedy = "use data with labels, and a loss or regularizer that reads them"
        raise Incompatible(message, remedy=remedy)
    return nn.Linear(width, spec.classes)
