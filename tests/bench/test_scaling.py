"""`ganzoo bench --ranks`: the numbers that are asked for, the table, and jobs of torchrun."""

import json
import signal
import subprocess
import sys

import psutil
import pytest
from launched import wait_for

from ganzoo import cli
from ganzoo.bench import scaling
from ganzoo.errors import UsageError

TINY = ["--data", "ring", "--gen", "mlp", "--disc", "mlp", "--loss", "hinge", "--device", "cpu"]
TINY += ["--set", "gen.width=8", "--set", "disc.width=8", "--batch-size", "16"]
MACHINE = {"kind": "cpu", "cores": 2, "device": "a processor", "torch": "2", "date": "today"}


def test_numbers_of_ranks_are_read():
    assert scaling.numbers("4") == [4]
    assert scaling.numbers("1, 2,4") == [1, 2, 4]


@pytest.mark.parametrize("text", ["", "0", "-1", "two", "1,,2", "1.5", "2,2", "1025", "²", "1,"])
def test_what_is_no_number_of_ranks_is_one_line_that_holds_it(text, capsys):
    with pytest.raises(UsageError):
        scaling.numbers(text)
    assert cli.run(["bench", *TINY, "--ranks", text]) == 2
    error = capsys.readouterr().err
    assert error.startswith("Error: --ranks") and error.count("\n") == 1


WRONG = {
    "a batch that does not divide": (["--ranks", "1,3"], "--batch-size 16: does not divide"),
    "two engines": (["--ranks", "2", "--engines", "eager,compiled"], "one engine with --ranks"),
    "an engine that there is not": (
        ["--ranks", "2", "--engines", "quick"],
        "Error: --engines quick: ",
    ),
    "a batch that grows alone": (["--grow-batch"], "--grow-batch: goes with --ranks"),
}


@pytest.mark.parametrize("name", sorted(WRONG))
def test_what_is_wrong_is_said_before_torch_is_loaded(name):
    flags, words = WRONG[name]
    code = (
        "import sys; from ganzoo import cli\n"
        "code = cli.run(sys.argv[1:])\n"
        "assert 'torch' not in sys.modules\n"
        "sys.exit(code)"
    )
    line = [sys.executable, "-c", code, "bench", *TINY, *flags]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr and done.stderr.count("\n") == 1
    assert done.stdout == ""


def found(ranks, speed, sent):
    """What a job of so many ranks writes."""
    return {
        "ranks": ranks,
        "batch_size": 16,
        "images_per_second": speed,
        "update_seconds": 16 / speed,
        "updates": 10,
        "engine": "eager",
        "gradient_bytes": {"generator": 400, "discriminator": 600},
        "messages": 2 if sent else 0,
        "message_bytes": sent,
        "message_share": 0.25,
        "machine": MACHINE,
        "shape": [2],
    }


@pytest.fixture
def jobs(monkeypatch):
    """Jobs that are not run: 100, 150 and 120 images/s by 1, 2 and 4 ranks; their batches."""
    batches = {}

    def run(job, count):
        batches[count] = job["config"]["train"]["batch_size"]
        return found(count, {1: 100, 2: 150, 4: 120}[count], 0 if count == 1 else 1000)

    monkeypatch.setattr(scaling, "_run", run)
    return batches


def test_efficiency_is_against_one_rank_and_against_the_cores_that_there_are(jobs, capsys):
    assert cli.run(["bench", *TINY, "--ranks", "4,2", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["ranks"] for row in rows] == [1, 2, 4]
    assert [row["efficiency"] for row in rows] == pytest.approx([1, 0.75, 0.3])
    assert [row["efficiency_of_places"] for row in rows] == pytest.approx([1, 0.75, 0.6])
    assert [row["sent_bytes"] for row in rows] == pytest.approx([0, 1000, 1500])
    assert jobs == {1: 16, 2: 16, 4: 16}


def test_the_table_and_the_lines_under_it(jobs, capsys):
    assert cli.run(["bench", *TINY, "--ranks", "2", "--grow-batch"]) == 0
    lines = capsys.readouterr().out.splitlines()
    speed, sent = ["2", "150", "106.67 ms", "10", "0.75", "0.75"], ["2", "1,000", "25.0%"]
    assert lines[1].split("\t") == [*speed, *sent]
    text = "\n".join(lines[2:])
    assert "2 cores shared by all" in text and "weak scaling" in text
    assert "generator 400, discriminator 600" in text
    assert jobs == {1: 16, 2: 32}


@pytest.mark.slow
def test_one_and_two_ranks_are_measured(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.run(["bench", *TINY, "--ranks", "1,2", "--seconds", "0.5", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["ranks"] for row in rows] == [1, 2]
    one, two = rows
    assert one["efficiency"] == 1 and one["sent_bytes"] == 0 and one["message_share"] == 0
    assert two["updates"] >= 3 and two["images_per_second"] > 0
    assert 0 < two["message_share"] < 1
    # One for each net's gradients, and four more in updates that are looked at.
    assert one["messages"] == 0 and 2 <= two["messages"] <= 6
    gradients = sum(two["gradient_bytes"].values())
    # With two ranks a ring sends what a message holds: the gradients, and the few reported values.
    assert gradients < two["sent_bytes"] < gradients + 400
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_what_a_rank_finds_wrong_is_said_once(capsys):
    flags = [flag if flag != "cpu" else "cuda:7" for flag in TINY]
    assert cli.run(["bench", *flags, "--ranks", "2"]) == 2
    error = capsys.readouterr().err
    assert "under torchrun every rank has a device of its own" in error
    assert sum(line.startswith("Error: ") for line in error.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_end_ends_the_job_and_its_ranks(tmp_path, number):
    line = [sys.executable, "-m", "ganzoo", "bench", *TINY, "--ranks", "1,2", "--seconds", "60"]
    with subprocess.Popen(line, cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        found = psutil.Process(process.pid)
        wait_for(lambda: len(found.children(recursive=True)) > 1)  # torchrun, and a rank
        below = found.children(recursive=True)
        process.send_signal(number)
        process.wait(60)
    left = psutil.wait_procs(below, timeout=10)[1]
    for each in left:
        each.kill()
    assert not left, "torchrun or a rank"
    assert process.returncode == 128 + number
