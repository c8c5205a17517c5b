"""What a person installs: the wheel in a fresh
environment, with other people's plugins coming and going.
"""

import json
import math
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from environments import ROOT, Environment

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
VERSION = PROJECT["version"]


@pytest.fixture(scope="module")
def environment(built, tmp_path_factory):
    """An environment with the wheel in it."""
    fresh = Environment(tmp_path_factory.mktemp("fresh"))
    fresh.pip("install", "--no-deps", "--no-index", next(built.glob("*.whl")))
    return fresh


def test_the_sdist_is_complete(built):
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "registry.toml",
        "ganzoo/config/defaults.toml",
        "docs/make_components.py",
    }
    wanted |= {
        str(p.relative_to(ROOT))
        for p in (ROOT / "plugins").rglob("*")
        if p.is_file() and "__pycache__" not in p.parts
    }
    wanted |= {str(p.relative_to(ROOT)) for p in Path(__file__).parents[1].rglob("test_*.py")}
    assert wanted <= names
    assert not [
        n for n in names if "__pycache__" in n or n.startswith((".git/", ".venv/", "runs/"))
    ]


def test_the_wheel_carries_what_is_needed_and_no_more(built):
    with zipfile.ZipFile(next(built.glob("*.whl"))) as archive:
        names = set(archive.namelist())
        points = archive.read(f"ganzoo-{VERSION}.dist-info/entry_points.txt").decode()
        licences = archive.read(f"ganzoo-{VERSION}.dist-info/METADATA").decode().split("\n\n")[0]
    recipes = {
        f"ganzoo_plugins/{p.relative_to(ROOT / 'plugins' / 'ganzoo_plugins')}"
        for p in ROOT.glob("plugins/*/*/recipes/*.toml")
    }
    modules = {str(p.relative_to(ROOT)) for p in (ROOT / "ganzoo").rglob("*.py")}
    assert len(recipes) >= 9
    digits = ("LICENSE", "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")
    assert {f"ganzoo_plugins/datasets/mnist-test/{name}" for name in digits} <= names
    assert "License-Expression: MIT AND CC-BY-SA-3.0" in licences
    assert "License-File: plugins/ganzoo_plugins/datasets/mnist-test/LICENSE" in licences
    assert {
        "ganzoo/registry.toml",
        "ganzoo/config/defaults.toml",
        "ganzoo/py.typed",
    } | recipes | modules <= names
    assert {n.split("/")[0] for n in names} == {
        "ganzoo",
        "ganzoo_plugins",
        f"ganzoo-{VERSION}.dist-info",
    }
    for family, module in PROJECT["entry-points"]["ganzoo"].items():
        assert f"{family} = {module}" in points
    assert "ganzoo = ganzoo.cli:main" in points


def test_the_wheel_is_what_runs(environment):
    code = (
        "import ganzoo, ganzoo.components.catalogue as c; "
        "print(ganzoo.__file__, ganzoo.__version__, len(c.catalogue()['plugins']))"
    )
    file, version, known = environment.run("python", "-c", code).stdout.split()
    assert Path(file).is_relative_to(environment.folder) and version == VERSION
    assert int(known) == len(PROJECT["entry-points"]["ganzoo"])
    parts = environment.parts()
    assert {c["distribution"] for c in parts.values()} == {"ganzoo"} and {
        c["version"] for c in parts.values()
    } == {VERSION}
    assert ("generator", "dcgan") in parts and ("recipe", "wgan-gp") in parts
    code = "import ganzoo; print(*ganzoo.create('dataset', 'digits').samples.shape)"
    assert environment.run("python", "-c", code).stdout.split() == ["10000", "1", "28", "28"]


def said(done):
    """What a command said on stderr, without the steps that took it more than a second."""
    return "\n".join(line for line in done.stderr.splitlines() if not line.endswith(" ..."))


@pytest.mark.slow
def test_a_plugin_comes_trains_and_goes(environment):
    before = environment.parts()
    source = environment.install("ganzoo-example")
    added = {key: c for key, c in environment.parts().items() if key not in before}
    assert added.keys() == {
        ("generator", "upsample"),
        ("loss", "softhinge"),
        ("regularizer", "anchor"),
    }
    for part in added.values():
        assert (part["distribution"], part["plugin"], part["version"]) == (
            "ganzoo-example",
            "example",
            "0.3.0",
        )
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
    environment.run(
        "ganzoo",
        "train",
        *flags,
        "--device",
        "cpu",
        "--set",
        "gen.width=8",
        "--set",
        "disc.width=8",
    )
    run = next((environment.work / "runs").iterdir())
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["updates"] == 20 and lines[-1]["images"] == 160
    assert all(math.isfinite(line["discriminator"]["anchor"]) for line in lines)
    about = tomllib.loads((run / "run.toml").read_text())["run"]
    assert (
        about["plugins"]["gen"] == "ganzoo-example:example"
        and about["versions"]["ganzoo-example"] == "0.3.0"
    )
    environment.run("ganzoo", "generate", run, "--count", 4, "--seed", 1, "--out", "grid.png")
    assert (environment.work / "grid.png").stat().st_size > 100

    environment.pip("uninstall", "--yes", "ganzoo-example")
    assert environment.parts() == before
    gone = said(environment.run("ganzoo", "train", *flags, code=2))
    assert gone.count("\n") == 0 and any(
        f"named {name!r}" in gone for name in ("upsample", "softhinge", "anchor")
    )
    gone = said(
        environment.run("ganzoo", "generate", run, "--count", 4, "--out", "again.png", code=1)
    )
    assert gone.count("\n") == 0 and "pip install ganzoo-example" in gone
    gone = said(environment.run("ganzoo", "train", "--resume", run, "--images", 320, code=1))
    assert (
        gone.count("\n") == 0
        and "came from ganzoo-example 0.3.0" in gone
        and "pip install ganzoo-example" in gone
    )


def test_a_broken_plugin_is_one_warning(environment):
    before = environment.parts()
    environment.install("ganzoo-broken")
    done = environment.run("ganzoo", "list", "--json")
    assert {(c["kind"], c["name"]) for c in json.loads(done.stdout)} == before.keys()
    assert done.stderr == (
        "Warning: plugin ganzoo-broken:broken is broken and left out: RuntimeError: needs ganzoo "
        "99 and a better world\n"
    )
    listed = {
        p["plugin"]: p for p in json.loads(environment.run("ganzoo", "plugins", "--json").stdout)
    }
    assert listed["broken"]["broken"] == "RuntimeError: needs ganzoo 99 and a better world"
    assert listed["broken"]["distribution"] == "ganzoo-broken" and listed["dcgan"]["broken"] is None
    environment.pip("uninstall", "--yes", "ganzoo-broken")
    assert environment.run("ganzoo", "list", "--json").stderr == ""
