"""Signals as sound, and as pictures of their frequencies."""

from __future__ import annotations

import io
import math
import wave
from collections.abc import Mapping
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from ..contracts import Spec
from .images import GAP, SIDE

RATE = 16_000  # samples a second, unless they are told
FASTEST = 1 << 20
CHANNELS = 2  # of a sound, at most
HEARD = 16  # signals in one sound, at most
PAUSE = 0.1  # seconds between two
ROWS, ROW = 8, 129  # spectrograms below each other, at most, and pixels of one
WINDOW, SHORTEST = 256, 32  # numbers that a column is made of, and of the shortest signal shown
RANGE = 80.0  # decibels from black to white


def rate_of(options: Mapping[str, Any]) -> int:
    """The samples a second that the options of data say, else 16,000."""
    rate = options.get("rate")
    return rate if type(rate) is int and 1 <= rate <= FASTEST else RATE


def is_sound(spec: Spec) -> bool:
    """Whether samples can be heard: signals of one or two channels."""
    return spec.modality == "signal" and spec.shape[0] <= CHANNELS


def wav_of(signals: Tensor, rate: int = RATE) -> bytes:
    """Signals [n, c, length] in [-1, 1] one after another as a .wav file of 16 bits; louder ones
    are all turned down alike.
    """
    n, channels, _ = signals.shape
    sound = signals.nan_to_num(0, 0, 0)
    sound = sound / sound.abs().max().clamp_min(1.0)
    pause = sound.new_zeros(n, channels, round(PAUSE * rate) if n > 1 else 0)
    joined = torch.cat([sound, pause], 2).transpose(0, 1).flatten(1)  # [c, n * (length + pause)]
    numbers = joined.T.mul(32767).round().short().contiguous()
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(numbers.numpy().astype("<i2").tobytes())
    return buffer.getvalue()


def spectrograms(signals: Tensor) -> Image.Image | None:
    """The first signals [n, c, length], below each other: time to the right, frequency upwards to
    half the rate, 80 decibels from black to white, channels averaged; None for ones too short.
    """
    length = signals.shape[2]
    if length < SHORTEST:
        return None
    shown = signals[:ROWS].nan_to_num(0, 0, 0)
    size = min(WINDOW, 1 << int(math.log2(length / 4)))
    window = torch.hann_window(size)
    rows = shown.flatten(0, 1)
    heights = torch.stft(
        rows, size, size // 4, window=window, center=False, return_complex=True
    ).abs()
    power = heights.square().unflatten(0, shown.shape[:2]).mean(1)  # [n, frequencies, times]
    level = 10 * (power / power.max().clamp_min(1e-12)).clamp_min(1e-12).log10()
    grey = (level / RANGE + 1).clamp(0, 1).flip(1)
    grey = interpolate(grey[:, None], size=(ROW, 2 * SIDE), mode="nearest")[:, 0]
    sheet = torch.nn.functional.pad(grey, (0, 0, 0, GAP), value=1.0).flatten(0, 1)
    return Image.fromarray(sheet.mul(255).round().byte().numpy())
