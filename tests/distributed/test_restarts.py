"""Which run a job of torchrun goes on with when it is started again; what it may wait."""

import os

import pytest

import ganzoo
from ganzoo.distributed import ranks
from ganzoo.errors import UsageError
from ganzoo.training import restarts

TINY = {
    "gen": {"name": "mlp", "width": 4, "latent_dim": 2},
    "disc": {"width": 4},
    "data": {"name": "ring"},
    "train": {"images": 64, "batch_size": 32},
    "checkpoint": {"images": 32},
    "samples": {"count": 4},
}


@pytest.fixture
def run(tmp_path):
    ganzoo.train(TINY, tmp_path / "0001-ring")
    return tmp_path / "0001-ring"


def unfinished(run):
    """The same run before its last checkpoint."""
    for folder in (run / "checkpoints").iterdir():
        if folder.name != "000000032":
            (folder / "manifest.json").unlink()


def test_a_job_finds_the_run_that_it_has_not_ended(run, monkeypatch):
    root = run.parent
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "cats/1")
    assert restarts.remembered(root) is None
    restarts.remember(root, run)
    assert restarts.remembered(root) is None, "it has shown all its images"
    unfinished(run)
    assert restarts.remembered(root) == run
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "dogs")
    assert restarts.remembered(root) is None
    monkeypatch.delenv("TORCHELASTIC_RUN_ID")
    assert restarts.remembered(root) is None


def test_a_job_without_a_name_is_that_of_its_launcher(run, monkeypatch):
    root = run.parent
    unfinished(run)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    restarts.remember(root, run)
    assert restarts.remembered(root) == run
    monkeypatch.setattr(os, "getppid", lambda: 1)
    assert restarts.remembered(root) is None


@pytest.mark.parametrize("content", ["../elsewhere", "x" * 1000, "0001-ring/../..", ""])
def test_what_a_strange_file_names_is_no_run(run, monkeypatch, content):
    root = run.parent
    unfinished(run)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "cats")
    restarts.remember(root, run)
    (root / restarts.FOLDER / "cats").write_text(content)
    assert restarts.remembered(root) is None


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan", "1e9"])
def test_how_long_to_wait_is_minutes(monkeypatch, text):
    monkeypatch.setenv(ranks.WAIT, text)
    with pytest.raises(UsageError, match="write minutes"):
        ranks._wait()


def test_commands_but_train_are_run_by_the_first_rank(cli, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "cats")
    for rank, said in (("0", True), ("1", False)):
        monkeypatch.setenv("RANK", rank)
        done = cli("list", "losses")
        assert done.code == 0 and bool(done.out) is said
