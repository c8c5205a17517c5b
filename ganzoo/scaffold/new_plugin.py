"""A new plugin: a complete project with one working component
of each kind asked for, from the files in templates/.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import tempfile
import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from .. import __version__
from ..components.kinds import FAMILIES, KINDS, SINGLE
from ..components.registry import Registry
from ..errors import GanzooError, UsageError, shown
from ..io.files import check_folder, sync_folder, write_text

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LONGEST = 30  # letters of a name
WIDTH = 120  # of a line in a project
RESERVED = ("auto", "none")  # words that mean something where a component's name stands
RECIPE_TEST = """


@pytest.mark.parametrize("recipe", [c for c in MINE if c.kind == "recipe"], ids=str)
def test_recipe_trains(recipe):
    tree = recipe.recipe()
    twenty_updates({section: value for section, value in tree.items() if isinstance(value, dict)})
"""


def write_project(name: str, kinds: Iterable[str], out: Path, registry: Registry) -> Path:
    """Write the project ganzoo-NAME into a folder of that name
    under `out`, whole or not at all, and return the folder.

    Raises UsageError for a name that cannot be a plugin's or that an installed component of the
    kinds has, GanzooError when the folder holds something or cannot be written.
    """
    chosen = [kind for kind in KINDS if kind in set(kinds)]
    distribution = f"ganzoo-{name}"
    check_name(name, chosen, registry)
    folder = out / distribution
    if folder.is_symlink() or (
        folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))
    ):
        raise GanzooError(
            f"{folder} exists and is not an empty folder; choose another name or another place"
        )
    check_folder(out, "out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out, prefix=f".{distribution}.") as temporary:
            root = Path(temporary) / distribution
            for path, text in project(name, chosen).items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                write_text(root / path, text)
            if folder.exists():
                folder.rmdir()
            root.rename(folder)
        sync_folder(out)
    except OSError as error:
        raise GanzooError(f"{folder}: cannot be written: {error.strerror or error}") from error
    return folder


def check_name(name: str, kinds: Iterable[str], registry: Registry) -> None:
    """Raise UsageError unless a plugin of these kinds can have this name."""
    if name.startswith("ganzoo-"):
        raise UsageError(f"NAME {shown(name)}: leave out 'ganzoo-', which is put before it")
    if not NAME.fullmatch(name) or len(name) > LONGEST:
        wanted = (
            f"lower-case letters and digits, words joined by '-', a letter first, at most "
            f"{LONGEST} characters"
        )
        raise UsageError(f"NAME {shown(name)}: a plugin's name has {wanted}")
    if name in RESERVED:
        raise UsageError(f"NAME {name!r}: is a word of ganzoo's own; choose another")
    for kind in kinds:
        for other in registry.components(kind):
            if other.name == name and other.distribution != f"ganzoo-{name}":
                raise UsageError(f"NAME {name!r}: there is a {other} already; choose another")
    module = _module(name)
    owners = {
        c.distribution
        for c in registry.components()
        if str(c.factory).startswith((f"{module}.", f"{module}:"))
    }
    if importlib.util.find_spec(module) is not None and owners != {f"ganzoo-{name}"}:
        raise UsageError(f"NAME {name!r}: there is a package {module} already; choose another")


def project(name: str, kinds: Iterable[str]) -> dict[str, str]:
    """Path -> text of every file of a project with one component of each of these kinds."""
    kinds, module = list(kinds), _module(name)
    sections = _sections(name, kinds)
    text = {
        "NAME": name,
        "DISTRIBUTION": f"ganzoo-{name}",
        "MODULE": module,
        "SNAKE": name.replace("-", "_"),
        "CLASS": _class(name),
        "DESCRIPTION": _description(kinds),
        "REQUIREMENT": requirement(__version__),
        "PARTNER": sections["disc"]["name"],
        "TRAINING": "\n".join(
            f"    {json.dumps(key)}: {json.dumps(value)}," for key, value in sections.items()
        ),
        "KINDS": "\n".join(f'    "{kind}",' for kind in kinds),
        "RECIPE": _toml(sections),
        "RECIPE_TEST": RECIPE_TEST.rstrip() if "recipe" in kinds else "",
        "COMMAND": _command(name, kinds),
    }
    files = {f"{module}/__init__.py": _hooks(name, kinds, text["DESCRIPTION"])}
    for kind in kinds:
        recipe = kind == "recipe"
        path = f"{module}/recipes/{name}.toml" if recipe else f"{module}/{KINDS[kind].plural}.py"
        files[path] = _fill(f"{kind}.toml.in" if recipe else f"{kind}.py.in", text)
    text["TABLE"] = "\n".join(f"| {kind} | `{name}` | {_summary(kind, files)} |" for kind in kinds)
    for path, template in {
        "pyproject.toml": "pyproject.toml.in",
        "README.md": "README.md.in",
        "LICENSE": "LICENSE.in",
        ".gitignore": "gitignore.in",
        ".github/workflows/test.yml": "test.yml.in",
        "tests/test_plugin.py": "test_plugin.py.in",
    }.items():
        files[path] = _fill(template, text)
    return files


def requirement(version: str) -> str:
    """How a plugin states which ganzoo it is for:
    this version, and those that keep its contracts.
    """
    from packaging.version import Version

    parsed = Version(version)
    if parsed.release == (0,):  # a checkout that was never installed
        return "ganzoo"
    major, minor = parsed.major, parsed.minor
    return f"ganzoo>={parsed.public},<{f'{major + 1}' if major else f'0.{minor + 1}'}"


def _module(name: str) -> str:
    return f"ganzoo_{name.replace('-', '_')}"


def _class(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("-"))


def _fill(template: str, text: Mapping[str, str]) -> str:
    """A template with its @WORDS@ replaced; an unknown one
    is a KeyError, since it would stand in the project.
    """
    source = (resources.files("ganzoo") / "scaffold" / "templates" / template).read_text("utf-8")
    return re.sub(r"@([A-Z_]+)@", lambda match: text[match[1]], source)


def _hooks(name: str, kinds: Iterable[str], description: str) -> str:
    """The package's __init__: one hook a kind."""
    lines = [f'"""{description}"""', "", "from collections.abc import Callable"]
    lines += ["from pathlib import Path"] if "recipe" in kinds else []
    lines += ["", "from ganzoo import hookimpl"]
    for kind in kinds:
        factory = (
            f"{KINDS[kind].maker}{name.replace('-', '_')}"
            if KINDS[kind].maker
            else _class(name) + kind.capitalize()
        )
        what = f'"{_module(name)}.{KINDS[kind].plural}:{factory}"'
        if kind == "recipe":
            what = f'Path(__file__).parent / "recipes" / "{name}.toml"'
        hook = f"def register_{KINDS[kind].plural}(register: Callable[..., None]) -> None:"
        call = f'    register("{name}", {what})'
        if len(call) > WIDTH:
            call = f'    register(\n        "{name}",\n        {what},\n    )'
        lines += ["", "", "@hookimpl", hook, call]
    return "\n".join(lines) + "\n"


