"""Rules that keep the code what it is meant to be, read from the source itself."""

import ast
import re
import runpy
import subprocess
import sys
import tomllib
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import ganzoo
from ganzoo import cli
from ganzoo.components.kinds import KINDS
from ganzoo.components.loading import zoo

ROOT = Path(__file__).parents[2]
CORE = ROOT / "ganzoo"
FAMILIES = ROOT / "plugins" / "ganzoo_plugins"
SOURCES = sorted([*CORE.rglob("*.py"), *FAMILIES.rglob("*.py")])
TREES = {path: ast.parse(path.read_text("utf-8")) for path in SOURCES}

# From the bottom up: what lies in a folder imports from its own folder and from those before it.
LAYERS = (
    "errors",
    "spec",
    "nn",
    "contracts",
    "components",
    "io",
    "config",
    "distributed",
    "data",
    "engine",
    "measure",
    "generate",
    "assembly",
    "training",
    "runs",
    "bench",
    "scaffold",
    "library",
    "evaluation",
    "ladder",
    "averaging",
    "doctor",
    "testing",
    "sweeps",
    "report",
    "cli",
    "__main__",
)
LIGHT = {"errors", "components", "config"}  # without torch; cli imports it inside commands
PUBLIC = {
    "ganzoo",
    "ganzoo.contracts",
    "ganzoo.nn",
    "ganzoo.errors",
    "ganzoo.data",
}  # what plugins may import
# Words of the core that a component happens to be called: pictures have modes too (RGB, L).
OTHER_MEANINGS = {
    ("ganzoo.cli.data", "modes"),
    ("ganzoo.data.inspect", "modes"),
    ("ganzoo.data.order", "flip"),  # a stream's: under another name runs would go on otherwise
}


