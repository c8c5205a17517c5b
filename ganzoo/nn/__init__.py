"""Layers that nets of many families share, and initialisations by name."""

from .init import INITIALISATIONS, initialise, normal
from .norms import MomentNorm, norm, use_native_norms
from .precision import full

__all__ = [
    "INITIALISATIONS",
    "MomentNorm",
    "full",
    "initialise",
    "norm",
    "normal",
    "use_native_norms",
]
