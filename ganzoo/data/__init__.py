"""Data: pictures from any folder or zip, decoded once into a cache; videos, tables, texts and
arrays from files; and the order in which samples are shown.
"""

from .arrays import load_array
from .cache import cache_folder
from .forms import form_of
from .inspect import inspect, inspect_samples
from .kept import kept, sum_of
from .lazy import from_torch
from .order import Order
from .pictures import load_pictures
from .resizing import parse_resolution, resize
from .scanning import Scan, scan
from .shard_pictures import load_shards
from .sharding import write_shards
from .shards import is_pattern
from .tables import load_table
from .texts import load_texts
from .videos import load_videos

__all__ = [
    "Order",
    "Scan",
    "cache_folder",
    "form_of",
    "from_torch",
    "inspect",
    "inspect_samples",
    "is_pattern",
    "kept",
    "load_array",
    "load_pictures",
    "load_shards",
    "load_table",
    "load_texts",
    "load_videos",
    "parse_resolution",
    "resize",
    "scan",
    "sum_of",
    "write_shards",
]
