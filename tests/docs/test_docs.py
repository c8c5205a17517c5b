"""The documents: their code runs, their command lines
parse and name what exists, their links lead somewhere.
"""

import functools
import os
import re
import shlex
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import click
import pytest
import torch

from ganzoo import cli, testing
from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.cli import group
from ganzoo.components import loading as plugins
from ganzoo.components.kinds import KINDS
from ganzoo.components.options import options_of
from ganzoo.data import form_of
from ganzoo.errors import GanzooError
from ganzoo.training.loop import Training

ROOT = Path(__file__).parents[2]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md")])
FENCE = re.compile(r"^```(\w*)[ \t]*([^\n]*)\n(.*?)^```$", re.M | re.S)


def name(page):
    return page.relative_to(ROOT).as_posix()


def blocks(page, *languages):
    """(file name or "", text) of every fenced block in one of the languages."""
    found = FENCE.findall(page.read_text("utf-8"))
    return [
        (info.partition("file=")[2].strip(), text)
        for language, info, text in found
        if language in languages
    ]


def without_code(page):
    return FENCE.sub("", page.read_text("utf-8"))


UNWRAPPED = ("docs/components.md", "CHANGELOG.md")  # generated; a line a change


@pytest.mark.parametrize("page", [p for p in PAGES if name(p) not in UNWRAPPED], ids=name)
def test_lines_of_text_end_at_100_columns(page):
    """But for code, tables and what a link makes long."""
    lines = without_code(page).splitlines()
    text = [line for line in lines if not line.startswith("|") and "](" not in line]
    assert [line for line in text if len(line) > 100] == []


def test_library_page_runs(tmp_path, monkeypatch):
    """All blocks in order, in one namespace; the page's own
    assertions hold, and what it computes has the shapes it says.
    """
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "library_page"}
    page = ROOT / "docs" / "library.md"
    for number, (_, code) in enumerate(blocks(page, "python"), 1):
        exec(compile(code, f"{name(page)}, block {number}", "exec"), namespace)
    assert namespace["samples"].shape == (16, 1, 28, 28) and namespace["samples"].abs().max() <= 1
    assert namespace["points"].shape == (16, 2)
    assert {p.name for p in tmp_path.iterdir()} == {"ring-run"}, (
        "only the training with a folder writes"
    )


@pytest.fixture
def written(tmp_path, monkeypatch):
    """The packages of write-a-plugin.md in a folder on the path,
    found by their entry points as pip would have left them.
    """
    for file, text in blocks(ROOT / "docs" / "write-a-plugin.md", "python", "toml"):
        assert file, "every block of that page is a file"
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        assert not (tmp_path / file).exists(), f"{file} is there twice"
        (tmp_path / file).write_text(text)
    project = tomllib.loads((tmp_path / "pyproject.toml").read_text())["project"]
    install(tmp_path, project["name"], project["version"], project["entry-points"]["ganzoo"])
    install(tmp_path, "ganzoo-tour", "0.1.0", {"tour": "ganzoo_tour"})
    monkeypatch.syspath_prepend(str(tmp_path))
    yield plugins.load(entry_points(group="ganzoo"))
    for module in [
        m for m in sys.modules if m.partition(".")[0] in ("ganzoo_softhinge", "ganzoo_tour")
    ]:
        del sys.modules[module]


def install(folder, project, version, entries):
    """What pip writes beside a package."""
    about = folder / f"{project.replace('-', '_')}-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n")
    (about / "entry_points.txt").write_text(
        "[ganzoo]\n" + "".join(f"{key} = {value}\n" for key, value in entries.items())
    )


def train(zoo, tree, updates=5, **small):
    """A few updates of a configuration; returns the training."""
    length = {"batch_size": 16, "images": 16 * updates, "device": "cpu"}
    small = {"data": {"resolution": 8}, "train": length, "log": {"images": 16}} | small
    tree = functools.reduce(configuration.merge, (configuration.defaults(), small, tree))
    training = Training(assemble(configuration.check(tree), zoo.registry))
    before = {side: weights(training, side) for side in ("generator", "discriminator")}
    training.run()
    for side, old in before.items():
        new = weights(training, side)
        assert torch.isfinite(new).all() and not torch.equal(old, new), f"the {side} did not learn"
    return training


def weights(training, side):
    return torch.cat([p.detach().flatten() for p in training.pipeline.parts.net(side).parameters()])


def test_first_plugin_trains(written):
    assert not written.broken, [p.broken for p in written.broken]
    component = written.registry.get("loss", "softhinge")
    assert component.summary == "The hinge loss with a rounded corner"
    assert component.options()["sharpness"].help
    train(
        written,
        {
            "gen": {"width": 8},
            "disc": {"width": 8},
            "loss": {"name": "softhinge", "sharpness": 4.0},
        },
    )


