"""ganzoo: a plugin-based zoo of GANs. Importing it
is light; torch comes with the first component.
"""

from __future__ import annotations

import os
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from .components.hooks import hookimpl
from .errors import GanzooError

if TYPE_CHECKING:
    from .engine.average import Average
    from .library import create, list_components, load, load_encoder, train
    from .sweeps.running import sweep

# Read once in a process, at the first matrix product on
# a GPU: deterministic trainings need it set by then.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

try:
    __version__ = version("ganzoo")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0+unknown"

LATE = {  # what needs torch, imported when first used
    "Average": ".engine.average",
    "create": ".library",
    "list_components": ".library",
    "load": ".library",
    "load_encoder": ".library",
    "sweep": ".sweeps.running",
    "train": ".library",
}
__all__ = [
    "Average",
    "GanzooError",
    "__version__",
    "create",
    "hookimpl",
    "list_components",
    "load",
    "load_encoder",
    "sweep",
    "train",
]


def __dir__() -> list[str]:
    """The public names, for an interpreter's completion."""
    return __all__


def __getattr__(name: str) -> object:
    """The library's functions, imported when first used."""
    if name in LATE:
        return getattr(import_module(LATE[name], __name__), name)
    raise AttributeError(f"module 'ganzoo' has no attribute {name!r}")
