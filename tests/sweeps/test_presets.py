"""Each preset once, from the command to the report, with all its settings and a few images each."""

import json

import pytest

from ganzoo.sweeps import preset as presets

FLAGS = (
    *("--data", "ring", "--gen", "mlp", "--loss", "wgan", "--reg", "gp", "--device", "cpu"),
    *("--images", "320", "--batch-size", "32", "--metric", "swd", "--json"),
)
NARROW = ("gen.width=8", "gen.depth=1", "disc.width=8", "disc.depth=1", "train.precision=fp32")


@pytest.mark.slow
@pytest.mark.parametrize("name", [each.name for each in presets.presets()])
def test_a_preset_is_trained_and_reported(name, ran, tmp_path):
    preset = presets.preset(name)
    settings = [word for each in NARROW for word in ("--set", each)]
    words = (*FLAGS, *settings, "--set", "metric.swd.count=64", "--out", tmp_path / "sweep")
    found = json.loads(ran("sweep", "--preset", name, *words))
    count = preset.draws
    if preset.alone:  # the pipeline as it is, and each value by itself
        count = 1 + sum(len(space.values) for space in preset.tries.values())
    assert found["trials"] == found["ended"] == count * preset.seeds
    assert found["statuses"] == {"finished": found["trials"]}, "none failed or was refused"
    assert found["survival"]["share"] > 0.5 and len(found["settings"]) == count
    assert all(row["score"]["count"] == preset.seeds for row in found["settings"])
    tried = {row["option"] for row in found["levels"]} - {""}  # which is the pipeline as it is
    assert len(tried) == 4, "what each preset tries of this pipeline"
    assert bool(found["best_of"]) == (not preset.alone)
    page = (tmp_path / "sweep" / "report.md").read_text("utf-8")
    assert all(option in page for option in tried)
    assert json.loads((tmp_path / "sweep" / "report.json").read_text("utf-8")) == found
    assert len([*(tmp_path / "sweep" / "trials").iterdir()]) == found["trials"]
