"""What a person installs: the wheel in a fresh environment, with other people's plugins coming and going."""

import json
import math
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OTHERS = Path(__file__).parent / "third_party"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
VERSION = PROJECT["version"]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder with the sdist, and the wheel built from it."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


class Environment:
    """A virtual environment that sees what this one has installed, except ganzoo and its plugins."""

    def __init__(self, folder):
        self.folder, self.work = folder / "venv", folder / "work"
        venv.create(self.folder, with_pip=False)
        self.work.mkdir()
        links = folder / "links"
        links.mkdir()
        for site in map(Path, sys.path):
            if site.name in ("site-packages", "dist-packages"):
                for entry in site.iterdir():
                    if "ganzoo" not in entry.name and not (links / entry.name).exists():
                        (links / entry.name).symlink_to(entry)
        site = next(self.folder.glob("lib/python*/site-packages"))
        (site / "links.pth").write_text(f"{links}\n")

    def run(self, *command, code=0):
        """Run a command of the environment in an empty folder; its exit code must be the one given."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "GANZOO", "PIP_", "VIRTUAL_ENV"))}
        program = self.folder / "bin" / command[0]
        done = subprocess.run(
            [str(program), *map(str, command[1:])],
            capture_output=True,
            text=True,
            cwd=self.work,
            env={**kept, "PYTHONNOUSERSITE": "1", "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == code, f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def pip(self, *arguments):
        """This environment's pip, at work in the other."""
        command = [sys.executable, "-m", "pip", "--python", self.folder / "bin" / "python", *arguments]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=self.work)
        assert done.returncode == 0, done.stdout + done.stderr

    def install(self, project):
        """Install another's project from its source."""
        source = self.work.parent / project
        shutil.copytree(OTHERS / project, source)
        self.pip("install", "--no-deps", "--no-index", "--no-build-isolation", source)
        return source

    def parts(self):
        """What `ganzoo list --json` shows, by kind and name."""
        return {(c["kind"], c["name"]): c for c in json.loads(self.run("ganzoo", "list", "--json").stdout)}


@pytest.fixture(scope="module")
def environment(built, tmp_path_factory):
    """An environment with the wheel in it."""
    fresh = Environment(tmp_path_factory.mktemp("fresh"))
    fresh.pip("install", "--no-deps", "--no-index", next(built.glob("*.whl")))
    return fresh


def test_the_sdist_is_complete(built):
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"pyproject.toml", "README.md", "LICENSE", "registry.toml", "ganzoo/defaults.toml", "docs/make_components.py"}
    wanted |= {str(p.relative_to(ROOT)) for p in (ROOT / "plugins").rglob("*") if p.is_file() and p.suffix in (".py", ".toml")}
    wanted |= {str(p.relative_to(ROOT)) for p in Path(__file__).parent.glob("test_*.py")}
    assert wanted <= names
    assert not [n for n in names if "__pycache__" in n or n.startswith((".git/", ".venv/", "runs/"))]


def test_the_wheel_carries_what_is_needed_and_no_more(built):
    with zipfile.ZipFile(next(built.glob("*.whl"))) as archive:
        names = set(archive.namelist())
        points = archive.read(f"ganzoo-{VERSION}.dist-info/entry_points.txt").decode()
    recipes = {
        f"ganzoo_plugins/{p.relative_to(ROOT / 'plugins' / 'ganzoo_plugins')}" for p in ROOT.glob("plugins/*/*/recipes/*.toml")
    }
    modules = {str(p.relative_to(ROOT)) for p in (ROOT / "ganzoo").rglob("*.py")}
    assert len(recipes) >= 9
    assert {"ganzoo/registry.toml", "ganzoo/defaults.toml", "ganzoo/py.typed"} | recipes | modules <= names
    assert {n.split("/")[0] for n in names} == {"ganzoo", "ganzoo_plugins", f"ganzoo-{VERSION}.dist-info"}
    for family, module in PROJECT["entry-points"]["ganzoo"].items():
        assert f"{family} = {module}" in points
    assert "ganzoo = ganzoo.cli:main" in points


