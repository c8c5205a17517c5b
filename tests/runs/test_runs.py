"""`ganzoo runs`: what is listed of a folder of runs, of which any may be a stranger's or broken."""

import json
import os
import time

import pytest
from fuzzing import watched
from run_folders import LINE, made, score

from ganzoo.errors import BadFile, UsageError
from ganzoo.runs import listing as reading
from ganzoo.runs import log as run_log
from ganzoo.training import run_folder
from ganzoo.training.run_folder import Lock


@pytest.fixture
def folder(tmp_path):
    """Runs of every state, and what is none."""
    root = tmp_path / "runs"
    made(root, "0001-a", loss={"name": "hinge"}, reg={"gp": {"weight": 2.5}}, scores=[
        score("swd", distance=[3.0]), score("swd", distance=[1.0, 2.0])
    ])  # fmt: skip
    made(root, "0002-b", train={"images": 10_000, "seed": 3}, loss={"name": "wgan"}, scores=[
        score("swd", distance=[9.0])
    ])  # fmt: skip
    made(root, "0003-c")
    (root / "0003-c" / "run.toml").write_text("[gen\n")
    (root / "notes").mkdir()
    (root / "notes" / "log.jsonl").write_text("{}\n")
    (root / "link").symlink_to(root / "0001-a")
    return root


def states(runs):
    return {run.name: run.state for run in runs}


def test_runs_are_listed_with_their_state_and_other_folders_passed_over(folder, ran, cli):
    held = Lock(folder / "0002-b")
    try:
        found = {run["name"]: run for run in json.loads(ran("runs", folder, "--json"))}
    finally:
        held.release()
    assert {name: run["state"] for name, run in found.items()} == {
        "0001-a": "finished",
        "0002-b": "running",
        "0003-c": "broken",
    }
    first = found["0001-a"]
    assert first["parts"] == {
        "gen": "dcgan",
        "disc": "auto",
        "loss": "hinge",
        "reg": ["gp"],
    }
    assert (first["images"], first["goal"], first["data"]) == (2000, 2000, "digits")
    assert first["scores"] == {"swd.distance": 1.5}, "the last, by its mean"
    assert first["settings"]["reg.gp.weight"] == 2.5
    assert found["0003-c"]["trouble"].startswith("run.toml: no TOML: ")
    rows = [line.split("\t") for line in ran("runs", folder).splitlines()]
    assert rows[0][:7] == [
        "0001-a", "finished", "2,000/2,000", "digits", "dcgan auto hinge gp", "balanced",
        "swd.distance 1.5",
    ]  # fmt: skip
    assert rows[1][1] == "stopped" and rows[2][1] == "broken" and "no TOML" in rows[2][5]
    assert cli("runs", folder / "0001-a").out.count("\n") == 1, "a run itself"


def test_a_real_run_is_listed_with_what_its_metrics_found(trained, ran):
    (found,) = json.loads(ran("runs", trained, "--json"))
    assert found["state"] == "finished" and found["images"] == 256 and found["data"] == "digits"
    assert found["parts"]["disc"] == "dcgan" and found["parts"]["reg"] == ["r1"]
    assert 0 <= found["age"] < 3600 and found["health"]


def test_a_killed_run_is_not_running_and_asking_changes_nothing(folder):
    run = folder / "0002-b"
    (run / ".lock").touch()
    (run / ".lock-owner").write_text("1")
    before = {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in run.rglob("*")}
    assert not run_folder.held(run) and reading.read_run(run).state == "stopped"
    assert {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in run.rglob("*")} == before
    Lock(run).release()
    assert not run_folder.held(run)


def test_runs_of_one_name_are_told_apart_by_the_folders_above(tmp_path, ran):
    for place in ("x/a", "y/a", "y/b"):
        made(tmp_path / place, "0001-r", LINE)
    made(tmp_path / "x" / "a", "0002-r", LINE)
    folders = [tmp_path / place for place in ("x/a", "y/a", "y/b")]
    found = json.loads(ran("runs", *folders, "--json"))
    assert [run["name"] for run in found] == ["x/a/0001-r", "0002-r", "y/a/0001-r", "y/b/0001-r"]
    twice = json.loads(ran("runs", folders[0], folders[0], "--json"))
    assert [run["name"] for run in twice] == ["0001-r", "0002-r"] * 2, "the same run"


