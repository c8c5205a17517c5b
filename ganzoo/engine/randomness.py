"""Random numbers: one seed, a stream for each use, so
that changing one use leaves the others as they were.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from typing import Any

import torch


def derive(seed: int, *use: object) -> int:
    """A seed of 63 bits for one use of the run's seed:
    derive(0, "latents"), derive(0, "init", "generator").
    """
    text = ":".join(map(str, (seed, *use)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def reseed(seed: int) -> None:
    """torch.manual_seed; on a machine without an accelerator that of the CPU alone, for each kind
    that is not there would keep a trace of the stack, which takes milliseconds.
    """
    if torch.accelerator.is_available():
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


def forked(device: torch.device) -> contextlib.AbstractContextManager[None]:
    """torch's global random state, the CPU's and the
    device's, is as before when the context is left.
    """
    kind = (
        "cuda" if device.type == "cpu" else device.type
    )  # with no device listed, the kind is idle
    return torch.random.fork_rng([] if device.type == "cpu" else [device], device_type=kind)


class Streams:
    """The streams that go on during training: latents (a generator of its own), and what happens
    inside updates (augmentation, mixing, noise, dropout: torch's global generators, because
    compiled updates can draw from no other). Initial weights, data order and evaluation are drawn
    from seeds derived for them and keep no state.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self.seed, self.device = seed, device
        self.latents = torch.Generator(device).manual_seed(derive(seed, "latents"))
        reseed(derive(seed, "updates"))

    def state_dict(self) -> dict[str, Any]:
        state = {"latents": self.latents.get_state(), "updates": torch.get_rng_state()}
        if self.device.type != "cpu":
            module = torch.get_device_module(self.device)
            state[f"updates_{self.device.type}"] = module.get_rng_state(self.device)
        return state

    def load_state_dict(self, state: Mapping[str, Any], images: int) -> bool:
        """Go on from a state; false if it is another sort of device's, whose generators have other
        states: then all streams start anew from seeds for that number of images.
        """
        if len(state["latents"]) != len(self.latents.get_state()):
            self.latents.manual_seed(derive(self.seed, "latents", images))
            reseed(derive(self.seed, "updates", images))
            return False
        self.latents.set_state(state["latents"])
        torch.set_rng_state(state["updates"])
        if self.device.type != "cpu":
            own = state[f"updates_{self.device.type}"]
            torch.get_device_module(self.device).set_rng_state(own, self.device)
        return True
