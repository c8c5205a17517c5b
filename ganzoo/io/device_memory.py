"""How much memory a device has to give, and how
much a person allows; which GPU is the current one.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import Any

import torch

from ..errors import UsageError, shown

VARIABLE = "GANZOO_MEMORY"  # of the environment alone: no file can set it
UNITS = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}


def on(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """PyTorch's current GPU is this one within; elsewhere, nothing."""
    return torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()


def insisted() -> int | None:
    """The bytes that GANZOO_MEMORY says to plan with, as in
    900M or 64G; None when it is not set. Raises UsageError.
    """
    text = os.environ.get(VARIABLE, "")
    if not text:
        return None
    size = parse_bytes(text)
    if size is None:
        raise UsageError(f"{VARIABLE}={shown(text)}: no size", remedy="write 900M or 64G")
    return size


def parse_bytes(text: str) -> int | None:
    """Bytes as a person writes them, 900M or 64GB, in powers of 1024; None for what is no size."""
    match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,3})?)([kmgt]?)(?:i?b)?", text.strip().lower())
    return int(float(match[1]) * 2 ** UNITS[match[2]]) if match else None


def planned_memory(device: torch.device) -> int | None:
    """Bytes to plan with: GANZOO_MEMORY, else what
    is free on the device; None where neither says.
    """
    size = insisted()
    return free_memory(device) if size is None else size


def free_memory(device: torch.device) -> int | None:
    """Bytes that could still be taken on the device; None where the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    with contextlib.suppress(OSError, ValueError, StopIteration):  # Linux
        lines = Path("/proc/meminfo").read_text("utf-8").splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable:"))
        return int(line.split()[1]) << 10
    try:  # macOS says what there is and not what is free
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows
        return None
