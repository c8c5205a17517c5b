"""Run folders, run files and checkpoints from strangers: each attack ends in one line."""

import contextlib
import json
import os
import sys

import pytest
from fuzzing import little_memory, watched
from hostile import BAD, refused, two_runs
from mutators import nested

from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.errors import BadFile, BadRun, GanzooError
from ganzoo.io import checkpoints as checkpoint
from ganzoo.io import files
from ganzoo.training import log_file as logbook
from ganzoo.training import run_folder as runs

# Run files and run folders.


@pytest.mark.parametrize(
    "text",
    [
        ".".join("a" * 3000) + " = 1",
        "a." * 60_000 + "b = 1",
        "[" + ".".join(["a"] * 100) + "]\n" + "x = 1",
        "a = " + "[" * 100_000,
        "a = " + "{b = " * 3000 + "1" + "}" * 3000,
        "a = " + "9" * 5000,
        "[gen]\nwidth = 0x" + "f" * 9000,
        "[train]\nseed = 0x" + "f" * 9000,
        "x = 1\n" * 200_000,
        "\0",
        "[gen.name]\nx = {y = 1}",
        "[train.images]\nname = 2",
        "gen = 3",
        "optim = []",
        "int = 1",
        "str = 1",
        "[train]\nint = 1",
        "[train]\nimages = '" + "9" * 400 + "'",
        "[train]\nimages = '1e999999999'",
        "[samples]\ncount = 1000000000",
        "[checkpoint]\nminutes = nan",
        "[reg]\ngp = 3",
        "[reg.gp]\nweight = 'x'",
        '[gen]\n"\\u001b[2J\\n" = 1',
        '["\\u001b[2J\\n"]',
        "[gen]\nwhere = 1",
        "[gen]\nself = 1",
        "[gen]\nname = 'os:system'",
        "[gen]\nname = 'antigravity:x'",
        "[gen]\nname = 'antigravity/x'",
        "[optim.gen]\nname = '../../x'",
        "[optim.gen]\nname = 'builtins/eval'",
        "[data]\nname = '/etc/passwd'",
        "[data]\nname = '/dev/zero'",
        "[data]\nname = '" + "x" * 50_000 + "'",
        "[data]\nname = '~nobody-at-all/x'",
        '[data]\nname = "a\\u0000b"',
        "[data]\nresolution = '999999999x999999999'",
        "[train]\ndevice = 'cuda:99999999999999999999'",
        "[train]\ndevice = '\\n'",
        "[train]\nbatch_size = 4000000000000",
    ],
    ids=lambda text: text[:40],
)
def test_hostile_run_files(tmp_path, text):
    (tmp_path / "run.toml").write_text(text)
    with refused():
        tree = configuration.merge(
            configuration.defaults(), configuration.read(tmp_path / "run.toml")
        )
        assemble(configuration.check(tree), zoo().registry)
    assert "antigravity" not in sys.modules


def test_every_setting_with_every_type(tmp_path):
    tree = configuration.defaults()
    tried = 0
    for section, content in tree.items():
        for key in [None, *content]:
            for value in (
                None,
                True,
                0,
                -1,
                10**30,
                1.5,
                float("nan"),
                float("inf"),
                "",
                "\0",
                BAD,
                [],
                [[]],
                {},
                {"a": {"b": 1}},
            ):
                layer = {section: value if key is None else {key: value}}
                with contextlib.suppress(GanzooError):
                    configuration.check(configuration.merge(tree, layer))
                tried += 1
    assert tried > 500


def test_what_a_run_says_of_itself_is_only_text(tmp_path):
    class Owners:
        owners = {"gen": "ganzoo:vanilla"}  # noqa: RUF012
        versions = {"ganzoo": "0"}  # noqa: RUF012

    for value in (3, [], "x", {"ganzoo": 3}, {"ganzoo": [1]}, {"ganzoo": {"a": 1}}, {3: 4}):
        assert runs.check_versions({"versions": value, "plugins": value}, Owners) == []
    (line,) = runs.check_versions({"versions": {"ganzoo": BAD}}, Owners)
    assert line.isprintable()
    with refused(BadRun):
        runs.check_versions({"plugins": {"gen": BAD}}, Owners)