def test_the_wheel_is_what_runs(environment):
    code = "import ganzoo, ganzoo.catalog as c; print(ganzoo.__file__, ganzoo.__version__, len(c.catalogue()['plugins']))"
    file, version, known = environment.run("python", "-c", code).stdout.split()
    assert Path(file).is_relative_to(environment.folder) and version == VERSION
    assert int(known) == len(PROJECT["entry-points"]["ganzoo"])
    parts = environment.parts()
    assert {c["distribution"] for c in parts.values()} == {"ganzoo"} and {c["version"] for c in parts.values()} == {VERSION}
    assert ("generator", "dcgan") in parts and ("recipe", "wgan-gp") in parts


def test_a_plugin_comes_trains_and_goes(environment):
    before = environment.parts()
    source = environment.install("ganzoo-example")
    added = {key: c for key, c in environment.parts().items() if key not in before}
    assert added.keys() == {("generator", "upsample"), ("loss", "softhinge"), ("regularizer", "anchor")}
    for part in added.values():
        assert (part["distribution"], part["plugin"], part["version"]) == ("ganzoo-example", "example", "0.3.0")
        assert part["summary"] and part["summary"].isprintable()
    environment.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", source)

    flags = [
        "--gen",
        "upsample",
        "--loss",
        "softhinge",
        "--reg",
        "anchor",
        "--images",
        160,
        "--batch-size",
        8,
        "--set",
        "log.images=8",
    ]
    environment.run("ganzoo", "train", *flags, "--device", "cpu", "--set", "gen.width=8", "--set", "disc.width=8")
    run = next((environment.work / "runs").iterdir())
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["updates"] == 20 and lines[-1]["images"] == 160
    assert all(math.isfinite(line["discriminator"]["anchor"]) for line in lines)
    about = tomllib.loads((run / "run.toml").read_text())["run"]
    assert about["plugins"]["gen"] == "ganzoo-example:example" and about["versions"]["ganzoo-example"] == "0.3.0"
    environment.run("ganzoo", "generate", run, "--count", 4, "--seed", 1, "--out", "grid.png")
    assert (environment.work / "grid.png").stat().st_size > 100

    environment.pip("uninstall", "--yes", "ganzoo-example")
    assert environment.parts() == before
    gone = environment.run("ganzoo", "train", *flags, code=2).stderr.strip()
    assert gone.count("\n") == 0 and any(f"named {name!r}" in gone for name in ("upsample", "softhinge", "anchor"))
    gone = environment.run("ganzoo", "generate", run, "--count", 4, "--out", "again.png", code=1).stderr.strip()
    assert gone.count("\n") == 0 and "pip install ganzoo-example" in gone
    gone = environment.run("ganzoo", "train", "--resume", run, "--images", 320, code=2).stderr.strip()
    assert gone.count("\n") == 0 and "no regularizer named" in gone


def test_a_broken_plugin_is_one_warning(environment):
    before = environment.parts()
    environment.install("ganzoo-broken")
    done = environment.run("ganzoo", "list", "--json")
    assert {(c["kind"], c["name"]) for c in json.loads(done.stdout)} == before.keys()
    assert done.stderr == (
        "Warning: plugin ganzoo-broken:broken is broken and left out: RuntimeError: needs ganzoo 99 and a better world\n"
    )
    listed = {p["plugin"]: p for p in json.loads(environment.run("ganzoo", "plugins", "--json").stdout)}
    assert listed["broken"]["broken"] == "RuntimeError: needs ganzoo 99 and a better world"
    assert listed["broken"]["distribution"] == "ganzoo-broken" and listed["dcgan"]["broken"] is None
    environment.pip("uninstall", "--yes", "ganzoo-broken")
    assert environment.run("ganzoo", "list", "--json").stderr == ""