def name_of(path):
    """The dotted name of a module of the core."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path):
    """The dotted names that a module imports when it runs, at
    its top or inside functions, its own package's resolved.
    """
    tree, found = TREES[path], set()
    idle = {
        id(n)
        for i in ast.walk(tree)
        if isinstance(i, ast.If) and "TYPE_CHECKING" in ast.unparse(i.test)
        for n in ast.walk(i)
    }
    package = list(path.relative_to(ROOT).parts[:-1])
    for node in ast.walk(tree):
        if id(node) in idle:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(
                [*package[: len(package) - node.level + 1], *([node.module] if node.module else [])]
            )
            base = base if node.level else node.module
            found |= {
                f"{base}.{a.name}"
                if (ROOT / base.replace(".", "/") / f"{a.name}.py").exists()
                else base
                for a in node.names
            }
    return found


def module_of(dotted):
    """`ganzoo.cli.list` -> `cli`; `ganzoo` itself -> ``."""
    return dotted.split(".")[1] if "." in dotted else ""


GRAPH = {name_of(path): imports(path) for path in SOURCES if CORE in path.parents}
OURS = {  # a module of the core -> those that it imports
    name: {d for d in found if d in GRAPH and d != "ganzoo"} - {name}
    for name, found in GRAPH.items()
}


def layer(name):
    """The place of a module's folder among LAYERS; the
    package itself, which offers what all have, is above.
    """
    return LAYERS.index(module_of(name)) if name != "ganzoo" else len(LAYERS)


def closure(name):
    """Everything of ours that a module needs."""
    seen, todo = set(), [name]
    while todo:
        for other in OURS[todo.pop()] - seen:
            seen.add(other)
            todo.append(other)
    return seen


# Layers.


def test_every_folder_has_a_layer():
    assert {module_of(name) for name in GRAPH} - {""} == set(LAYERS)


@pytest.mark.parametrize("module", sorted(GRAPH.keys() - {"ganzoo"}))
def test_a_module_imports_what_lies_below(module):
    above = {other for other in OURS[module] if layer(other) > layer(module)}
    assert not above, f"{module} imports {', '.join(above)}, which is above it"
    assert module not in closure(module), "modules import each other in a circle"


def test_the_architecture_page_shows_what_imports_what():
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    shown = re.findall(r"^\| `(\w+)(?:\.py|/)` \|[^|]*\| ([^|]*) \|$", text, re.M)
    assert [name for name, _ in shown] == list(LAYERS)
    for name, imported in shown:
        found = {module_of(d) for m in GRAPH if module_of(m) == name for d in OURS[m]}
        wanted = [other for other in LAYERS if other in found - {name, ""}]
        assert imported == (", ".join(wanted) or "-"), name


def test_the_loop_knows_no_registry_and_no_terminal():
    """The loop and the engine, and all that they need, work with parts that anybody built."""
    roots = [name for name in GRAPH if module_of(name) in ("engine", "contracts")]
    for module in (*roots, "ganzoo.training.loop", "ganzoo.io.checkpoints"):
        needs = closure(module) | {module}
        assert not needs & {"ganzoo.components.registry", "ganzoo.components.loading"}, module
        assert not any(module_of(name) == "cli" for name in needs), module
        others = {d.split(".")[0] for name in needs for d in GRAPH[name]}
        assert not others & {"pluggy", "click", "rich"}, module


def test_only_the_command_line_draws_on_a_terminal():
    for module, found in GRAPH.items():
        drawn = {d.split(".")[0] for d in found} & {"click", "rich"}
        assert module_of(module) == "cli" or not drawn, module


@pytest.mark.parametrize("module", [name for name in GRAPH if module_of(name) in LIGHT])
def test_light_modules_do_not_name_torch(module):
    heavy = {"torch", "torchvision", "numpy"}
    assert not {d.split(".")[0] for d in GRAPH[module]} & heavy


def test_listing_needs_no_torch():
    code = (
        "import sys; from ganzoo import cli; from ganzoo.components.loading import zoo\n"
        "from ganzoo.config import defaults; defaults()\n"
        "assert all(c.summary for c in zoo().registry.components()), 'a summary needs an import'\n"
        "print(*sorted({'torch', 'numpy', 'torchvision', 'rich'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={"GANZOO_LOAD_PLUGINS": ""},
    )
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


@pytest.mark.parametrize(
    "path", sorted(FAMILIES.rglob("*.py")), ids=lambda p: str(p.relative_to(FAMILIES))
)
def test_plugins_use_what_third_parties_can(path):
    family = ".".join(path.relative_to(FAMILIES.parent).parts[:2])
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.ImportFrom) and node.level:
            assert node.level == 1, "a family keeps to itself"
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for name in (
                [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            ):
                ours = name.split(".")[0] in ("ganzoo", "ganzoo_plugins")
                assert not ours or name in PUBLIC or name.startswith(family), (
                    f"{name} is not public"
                )


def test_documents_import_what_is_public():
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for page in pages:
        for code in re.findall(
            r"^```py(?:thon)?[^\n]*\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S
        ):
            for node in ast.walk(ast.parse(code)):
                if isinstance(node, ast.ImportFrom) and not node.level:
                    ours = node.module.split(".")[0] == "ganzoo"
                    assert not ours or node.module in PUBLIC | {"ganzoo.testing"}, (
                        f"{page.name}: {node.module} is not public"
                    )


# Names.


def docstrings(tree):
    """The constants that are docstrings."""
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return {
        id(n.body[0].value)
        for n in ast.walk(tree)
        if isinstance(n, owners) and n.body and isinstance(n.body[0], ast.Expr)
    }


@pytest.mark.parametrize("path", sorted(CORE.rglob("*.py")), ids=name_of)
def test_the_core_names_no_component(path):
    names = {c.name for c in zoo().registry.components() if c.distribution == "ganzoo"}
    flags = re.compile(
        rf"--(gen|disc|loss|reg|aug|data|recipe)[ =]({'|'.join(map(re.escape, names))})\b"
    )
    skipped = docstrings(TREES[path])
    for node in ast.walk(TREES[path]):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in skipped
        ):
            other = (name_of(path), node.value) in OTHER_MEANINGS
            assert other or node.value not in names, (
                f"line {node.lineno}: {node.value!r} is a component; read a trait instead"
            )
            assert not flags.search(node.value), (
                f"line {node.lineno}: {node.value!r} recommends a component by name"
            )


@pytest.mark.parametrize("path", sorted(CORE.rglob("*.py")), ids=name_of)
def test_kinds_stand_in_one_table(path):
    """What holds for each kind is a column of components/kinds.py; checks are the kit's."""
    if name_of(path) in ("ganzoo.components.kinds", "ganzoo.testing"):
        return
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Dict):
            held = [*node.keys, *node.values]
        elif isinstance(node, ast.Tuple | ast.List | ast.Set):
            held = node.elts
        else:
            continue
        named = {n.value for n in held if isinstance(n, ast.Constant)} & KINDS.keys()
        assert len(named) < 3, f"line {node.lineno}: a table of kinds ({', '.join(sorted(named))})"


