"""Layers that nets of many families share, and initialisations by name."""

from .heads import class_head
from .init import INITIALISATIONS, initialise, normal
from .norms import MomentNorm, norm, use_native_norms
from .precision import full

__all__ = [
    "INITIALISATIONS",
    "MomentNorm",
    "class_head",
    "full",
    "initialise",
    "norm",
    "normal",
    "use_native_norms",
]
