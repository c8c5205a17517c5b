"""Rules about the data that a run is trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

from ..measure.measuring import Real
from .finding import Rule, Sign
from .seen import Seen

LOOKED = 10_000  # samples at most
SHARE = 0.05  # of them


class Duplicates(Rule[Seen]):
    """Samples that are there several times."""

    name = "duplicates in the data"
    reason = "what is there many times is drawn as often, and copies of it look like variety"
    source = "Webster et al. 2019 (arXiv:1909.04479); Karras et al. 2020 (arXiv:2006.06676)"
    origin = "chosen: one in twenty"

    def sign(self, looked: Seen) -> Sign | None:
        samples = some(looked)
        if looked.dataset.spec.modality in ("tokens", "table"):
            return None  # words and categories repeat by themselves
        flat = samples.flatten(1).contiguous()
        seen = {hashlib.sha256(row.numpy().tobytes()).digest() for row in flat}
        twice = len(samples) - len(seen)
        if twice < SHARE * len(samples):
            return None
        return Sign(0, f"{twice:,} of {len(samples):,} samples repeat another one byte for byte")


class Constant(Rule[Seen]):
    """Pictures in one colour."""

    name = "constant pictures"
    reason = "a picture without content is learnt as a mode of its own"
    source = "arithmetic: its share of the data is its share of what a good generator draws"
    origin = "chosen: one in twenty"

    def sign(self, looked: Seen) -> Sign | None:
        samples = some(looked)
        if samples.dim() != 4:
            return None
        flat = samples.flatten(2)
        empty = (flat == flat[:, :, :1]).flatten(1).all(1)
        if empty.sum() < SHARE * len(samples):
            return None
        return Sign(0, f"{int(empty.sum()):,} of {len(samples):,} pictures are of one colour")


class Channels(Rule[Seen]):
    """A channel that says nothing of its own."""

    name = "wrong channels"
    reason = "nets spend weights on numbers that are no data, and scores on colour mean nothing"
    source = "arithmetic: what is the same in all pictures, or in another channel, has no content"
    origin = "none: equality"

    def sign(self, looked: Seen) -> Sign | None:
        samples = some(looked)
        if samples.dim() != 4 or samples.shape[1] < 2:
            return None
        channels = samples.transpose(0, 1).flatten(1)
        still = [i for i, each in enumerate(channels) if bool((each == each[0]).all())]
        alike = [i for i, each in enumerate(channels[1:], 1) if torch.equal(each, channels[0])]
        if not still and not alike:
            return None
        said = [f"channel {i} is the same number everywhere" for i in still]
        said += [f"channel {i} equals channel 0" for i in alike if i not in still]
        return Sign(0, "; ".join(said))

    def change(self, looked: Seen) -> Mapping[str, object]:
        return {"data.channels": 1 if some(looked).shape[1] < 4 else 3}


def some(looked: Seen) -> Tensor:
    """Samples of the training as they are stored, [n, ...]: all, or some of many."""
    data = looked.dataset
    size = min(LOOKED, max(looked.count, 1) * 5)
    return data.gather(Real(data, size).indices).samples
