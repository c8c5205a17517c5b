"""A run whose plugin is gone or has changed its version says so, on resume and on generate."""

import json
import shutil

from fuzz_targets import summed
from hostile import opened, written
from signing import sign

from ganzoo import __version__ as now


def test_resume_names_the_plugin_that_is_gone(cli, trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)

    def gone(manifest):
        assert manifest["plugins"]["reg.r1"] == "ganzoo:penalties"
        manifest["plugins"]["reg.r1"] = "ganzoo-gone:penalties"

    sign(next((run / "checkpoints").iterdir()), gone)
    done = cli("train", "--resume", run)
    assert (
        done.code == 1
        and "came from ganzoo-gone" in done.err
        and "pip install ganzoo-gone" in done.err
    )
    assert done.err.count("\n") == 1


def test_resume_tells_of_another_version(cli, trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    checkpoint = next((run / "checkpoints").iterdir())
    sign(checkpoint, lambda manifest: manifest["versions"].update(ganzoo="0.0.9"))
    done = cli("train", "--resume", run, "--images", "288")
    assert done.code == 0 and f"ganzoo was 0.0.9 when this run began and is {now} now" in done.err


def test_generate_tells_of_another_version(cli, trained, tmp_path):
    fields, header, weights = opened(trained / "generator.safetensors")
    assert header["version"] == now
    fields["__metadata__"]["ganzoo"] = json.dumps(header | {"version": "0.0.9"})
    written(tmp_path / "old.safetensors", summed(fields, weights), weights)
    done = cli(
        "generate",
        tmp_path / "old.safetensors",
        "--count",
        "4",
        "--seed",
        "1",
        "--out",
        tmp_path / "grid.png",
    )
    assert done.code == 0 and f"made with ganzoo 0.0.9 and drawn with {now}" in done.err