def test_sorted_and_chosen_by_columns_scores_and_settings(folder):
    runs = [reading.read_run(path) for path in reading.find(folder)]

    def names(found):
        return [run.name for run in found]

    assert names(reading.order(runs, "swd.distance")) == ["0001-a", "0002-b", "0003-c"]
    assert names(reading.order(runs, "train.images")) == ["0001-a", "0002-b", "0003-c"]
    assert names(reading.order(runs, "loss.name")) == ["0001-a", "0002-b", "0003-c"]
    for text, wanted in {
        "loss.name=hinge": ["0001-a"],
        "train.images=10k": ["0002-b"],
        "reg.gp=true": ["0001-a"],
        "reg.gp.weight=2.50": ["0001-a"],
        "state=broken": ["0003-c"],
        "data.flip=false": ["0001-a", "0002-b"],
        "train.seed=4": [],
    }.items():
        assert names(reading.choose(runs, text)) == wanted, text
    with pytest.raises(UsageError, match=r"did you mean 'loss.name'"):
        reading.choose(runs, "los.name=x")
    with pytest.raises(UsageError, match="write KEY=VALUE"):
        reading.choose(runs, "loss.name")
    with pytest.raises(UsageError, match=r"did you mean 'swd.distance'"):
        reading.order(runs, "swd.distanc")


def test_what_cannot_be_listed_is_one_line(folder, cli, tmp_path):
    done = cli("runs", tmp_path / "nowhere")
    assert done.code == 1 and done.err.count("\n") == 1 and "No such file" in done.err
    done = cli("runs", folder, "--sort", "los.name")
    assert done.code == 2 and done.err.startswith("Error: --sort los.name: "), done.err
    empty = tmp_path / "empty"
    empty.mkdir()
    done = cli("runs", empty)
    assert done.code == 0 and done.out == "" and "no run in" in done.err
    assert json.loads(cli("runs", empty, "--json").out) == []


BAD = "a\x1b[2Jb"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("log.jsonl", b'{"images": 5}\nrubbish\n', "line -1 from its end is damaged"),
        ("log.jsonl", b"[" * 100_000 + b"\n", "longer than any"),
        ("log.jsonl", b"[" * 10_000 + b"\n", "damaged"),
        ("log.jsonl", b'{"images": 1, "images": 2}\n', "damaged"),
        ("scores.jsonl", b'{"metric": "x"}\n', "line 1 is no score"),
        ("scores.jsonl", b'{"metric": "x", "figures": {"a": 3}}\n', "line 1 is no score"),
        ("run.toml", b"[train]\nimages = 0\n", "train.images = 0"),
        ("run.toml", b"x = 1\n" * 100_000, "larger than 128 KiB"),
    ],
)
def test_a_broken_file_is_a_row_that_names_it(folder, ran, name, content, said):
    run = folder / "0001-a"
    (run / name).write_bytes(content)
    with watched():
        found = reading.read_run(run)
    assert found.state == "broken" and found.trouble.startswith(name) and said in found.trouble
    assert "0001-a" in ran("runs", folder)


@pytest.mark.parametrize("name", ["run.toml", "log.jsonl", "scores.jsonl", ".lock"])
def test_links_and_pipes_of_a_run_are_not_followed(folder, tmp_path, name):
    run = folder / "0001-a"
    (run / ".lock-owner").write_text("1")
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to("/dev/zero")
    assert "a link" in reading.read_run(run).trouble
    (run / name).unlink()
    os.mkfifo(run / name)
    assert "pipe or device" in reading.read_run(run).trouble


def test_text_of_a_run_cannot_steer_a_terminal(folder, ran, tmp_path):
    made(tmp_path / "more", f"x{BAD}", lines=[LINE | {"health": BAD}], data={"name": BAD})
    line = ran("runs", tmp_path / "more")
    assert "\x1b" not in line and "finished" in line


def test_numbers_that_are_none_do_no_harm(tmp_path):
    lines = [LINE | {"images": 10**400}, LINE | {"rank": float("nan"), "images": True}, LINE]
    run = made(tmp_path, "run", lines=lines)
    assert reading.read_run(run).images == 2000
    assert run_log.figures({"a": float("inf"), "b": True, "c": {"d": 2}, "e": 10**400}) == {
        "c.d": 2.0
    }


def test_a_line_that_a_crash_cut_is_left_out_and_one_in_the_middle_is_named(tmp_path):
    run = made(tmp_path, "run", lines=[LINE, LINE])
    with (run / "log.jsonl").open("a") as file:
        file.write('{"images": 30')
    assert reading.read_run(run).state == "finished"
    assert len(list(run_log.log_lines(run))) == 2
    (run / "log.jsonl").write_text(f"{json.dumps(LINE)}\nrubbish\n{json.dumps(LINE)}\n")
    with pytest.raises(BadFile, match=r"log.jsonl: line 2 is damaged: 'rubbish'; delete that line"):
        list(run_log.log_lines(run))


def test_a_thousand_runs_list_in_seconds(tmp_path):
    first = made(tmp_path, "0", lines=[LINE] * 200, scores=[score("swd", distance=[1.0])] * 20)
    content = {p.name: p.read_bytes() for p in first.iterdir() if p.is_file()}
    for i in range(1, 200):  # a fifth of them, which takes a second
        (tmp_path / f"{i}").mkdir()
        for name, bytes_ in content.items():
            (tmp_path / f"{i}" / name).write_bytes(bytes_)
    began = time.process_time()
    found = [reading.read_run(path) for path in reading.find(tmp_path)]
    assert len(found) == 200 and time.process_time() - began < 3.0
