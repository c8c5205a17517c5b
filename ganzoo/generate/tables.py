"""Samples of tables in the table's own units, and as plots."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator

from PIL import Image, ImageDraw
from torch import Tensor

from ..contracts import Column, Spec

NUMBERS, CATEGORIES = 4, 8  # columns that are plotted, at most
CELL, EDGE = 150, 6  # pixels of one plot, and of what is left free around it
BINS = 24  # of a histogram
BARS = 12  # of a category's texts that are drawn
DOTS = 1000  # of a scatter plot
DIGITS = 6  # of a number, in units of its column's deviation
REAL, DRAWN = "#bbbbbb", "#2255aa"
Box = tuple[float, float, float, float]


def blocks(samples: Tensor, spec: Spec) -> Iterator[tuple[Column, Tensor]]:
    """(column, its numbers [n, width]) for each column of samples [n, d]."""
    widths = [column.width for column in spec.columns]
    return zip(spec.columns, samples.split(widths, 1), strict=True)


def cells(samples: Tensor, spec: Spec) -> list[list[str]]:
    """The rows of a table that samples [n, d] stand for, as text in its own units."""
    columns = [_texts(column, numbers) for column, numbers in blocks(samples, spec)]
    return [list(row) for row in zip(*columns, strict=True)]


def _texts(column: Column, numbers: Tensor) -> list[str]:
    """The cells of one column."""
    if column.values:
        return [column.values[number] for number in numbers.argmax(1).tolist()]
    return [_written(column, column.offset + column.scale * x) for x in numbers[:, 0].tolist()]


def _written(column: Column, value: float) -> str:
    """A number with as many digits as a float32 of the sample has of it."""
    if not math.isfinite(value):
        return "nan"
    if column.whole:
        return str(round(value))
    size = max(abs(value), abs(column.offset))
    ahead = math.ceil(math.log10(size / column.scale)) if size > 0 and column.scale > 0 else 11
    return f"{value:.{min(max(ahead, 0) + DIGITS, 17)}g}"


def csv_of(samples: Tensor, spec: Spec) -> bytes:
    """A .csv file of samples [n, d], with the names of the columns."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.name for column in spec.columns])
    writer.writerows(cells(samples, spec))
    return text.getvalue().encode()


def plot_size(spec: Spec) -> tuple[int, int]:
    """Width and height of the plot of a table."""
    numbers, categories = _plotted(spec)
    rows = _rows(numbers, categories)
    return CELL * (numbers + math.ceil(categories / rows)), CELL * rows


def _plotted(spec: Spec) -> tuple[int, int]:
    """How many numbers and categories are plotted."""
    categories = sum(bool(column.values) for column in spec.columns)
    return min(len(spec.columns) - categories, NUMBERS), min(categories, CATEGORIES)


def _rows(numbers: int, categories: int) -> int:
    return max(numbers, min(categories, 2))