def test_first_plugin_is_a_soft_hinge(written):
    """The sharper, the nearer to the hinge loss that ganzoo ships."""

    class Logits:
        real_logits, fake_logits = torch.randn(
            2, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
        )

    hinge = written.registry.create("loss", "hinge").discriminator(Logits)
    soft = [
        written.registry.create("loss", "softhinge", sharpness=s).discriminator(Logits) - hinge
        for s in (2, 20, 2000)
    ]
    assert soft[0] > soft[1] > soft[2] >= 0 and soft[2] < 1e-3


def test_every_part_of_the_tour_trains(written, tmp_path):
    recipe = configuration.settings(written.registry.get("recipe", "stripes").recipe())
    recipe["tracker"] = {"lines": {"path": str(tmp_path / "lines.jsonl")}}
    training = train(written, recipe, updates=9, data={})
    tour = [c for c in written.registry.components() if c.plugin == "tour"]
    used = {(kind, name) for _, kind, name in configuration.parts_of(training.config)}
    unused = (
        {(c.kind, c.name) for c in tour}
        - used
        - {("dataset", "stripes"), ("recipe", "stripes"), ("discriminator", "linear")}
        - {("encoder", "flat"), ("condition", "rows")}  # no net of the tour reads them
    )
    assert not unused, f"not in the recipe: {unused}"
    parts = training.pipeline.parts
    assert parts.regularizers["steady"].average != 0 and parts.regularizers["even-steps"].mean > 0
    matrix = next(p for p in parts.discriminator.parameters() if p.dim() >= 2)
    torch.testing.assert_close(matrix.detach().norm(), torch.ones(()))
    assert matrix.shape[1] == 36, "8x8 without its border"
    assert set(training.scores) == {"moments.mean", "moments.std"}
    assert len((tmp_path / "lines.jsonl").read_text().splitlines()) == 9


def test_discriminator_with_forward_alone_trains(written):
    training = train(
        written,
        {"gen": {"name": "shallow"}, "disc": {"name": "linear"}, "reg": {"flat": {}, "r1": {}}},
    )
    assert training.updates == 5
    values = training.pipeline.parts.discriminator.state_dict().values()
    assert all(value.isfinite().all() for value in values)


def test_qualified_name(written):
    assert written.registry.get("loss", "ganzoo-softhinge/softhinge").version == "0.1.0"


@pytest.mark.slow
def test_parts_of_the_page_pass_the_test_kit(written, tmp_path):
    tour = [c for c in written.registry.components() if c.plugin == "tour"]
    assert {c.kind for c in tour} == set(KINDS) - {"loss"}, (
        "the tour shows every kind; the loss is the first plugin's"
    )
    for component in tour:
        given = {
            "tracker": {"path": tmp_path / "lines.jsonl"},
            "recipe": {"registry": written.registry},
        }
        testing.check(component, **given.get(component.kind, {}))


@pytest.mark.slow
def test_own_tests_of_the_page_pass(written, tmp_path):
    """The test file that the page shows, run by pytest in the project's folder."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/test_parts.py",
    ]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    }
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_other_blocks_are_valid(page):
    """TOML parses, and run files pass the check of a configuration; Python compiles."""
    for file, text in blocks(page, "toml"):
        tree = tomllib.loads(text)
        if not file and set(tree) & set(configuration.Config.model_fields):
            configuration.check(
                configuration.merge(configuration.defaults(), configuration.settings(tree)),
                name(page),
            )
    for _, text in blocks(page, "python", "py"):
        compile(text, name(page), "exec")


# The command lines.


def command_lines(page):
    """(words after `ganzoo`, the error that the page shows
    or "") of every command line, in blocks and in the text.
    """
    text = page.read_text("utf-8")
    lines = []
    for language, _, block in FENCE.findall(text):
        if language in ("", "console", "sh", "bash", "shell", "text"):
            joined = block.replace("\\\n", " ").splitlines()
            after = [line if line.startswith("Error: ") else "" for line in [*joined[1:], ""]]
            lines += zip((re.sub(r"^\s*[$%]\s+", "", line) for line in joined), after, strict=True)
    lines += [
        (line, "")
        for line in re.findall(r"(?<!`)`((?:[\w./-]*/)?ganzoo [^`\n]+)`(?!`)", without_code(page))
    ]
    for line, error in lines:
        for part in re.split(r"&&|\|\||;|\|(?!\w)", line):
            found = re.match(r"\s*(?:[A-Z_]+=\S+\s+)*(?:[\w./-]*/)?ganzoo\s+(.*)", part)
            if found and "..." not in found[1]:
                words = shlex.split(re.split(r"\s2?>\s?", found[1])[0], comments=True)
                if words and re.fullmatch(r"-{0,2}[a-z][a-z-]*|-[A-Z]", words[0]):
                    yield words, error


def parse(words):
    """(command, context) of a command line, nothing run; raises click's UsageError."""
    command = group
    while isinstance(command, click.Group):
        if words[0].startswith("-"):
            known = {flag for p in command.get_params(click.Context(command)) for flag in p.opts}
            if words[0] not in known:
                raise click.NoSuchOption(words[0])
            return command, None
        _, command, words = command.resolve_command(click.Context(command), list(words))
        if not words:  # the text speaks of the command
            return command, None
    if {"-h", "--help"} & set(words):
        return command, None
    return command, command.make_context("ganzoo", list(words))