def _description(kinds: list[str]) -> str:
    """One sentence that a package index shows."""
    words = [kind if kind != "dataset" else "data set" for kind in kinds]
    if len(words) > 3:
        return f"Components of {len(words)} kinds for ganzoo."
    about = ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else words[0]
    return f"{'An' if about[0] in 'aeiou' else 'A'} {about} for ganzoo."


def _sections(name: str, kinds: Iterable[str]) -> dict[str, dict[str, Any]]:
    """A configuration that uses every component of the project, and others where it has none."""
    others = _companions()
    optimizer = name if "optimizer" in kinds else others.pop("optim")
    sections: dict[str, dict[str, Any]] = {
        section: {"name": name if kind in kinds else others[section]}
        for section, kind in SINGLE.items()
        if section in others or (kind in kinds and "." not in section)
    }
    sections |= {section: {"name": part} for section, part in _beside(kinds).items()}
    sections["optim"] = {"gen": {"name": optimizer}, "disc": {"name": optimizer}}
    few = {"metric": {"count": 64}}
    sections |= {
        section: {name: few.get(section, {})}
        for section, kind in FAMILIES.items()
        if kind in {*kinds} - _idle(kinds)
    }
    return sections


def _beside(kinds: Iterable[str]) -> dict[str, str]:
    """Section -> part of ganzoo's without which a part of one of these kinds has nothing to do."""
    beside = _companions()
    wanted: dict[str, str] = {}
    for kind in sorted({*kinds} - _idle(kinds)):
        found = beside.get(kind, {})
        wanted |= found if isinstance(found, dict) else {}
    return wanted


def _idle(kinds: Iterable[str]) -> set[str]:
    """The kinds whose parts have nothing to do beside those of the others."""
    idle = set()
    for kind, beside in _companions().items():
        if isinstance(beside, dict) and {SINGLE[section] for section in beside} & {*kinds}:
            idle.add(kind)
    return idle


def _companions() -> dict[str, Any]:
    """The parts of ganzoo that a project is tried with."""
    templates = resources.files("ganzoo") / "scaffold" / "templates"
    return tomllib.loads((templates / "companions.toml").read_text("utf-8"))


def _toml(sections: Mapping[str, Any]) -> str:
    import tomlkit

    return tomlkit.dumps(sections).strip()


def _command(name: str, kinds: Iterable[str]) -> str:
    """The command line that uses the project's components."""
    if "recipe" in kinds:
        return f"ganzoo train --recipe {name}"
    flags = [f"--{KINDS[kind].flag} {name}" for kind in kinds if KINDS[kind].flag]
    flags += [f"--{KINDS[SINGLE[s]].flag} {part}" for s, part in _beside(kinds).items()]
    flags += [f"--set optim.gen.name={name}"] if "optimizer" in kinds else []
    flags += [f"--set metric.{name}=true"] if "metric" in kinds else []
    flags += (
        [f"--set tracker.{name}=true --set tracker.{name}.path=health.jsonl"]
        if "tracker" in kinds
        else []
    )
    return " ".join(["ganzoo train", *flags])


def _summary(kind: str, files: Mapping[str, str]) -> str:
    """What a component says of itself in its first line."""
    if kind == "recipe":
        return next(
            str(tomllib.loads(text)["summary"])
            for path, text in files.items()
            if path.endswith(".toml")
        )
    source = next(
        text for path, text in files.items() if path.endswith(f"/{KINDS[kind].plural}.py")
    )
    node = next(n for n in ast.parse(source).body if isinstance(n, ast.ClassDef | ast.FunctionDef))
    return (ast.get_docstring(node) or "").splitlines()[0].rstrip(".")
