"""Data: pictures from any folder or zip, decoded once
into a cache, and the order in which samples are shown.
"""

from .cache import cache_folder
from .inspect import inspect
from .lazy import from_torch
from .order import Order
from .pictures import load_pictures
from .resizing import parse_resolution, resize
from .scanning import Scan, scan

__all__ = [
    "Order",
    "Scan",
    "cache_folder",
    "from_torch",
    "inspect",
    "load_pictures",
    "parse_resolution",
    "resize",
    "scan",
]