def check_parts(registry, given):
    """Raises GanzooError or AssertionError unless a `train`
    line names parts that are there and options that they take.
    """
    recipe = registry.get("recipe", given["recipe"]).recipe() if given["recipe"] else {}
    parts = {}
    for section, kind in (
        ("gen", "generator"),
        ("disc", "discriminator"),
        ("loss", "loss"),
        ("data", "dataset"),
    ):
        layers = (
            given[section],
            recipe.get(section, {}).get("name"),
            configuration.defaults()[section]["name"],
        )
        parts[section] = kind, next(name for name in layers if name)
    if parts["disc"][1] == "auto":
        parts["disc"] = "discriminator", registry.get(*parts["gen"]).load().partner
    for family, kind in (("reg", "regularizer"), ("aug", "augmentation")):
        parts |= {
            f"{family}.{n}": (kind, n)
            for n in [*recipe.get(family, {}), *given[family]]
            if n != "none"
        }
    for side in ("gen", "disc"):
        parts[f"optim.{side}"] = (
            "optimizer",
            recipe.get("optim", {}).get(side, {}).get("name", "adam"),
        )
    pictures = re.search(r"[/.]|^(photos|facades|maps|horse2zebra)", parts["data"][1])  # a folder
    known = {
        section: registry.get(*part).options()
        for section, part in parts.items()
        if section != "data" or not pictures
    }
    if pictures:  # a file or folder, whose form its name and options tell
        names = [text.partition("=")[0].rpartition(".")[2] for text in given["settings"]]
        form = form_of(Path(parts["data"][1]), names)
        known["data"] = options_of(form.load) if form else {}
    for text in given["settings"]:
        section, _, key = text.partition("=")[0].rpartition(".")
        if section == "metric":
            registry.get("metric", key)
            continue
        core = functools.reduce(
            lambda tree, step: tree.get(step, {}), section.split("."), configuration.defaults()
        )
        assert key in core or key in known.get(section, {}), f"--set {text}: no such setting"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_command_lines_parse(page, written):
    """Every flag is one that the command has, and what a `train`
    line names is there and takes the options given to it.
    """
    for words, error in command_lines(page):
        if error:
            continue
        try:
            command, context = parse(words)
            if command.name == "train" and context is not None:
                check_parts(written.registry, context.params)
        except (click.ClickException, GanzooError, AssertionError) as error:
            reason = error.format_message() if isinstance(error, click.ClickException) else error
            pytest.fail(f"{name(page)}: ganzoo {shlex.join(words)}: {reason}")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_errors_are_as_shown(page, tmp_path, monkeypatch, capsys):
    """Where a page shows an error below a command line, the command
    prints it (those that need an earlier run are left out).
    """
    monkeypatch.chdir(tmp_path)
    for words, error in command_lines(page):
        if error and "--resume" not in words:
            assert cli.run(words) != 0
            assert capsys.readouterr().err.splitlines()[-1] == error


def test_command_lines_are_found():
    """The checks above see the commands: a parser that finds none would pass for ever."""
    lines = [line for page in PAGES for line in command_lines(page)]
    assert {"train", "list", "info", "generate", "data", "plugins"} <= {
        words[0] for words, _ in lines
    }
    assert sum(bool(error) for _, error in lines) >= 4
    with pytest.raises(click.UsageError):
        parse(["train", "--gne", "dcgan"])
    with pytest.raises(click.UsageError):
        parse(["trian"])


# The links.


def links(page):
    """(target, file or None for an address elsewhere, anchor)."""
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page)):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        yield target, None if re.match(r"[a-z]+:", target) else file, anchor


def anchors(page):
    """The headings' anchors as GitHub makes them."""
    headings = re.findall(r"^#{1,6}\s+(.+)$", without_code(page), re.M)
    return {re.sub(r"[^\w\- ]", "", h.strip().lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_resolve(page):
    for target, file, anchor in links(page):
        if file is not None:
            assert file.exists(), f"{name(page)}: {target} leads nowhere"
            assert file == ROOT or ROOT in file.parents, (
                f"{name(page)}: {target} leads out of the repository"
            )
            assert not anchor or file.suffix != ".md" or anchor in anchors(file), (
                f"{name(page)}: {target}: no such heading"
            )


def test_index_leads_to_every_page():
    index = ROOT / "docs" / "index.md"
    assert {*(ROOT / "docs").glob("*.md")} - {index} <= {file for _, file, _ in links(index)}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_path_of_a_machine(page):
    assert not re.findall(
        r"(?<![\w.])/(?:home|tmp|work|root|Users|usr|mnt)/\w*", page.read_text("utf-8")
    )