def pair_plot(samples: Tensor, spec: Spec, real: Tensor | None = None) -> Image.Image:
    """The first numbers of rows [n, d] against each other, histograms of each on the diagonal, and
    bars for the first categories: blue, over the real rows [m, d] in grey, which give the axes.
    """
    below = samples[:0] if real is None else real
    sheet = Image.new("RGB", plot_size(spec), "white")
    draw = ImageDraw.Draw(sheet)
    both = [*zip(blocks(samples, spec), blocks(below, spec), strict=True)]
    numbers = [(c, new[:, 0], old[:, 0]) for (c, new), (_, old) in both if not c.values][:NUMBERS]
    categories = [(c, new, old) for (c, new), (_, old) in both if c.values][:CATEGORIES]
    for row, (_, new_y, old_y) in enumerate(numbers):
        for place, (column, new_x, old_x) in enumerate(numbers):
            box = _box(place, row)
            if place == row:
                _histogram(draw, box, column, new_x, old_x)
                continue
            draw.rectangle(box, outline="#dddddd")
            x_axis, y_axis = _axis(new_x, old_x), _axis(new_y, old_y)
            _dots(draw, box, (old_x, old_y), (x_axis, y_axis), REAL)
            _dots(draw, box, (new_x, new_y), (x_axis, y_axis), DRAWN)
    rows = _rows(len(numbers), len(categories))
    for number, (column, new, old) in enumerate(categories):
        _bars(draw, _box(len(numbers) + number // rows, number % rows), column, new, old)
    return sheet


def _box(column: int, row: int) -> Box:
    """Where a plot lies."""
    left, top = CELL * column, CELL * row
    return left + EDGE, top + EDGE, left + CELL - EDGE, top + CELL - EDGE


def _axis(new: Tensor, old: Tensor) -> tuple[float, float]:
    """From where to where a column's numbers are shown: all real ones and a little more."""
    values = (old if len(old) else new).nan_to_num(0, 0, 0)
    low, high = float(values.min()), float(values.max())
    room = 0.05 * (high - low) or 1.0
    return low - room, high + room


def _dots(
    draw: ImageDraw.ImageDraw,
    box: Box,
    values: tuple[Tensor, Tensor],
    axes: tuple[tuple[float, float], tuple[float, float]],
    colour: str,
) -> None:
    """A scatter plot of what lies within the axes."""
    left, top, right, bottom = box
    (low_x, high_x), (low_y, high_y) = axes
    across = (values[0][:DOTS] - low_x) / (high_x - low_x)
    up = (values[1][:DOTS] - low_y) / (high_y - low_y)
    inside = (across > 0) & (across < 1) & (up > 0) & (up < 1)  # false for what is no number
    for x, y in zip(across[inside].tolist(), up[inside].tolist(), strict=True):
        px, py = left + x * (right - left), bottom - y * (bottom - top)
        draw.ellipse([px - 1, py - 1, px + 1, py + 1], fill=colour)


def _histogram(
    draw: ImageDraw.ImageDraw, box: Box, column: Column, new: Tensor, old: Tensor
) -> None:
    """How a column's numbers are spread, real ones filled, with the column's name and range."""
    left, top, right, bottom = box
    low, high = _axis(new, old)
    heights = [_counts(values, low, high) for values in (old, new)]
    most = max([*heights[0], *heights[1], 1e-9])
    step, tall = (right - left) / BINS, bottom - top - 30
    for number, height in enumerate(heights[0]):
        x = left + number * step
        draw.rectangle([x, bottom - 14 - tall * height / most, x + step, bottom - 14], fill=REAL)
    line = []
    for number, height in enumerate(heights[1]):
        y = bottom - 14 - tall * height / most
        line += [(left + number * step, y), (left + (number + 1) * step, y)]
    draw.line(line, fill=DRAWN, width=2)
    draw.text((left + 2, top), _short(column.name), fill="#222222")
    ends = [f"{column.offset + column.scale * x:.4g}" for x in (low, high)]
    draw.text((left + 2, bottom - 12), f"{ends[0]} to {ends[1]}", fill="#888888")


def _counts(values: Tensor, low: float, high: float) -> list[float]:
    """The share of values in each bin."""
    finite = values[values.isfinite()]
    found: list[float] = (finite.histc(BINS, low, high) / max(len(values), 1)).tolist()
    return found


def _bars(draw: ImageDraw.ImageDraw, box: Box, column: Column, new: Tensor, old: Tensor) -> None:
    """How often each text of a category is drawn, beside how often it is real."""
    left, top, right, bottom = box
    shown = list(column.values[:BARS])
    shares = [_shares(numbers, column) for numbers in (old, new)]
    most = max([*shares[0], *shares[1], 1e-9])
    draw.text((left + 2, top), _short(column.name), fill="#222222")
    high = (bottom - top - 16) / len(shown)
    for number, text in enumerate(shown):
        y = top + 16 + number * high
        for part, (share, colour) in enumerate(zip(shares, (REAL, DRAWN), strict=True)):
            begin = y + part * high * 0.45
            reach = left + (right - left) * share[number] / most
            draw.rectangle([left, begin, reach, begin + high * 0.4], fill=colour)
        if high >= 11:
            draw.text((left + 3, y - 1), _short(text), fill="#222222")


def _shares(numbers: Tensor, column: Column) -> list[float]:
    """The share of each text."""
    counted = numbers.argmax(1).bincount(minlength=column.width) if len(numbers) else None
    return [0.0] * column.width if counted is None else (counted / len(numbers)).tolist()


def _short(text: str) -> str:
    """A name as there is room for it, in letters that every font has."""
    plain = text.encode("latin-1", "replace").decode("latin-1")
    return plain if len(plain) <= 22 else f"{plain[:20]}..."