def test_the_catalogue_is_what_is_installed():
    table = tomllib.loads((ROOT / "registry.toml").read_text("utf-8"))
    assert table.keys() == {"schema", "plugins"} and table["schema"] == 1
    for plugin, entry in table["plugins"].items():
        assert isinstance(entry.pop("summary"), str), plugin
        distribution = entry.pop("distribution")
        assert entry and entry.keys() <= {kind.plural for kind in KINDS.values()}, (
            f"{plugin}: {entry.keys()}"
        )
        table["plugins"][plugin] = (distribution, entry)
    listed = {
        plugin: entry
        for plugin, (distribution, entry) in table["plugins"].items()
        if distribution == "ganzoo"
    }
    live = {}
    for c in zoo().registry.components():
        if c.distribution == "ganzoo":
            live.setdefault(c.plugin, {}).setdefault(KINDS[c.kind].plural, []).append(c.name)
    assert listed == live, "registry.toml differs from what the built-in plugins register"


def test_entry_points_are_the_folders_and_what_is_installed():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
        "entry-points"
    ]["ganzoo"]
    folders = {
        p.parent.name: f"ganzoo_plugins.{p.parent.name}" for p in FAMILIES.glob("*/__init__.py")
    }
    assert declared == folders, (
        "every folder of plugins/ganzoo_plugins has an entry point of its name in pyproject.toml"
    )
    installed = {
        e.name: e.value for e in entry_points(group="ganzoo") if e.dist and e.dist.name == "ganzoo"
    }
    assert installed == declared, (
        "entry points are read when installing: run pip install -e . again"
    )
    assert not [p for p in zoo().broken if p.distribution == "ganzoo"]


# Safety.

UNSAFE_MODULES = {
    "pickle",
    "cPickle",
    "_pickle",
    "dill",
    "cloudpickle",
    "marshal",
    "shelve",
    "joblib",
    "yaml",
}
UNSAFE_CALLS = {"eval", "exec", "compile", "__import__"}
UNSAFE_ATTRIBUTES = {
    ("torch", "load"),
    ("jit", "load"),
    ("hub", "load"),
    ("np", "load"),
    ("numpy", "load"),
    ("os", "system"),
}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_is_unpickled_or_evaluated(path):
    for name in imports(path):
        assert name.split(".")[0] not in UNSAFE_MODULES, name
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.ImportFrom) and node.module in (
            "torch",
            "torch.serialization",
            "torch.jit",
            "torch.hub",
        ):
            assert "load" not in {a.name for a in node.names}
        if isinstance(node, ast.Name):
            assert node.id not in UNSAFE_CALLS, f"line {node.lineno}: {node.id}"
        if isinstance(node, ast.Attribute):
            owner = (
                node.value.id
                if isinstance(node.value, ast.Name)
                else getattr(node.value, "attr", "")
            )
            assert (owner, node.attr) not in UNSAFE_ATTRIBUTES, (
                f"line {node.lineno}: {owner}.{node.attr}"
            )
        if isinstance(node, ast.Call):
            assert "shell" not in {k.arg for k in node.keywords}, f"line {node.lineno}: shell="