def test_links_in_a_run_folder_lead_nowhere(tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "notes.txt").write_text("mine")
    (precious / "manifest.json").write_text("{}")
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / ".lock").symlink_to(precious / "notes.txt")
    with refused(BadFile, "a link"):
        runs.Lock(run)
    (run / f".generator.safetensors.{os.getpid()}.tmp").symlink_to(precious / "notes.txt")
    files.write_bytes(run / "generator.safetensors", b"new")
    (run / "generator.safetensors").unlink()
    (run / "generator.safetensors").symlink_to(precious / "notes.txt")
    files.write_bytes(run / "generator.safetensors", b"new")
    (run / "checkpoints" / "000000001").symlink_to(precious)
    for images in (2, 3):
        checkpoint.save(run / "checkpoints" / f"{images:09d}", {"counters": {"images": images}}, {})
    checkpoint.prune(run, 1)
    (run / "log.jsonl").symlink_to(precious / "notes.txt")
    for act in (lambda: logbook.forget_after(run, 1), lambda: logbook.append(run, {"images": 1})):
        with refused(BadFile, "a link"):
            act()
    assert (precious / "notes.txt").read_text() == "mine" and (precious / "manifest.json").exists()
    assert [p.name for p in checkpoint.folders(run)] == ["000000003"]


def test_a_log_of_rubbish_is_dropped(tmp_path):
    lines = [
        "",
        "[" * 100_000,
        "{}",
        '{"images": "x"}',
        '{"images": null}',
        '{"images": [1]}',
        "9" * 5000,
        "NaN",
        "\x1b[2J",
        '{"images": 1',
    ]
    content = "\n".join(lines).encode() + b"\n\xff\xfe\0\n" + b'{"images": 3}\n{"images": 9}\n'
    (tmp_path / "log.jsonl").write_bytes(content)
    logbook.forget_after(tmp_path, 5)
    assert (tmp_path / "log.jsonl").read_text() == '{"images": 3}\n'


# Checkpoints, whose sums an enemy can make anew.


@pytest.fixture
def sign(tmp_path):
    """A copy of a checkpoint with its manifest changed and signed."""
    import shutil

    source = next((two_runs() / "mlp" / "checkpoints").iterdir())

    def sign(change):
        folder = tmp_path / "run" / "checkpoints" / source.name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(source, folder)
        manifest = json.loads((folder / "manifest.json").read_text())
        change(manifest)
        manifest["sha256"] = checkpoint._digest(manifest)
        (folder / "manifest.json").write_bytes(checkpoint._serialised(manifest))
        return folder

    return sign


def test_a_manifest_with_wrong_types_at_every_place(sign):
    checkpoint.load(sign(lambda manifest: None))
    values = (
        None,
        True,
        0,
        -1,
        2**70,
        1.5,
        "",
        "\0",
        BAD,
        [],
        [[1]],
        {},
        {"a": 1},
        nested(30, 1, "a"),
    )
    whole = json.loads((sign(lambda manifest: None) / "manifest.json").read_text())
    for key in ("format", "files", "values", "files/average.safetensors"):
        for value in values:

            def change(manifest, key=key, value=value):
                owner, _, last = key.rpartition("/")
                (manifest[owner] if owner else manifest)[last] = value

            with watched(), little_memory(), contextlib.suppress(BadFile):
                checkpoint.load(sign(change))
    for key in whole["files"]["average.safetensors"]:
        for value in values:
            with refused(BadFile):
                checkpoint.load(
                    sign(
                        lambda m, key=key, value=value: m["files"]["average.safetensors"].update(
                            {key: value}
                        )
                    )
                )


@pytest.mark.parametrize(
    "name",
    [
        "..",
        "../x.safetensors",
        "/etc/passwd",
        "a/b.safetensors",
        "x\0.safetensors",
        BAD,
        "",
        "x" * 5000,
    ],
)
def test_a_manifest_names_only_files_of_its_folder(sign, name):
    with refused(BadFile, "no file of a checkpoint"):
        checkpoint.load(
            sign(lambda manifest: manifest["files"].update({name: {"bytes": 0, "sha256": ""}}))
        )


def test_a_checkpoint_of_endless_files(sign):
    folder = sign(lambda manifest: None)
    for target in ("/dev/zero", "/dev/random"):
        (folder / "average.safetensors").unlink()
        (folder / "average.safetensors").symlink_to(target)
        with refused(BadFile):
            checkpoint.load(folder)
    (folder / "average.safetensors").unlink()
    os.mkfifo(folder / "average.safetensors")
    with refused(BadFile):
        checkpoint.load(folder)
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").symlink_to("/dev/zero")
    with refused(BadFile):
        checkpoint.load(folder)
