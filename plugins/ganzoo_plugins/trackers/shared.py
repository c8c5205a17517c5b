"""What trackers share: the figures of a line, when the health changes, which picture it is."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from typing import Any

from ganzoo.errors import GanzooError


def require(package: str, extra: str) -> None:
    """Raises GanzooError with the way out unless a package is installed; imports nothing."""
    if importlib.util.find_spec(package) is None:
        raise GanzooError(
            f"needs {package}, which is not installed", remedy=f"pip install 'ganzoo[{extra}]'"
        )


def flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of a tree by their dotted names."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def figures(record: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a line by their dotted names, but for the images, which they stand over."""
    return {
        name: float(value)
        for name, value in flat(record)
        if isinstance(value, int | float) and name != "images"
    }


def which(name: str) -> tuple[str, int]:
    """What a picture shows, and after how many images: ("samples", 20000) of
    `samples/000020000`.
    """
    kind, _, number = name.partition("/")
    return kind, int(number) if number.isdigit() else 0


class Health:
    """The verdicts of a training, one after another."""

    def __init__(self) -> None:
        self._word = ""

    def changed(self, record: Mapping[str, Any]) -> str:
        """The verdict of a line, if it is another than that of the line before, else nothing."""
        verdict = str(record.get("health", ""))
        word = verdict.partition(":")[0]
        if word == self._word:
            return ""
        self._word = word
        return verdict
