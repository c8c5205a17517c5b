"""What a shell completes on Tab: names of components,
kinds, settings. Imports neither torch nor pydantic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import click
from click.shell_completion import CompletionItem

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def components(*kinds: str, files: bool = False, none: bool = False) -> Complete:
    """Completes names of components of these kinds,
    or of all. files: paths too; none: `none` too.
    """

    def complete(
        ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from ..components.loading import zoo

        found = {c.name: c for c in zoo().registry.components() if c.kind in kinds or not kinds}
        names = [*found, *(["none"] if none else [])]
        items = [CompletionItem(name) for name in names if name.startswith(incomplete)]
        return items or ([CompletionItem(incomplete, type="file")] if files else [])

    return complete


def kinds(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes kinds of components."""
    from ..components.kinds import KINDS

    names = [*KINDS, *(kind.plural for kind in KINDS.values())]
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def settings(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completes `train.batch_size=` and the like, from ganzoo's own defaults."""
    import tomllib
    from importlib import resources

    tree = tomllib.loads(
        (resources.files("ganzoo") / "config" / "defaults.toml").read_text("utf-8")
    )
    return [CompletionItem(f"{path}=") for path in _paths(tree) if path.startswith(incomplete)]


def _paths(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The dotted paths of a tree's values."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _paths(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"
