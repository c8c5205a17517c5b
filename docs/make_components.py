"""Writes docs/components.md from the components that this
checkout installs; `--check` only says whether it is current.
"""

import sys
from pathlib import Path
from typing import Any

import ganzoo
from ganzoo.components.kinds import KINDS
from ganzoo.components.options import REQUIRED
from ganzoo.components.registry import Component

PAGE = Path(__file__).parent / "components.md"
SECTIONS = {
    kind.name: f"{kind.section}.NAME" if kind.many else kind.section
    for kind in KINDS.values()
    if kind.section
} | {"optimizer": "optim.gen, optim.disc"}
HEAD = """# Components

Everything that ganzoo ships, with its options. This page is made by
`python docs/make_components.py` from the components themselves; `ganzoo list` and
`ganzoo info NAME` show the same, and what other plugins add. An option of a section is set by
`--set SECTION.OPTION=VALUE`, or under `[SECTION]` in a run file.
"""


def page() -> str:
    """The whole page."""
    components = [c for c in ganzoo.list_components() if c.distribution == "ganzoo"]
    recipes = {c.name: c.recipe() for c in components if c.kind == "recipe"}
    parts = [HEAD]
    for kind in KINDS:
        chosen = [c for c in components if c.kind == kind]
        if chosen:
            section = f" (section `{SECTIONS[kind]}`)" if kind in SECTIONS else ""
            parts.append(f"\n## {KINDS[kind].plural.capitalize()}{section}\n")
            parts += [described(c, recipes) for c in chosen]
    return "".join(parts)


def described(component: Component, recipes: dict[str, dict[str, Any]]) -> str:
    """One component's paragraph, with its options as a table."""
    lines = [
        "",
        f"### {component.kind} {component.name}",
        "",
        f"{component.summary}.{paper(component.paper)} Plugin `{component.plugin}`.",
    ]
    if component.kind == "recipe":
        tree = recipes[component.name]
        lines += ["", " ".join(str(tree.get("source", "")).split()), "", *settings(tree)]
    if options := component.options():
        lines += ["", "| option | type | default | what it is |", "|---|---|---|---|"]
        for option in options.values():
            default = (
                "must be given" if option.default is REQUIRED else f"`{plain(option.default)}`"
            )
            lines.append(
                f"| `{option.name}` | {cell(option.type)} | {default} | {cell(option.help)} |"
            )
    if used := [
        name
        for name, tree in recipes.items()
        if component.kind != "recipe" and uses(tree, component)
    ]:
        lines += [
            "",
            "In the recipes "
            + ", ".join(f"[{name}](#recipe-{name.replace('.', '')})" for name in used)
            + ".",
        ]
    return "\n".join(lines) + "\n"


def paper(identifier: str) -> str:
    """A link to the paper."""
    if identifier.startswith("arXiv:"):
        return f" [{identifier}](https://arxiv.org/abs/{identifier.removeprefix('arXiv:')})."
    return f" {identifier}." if identifier else ""


def plain(value: Any) -> str:
    """A default as it is written in a run file."""
    if value is None:
        return "none"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(plain, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def cell(text: str) -> str:
    """Text that does not end a table's cell."""
    return text.replace("|", "\\|")


def settings(tree: dict[str, Any], where: str = "") -> list[str]:
    """A recipe's settings, one line a section."""
    lines = []
    own = {k: v for k, v in tree.items() if not isinstance(v, dict)} if where else {}
    if where and (own or not tree):
        lines.append(
            f"- `[{where}]` " + ", ".join(f"{key} = {plain(value)}" for key, value in own.items())
        )
    for key, value in tree.items():
        if isinstance(value, dict):
            lines += settings(value, f"{where}.{key}" if where else key)
    return [line.rstrip() for line in lines]


def uses(tree: dict[str, Any], component: Component) -> bool:
    """Whether a recipe names the component."""
    if component.kind == "optimizer":
        return any(part.get("name") == component.name for part in tree.get("optim", {}).values())
    section, _, many = SECTIONS[component.kind].partition(".")
    chosen = tree.get(section, {})
    return component.name in chosen if many else chosen.get("name") == component.name


if __name__ == "__main__":
    text = page()
    if "--check" in sys.argv[1:]:
        current = PAGE.is_file() and PAGE.read_text("utf-8") == text
        sys.exit(
            None
            if current
            else "docs/components.md is not current: run python docs/make_components.py"
        )
    PAGE.write_text(text, "utf-8")
