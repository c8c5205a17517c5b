"""ganzoo as a library: what Python, an editor and a person at the prompt are told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import ganzoo
from ganzoo.contracts import Spec
from ganzoo.errors import BadOption, UnknownComponent

CONFIG = {
    "gen": {"name": "mlp", "width": 8},
    "disc": {"name": "mlp", "width": 8},
    "reg": {"r1": {}},
    "data": {"name": "ring"},
    "train": {"images": 64, "batch_size": 32, "device": "cpu"},
    "log": {"images": 32},
}


def test_a_training_says_what_it_was_in_one_line_and_keeps_its_notes(tmp_path: Path) -> None:
    result = ganzoo.train(CONFIG, tmp_path / "run")
    for text in (repr(result), repr(result.generator)):
        assert "\n" not in text and len(text) < 300 and "mlp of ganzoo" in text
        assert "trained on 64 images" in text and "samples of 2" in text
    assert "2 log lines" in repr(result) and "run" in repr(result)
    assert any("engine" in note for note in result.notes), result.notes
    (folder,) = (tmp_path / "run" / "checkpoints").iterdir()
    assert (folder / "net_gen.safetensors").is_file()
    with pytest.raises(ganzoo.GanzooError) as caught:
        ganzoo.load(folder / "net_gen.safetensors")
    assert f"the run's generator is {tmp_path / 'run' / 'generator.safetensors'}" in str(
        caught.value
    )
    with pytest.raises(ganzoo.GanzooError, match=r"^folder = .*: holds a run already"):
        ganzoo.train(CONFIG, tmp_path / "run")


def test_a_data_set_says_what_it_is_in_one_line() -> None:
    ring = ganzoo.create("dataset", "ring")
    assert repr(ring) == f"Dataset({len(ring):,} samples of 2, {len(ring.classes)} classes)"


def test_the_public_names_are_listed() -> None:
    assert dir(ganzoo) == sorted(ganzoo.__all__)


def test_a_part_that_takes_a_spec_says_so_and_takes_a_shape() -> None:
    with pytest.raises(BadOption) as caught:
        ganzoo.create("generator", "dcgan")
    said = "takes a Spec, the shape of one sample, first, as in "
    call = "ganzoo.create('generator', 'dcgan', Spec((3, 64, 64)))"
    assert str(caught.value) == f"generator 'dcgan' {said}{call}"
    with pytest.raises(BadOption, match="takes the parameters that it trains first"):
        ganzoo.create("optimizer", "adam")
    with pytest.raises(BadOption, match="and got 64"):
        ganzoo.create("generator", "dcgan", 64)
    with pytest.raises(UnknownComponent, match="did you mean 'dcgan'"):
        ganzoo.create("generator", "DCGANN")
    made = ganzoo.create("generator", "mlp", (2,), width=8)
    assert made.spec == Spec((2,))


def test_the_library_words_its_arguments(tmp_path: Path) -> None:
    generator = ganzoo.train(CONFIG).generator
    with pytest.raises(ganzoo.GanzooError, match=r"^count = 0: give 1 or more$"):
        generator.sample(0)
    with pytest.raises(ganzoo.GanzooError, match=r"^label = 3: this generator"):
        generator.sample(1, label=3)


def test_an_editor_knows_what_create_gives(tmp_path: Path) -> None:
    kinds = {
        "generator": "Generator",
        "discriminator": "Discriminator",
        "loss": "Loss",
        "regularizer": "Regularizer",
        "augmentation": "Augmentation",
        "optimizer": "Optimizer",
        "dataset": "Dataset",
        "metric": "Metric",
        "tracker": "Tracker",
    }
    lines = [f"reveal_type(ganzoo.create({kind!r}, 'x'))" for kind in kinds]
    snippet = tmp_path / "snippet.py"
    snippet.write_text("\n".join(["import ganzoo", *lines]) + "\n")
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", "--config-file", "", snippet],
        cwd=root,
        capture_output=True,
        text=True,
    )
    revealed = [line.rpartition("is ")[2].strip('"') for line in done.stdout.splitlines()]
    assert [name.rpartition(".")[2] for name in revealed] == [*kinds.values()], done.stdout
