"""The page itself: a template, in which all text is escaped, and a policy that allows nothing from
anywhere else.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from .. import __version__
from ..components.registry import Registry
from ..errors import plain_line
from ..io.files import write_text
from ..measure.records import now
from . import curves
from .account import Commands, of_runs

LONGEST = 2000  # letters of one text
SCRIPTS = ("uplot/uPlot.iife.min.js", "page.js")
STYLES = ("uplot/uPlot.min.css", "page.css")


def write(folders: Sequence[Path], out: Path, registry: Registry, commands: Commands) -> int:
    """Write the page about runs; returns its bytes. Raises GanzooError for what is no run, a broken
    one, and where it cannot be written.
    """
    text = page(of_runs(folders, registry, commands))
    write_text(out, text)
    return len(text.encode())


def page(runs: Sequence[dict[str, Any]]) -> str:
    """The page about what `account` says of runs."""
    scripts, styles = ([_part(name) for name in names] for names in (SCRIPTS, STYLES))
    return (
        _environment()
        .from_string(_part("page.html"))
        .render(
            runs=[{**run, "place": i} for i, run in enumerate(runs)],
            data=_data(runs),
            scripts=[Markup(text) for text in scripts],
            styles=[Markup(text) for text in styles],
            policy=_policy(scripts, styles),
            differing=_differing(runs),
            licence=_part("uplot/LICENSE").strip().splitlines(),
            version=__version__,
            date=now(),
        )
    )


def _data(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the page's script reads."""
    own = [
        {
            "name": run["name"],
            "log": run["log"],
            "scores": run["scores"],
            "moments": [
                {"images": images, "picture": picture}
                for images, picture in run["drawn"].moments[:-1]  # the last stands in the page
            ],
            "last": run["drawn"].moments[-1][0] if run["drawn"].moments else 0,
        }
        for run in runs
    ]
    return {"charts": curves.charts(runs), "runs": own}


def _differing(runs: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """The settings that are not the same in all runs, with their value in each."""
    keys = sorted({key for run in runs for key in run["settings"]})
    rows = {key: [run["settings"].get(key, "-") for run in runs] for key in keys}
    return {key: row for key, row in rows.items() if len(set(row)) > 1}


def _part(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def _policy(scripts: Sequence[str], styles: Sequence[str]) -> str:
    """Pictures that stand in the page, and these scripts and styles, by their sums; nothing else,
    and nothing from a network.
    """
    return "; ".join(
        [
            "default-src 'none'",
            "img-src data:",
            f"script-src {_sums(scripts)}",
            f"style-src {_sums(styles)}",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _sums(texts: Sequence[str]) -> str:
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()) for text in texts]
    return " ".join(f"'sha256-{each.decode()}'" for each in digests)


@cache
def _environment() -> Environment:
    """A template's: all text is escaped, and missing names are errors."""
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_cleaned,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = lambda number: f"{number:,}"
    environment.filters["figure"] = lambda number: "" if number is None else f"{number:.4g}"
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "sort_keys": False}
    return environment


def _cleaned(value: Any) -> Any:
    """Text of files as one line, cut short, without characters that turn what follows around."""
    if not isinstance(value, str) or isinstance(value, Markup) or value.startswith("data:image/"):
        return value
    text = plain_line(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."
