"""Measurements of ganzoo's speed; run one from the
repository's root: `python -m benchmarks.speed --help`.
"""
