"""What runs on a rank, in words and sums: unlike ranks do not compute one thing."""

from __future__ import annotations

import hashlib
import platform
import sys
from pathlib import Path

import torch


def software() -> dict[str, str]:
    """What has to be the same on all ranks, whatever they do together."""
    return {
        "Python": platform.python_version(),
        "PyTorch": torch.__version__,
        "code": _sum_of_code(),
        "command line": " ".join(sys.argv[1:]),
    }


def digest(content: bytes) -> str:
    """A short sum of some bytes."""
    return hashlib.sha256(content).hexdigest()[:12]


def _sum_of_code() -> str:
    """A sum of this package's own files."""
    files = sorted(Path(__file__).parents[1].rglob("*.py"))
    return digest(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files))