# The only functions that print; each cleans what it prints, or prints words of its own alone
PRINTERS = {
    "cli/_echo.py": {"echo"},
    "cli/_shared.py": {"print_json", "table"},
    "cli/_report.py": {"say", "write_now"},
    "components/loading.py": {"_trace"},
}
PRINTING = {"echo", "secho", "print", "write", "writelines", "log", "rule", "input", "out"}
STREAMS = {"click", "sys.stdout", "sys.stderr", "CONSOLE", "console", "os", "rich"}


@pytest.mark.parametrize("path", sorted(CORE.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_text_reaches_a_terminal_in_one_way(path):
    """File names and plugins' words would steer it otherwise:
    commands print by `echo`, `say`, `table` and `print_json`.
    """
    allowed = PRINTERS.get(path.relative_to(CORE).as_posix(), set())
    free = {
        id(inner)
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.FunctionDef) and node.name in allowed
        for inner in ast.walk(node)
    }
    for node in ast.walk(TREES[path]):
        if not isinstance(node, ast.Call) or id(node) in free:
            continue
        if isinstance(node.func, ast.Name):
            assert node.func.id != "print", f"line {node.lineno}: print"
        elif isinstance(node.func, ast.Attribute) and node.func.attr in PRINTING:
            owner = ast.unparse(node.func.value)
            assert owner not in STREAMS, f"line {node.lineno}: {owner}.{node.func.attr}"


# Size and form.


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_functions_stay_small(path):
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 60, (
                f"{node.name} has {node.end_lineno - node.lineno + 1} lines"
            )


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_what_is_public_is_documented(path):
    tree = TREES[path]
    assert ast.get_docstring(tree) or (path.name == "__init__.py" and not tree.body), (
        "the module has no docstring"
    )
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            hook = any(
                name in ast.unparse(d)
                for d in node.decorator_list
                for name in (
                    "hookimpl",
                    "overload",
                )  # an overload is documented by what it stands for
            )
            settings = any(
                ast.unparse(base) in ("Section", "Choice", "BaseModel")
                for base in getattr(node, "bases", ())
            )
            assert ast.get_docstring(node) or hook or settings, f"{node.name} has no docstring"


def test_no_component_has_more_than_six_options():
    for component in zoo().registry.components():
        assert len(component.options()) <= 6, str(component)


def test_what_ganzoo_exports_is_sorted_and_there():
    assert ganzoo.__all__ == sorted(ganzoo.__all__)
    for name in ganzoo.__all__:
        assert getattr(ganzoo, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = ganzoo.nothing


def test_the_component_reference_is_current():
    maker = runpy.run_path(str(ROOT / "docs" / "make_components.py"))
    assert maker["PAGE"].read_text("utf-8") == maker["page"]()


SPEAKS_FLAGS = (
    "cli",
    "scaffold",
)  # the command line, and the READMEs that new plugins begin with


def test_the_library_speaks_of_settings_and_not_of_flags() -> None:
    """Only the command line turns the fields of an error into flags."""
    flags = {
        option
        for name in cli.COMMANDS
        for command in walk(import_module(f"ganzoo.cli.{cli.COMMANDS[name][0]}").command)
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("--")
    }
    assert {"--gen", "--set", "--count", "--resolution"} <= flags
    for path, tree in TREES.items():
        if set(path.relative_to(CORE.parent).parts[1:2]) & set(SPEAKS_FLAGS):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                said = set(re.findall(r"--[a-z][a-z-]*", node.value)) & flags
                assert not said, f"{path}:{node.lineno}: {said}"
                assert "ganzoo train" not in node.value, f"{path}:{node.lineno}"


def walk(command):
    """A command and those below it."""
    yield command
    for below in getattr(command, "commands", {}).values():
        yield from walk(below)
