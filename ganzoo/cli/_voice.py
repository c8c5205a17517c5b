"""Which of several ranks speaks."""

from __future__ import annotations

import os


def started() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def speaks() -> bool:
    """Whether this process says what goes for all ranks: it is the first of them, or alone."""
    return not started() or os.environ.get("RANK", "0") == "0"
