"""The command for the first minutes on a GPU goes on after
failures, keeps what it found, and says so where there is no GPU.
"""

import json
import sys

import pytest
import torch

from benchmarks import first_steps, gpu_first
from benchmarks.first_steps import Sizes
from benchmarks.gpu_first import Step

REHEARSAL = Sizes.of("cpu")


def summary(folder):
    return json.loads((folder / "summary.json").read_text())


def test_without_a_gpu_every_step_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(first_steps, "has_cuda", lambda: False)
    assert gpu_first.main(["--out", str(tmp_path)]) == 1
    found = summary(tmp_path)
    assert len(found) == len(gpu_first.STEPS) == 17
    assert {entry["status"] for entry in found.values()} == {gpu_first.NO_DEVICE}
    assert "no CUDA device" in capsys.readouterr().out


def python(name, code, **more):
    return Step(name, "a test", command=("-c", code), **more)


def test_it_goes_on_after_whatever_a_step_does(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(first_steps, "has_cuda", lambda: True)
    monkeypatch.setenv("KEPT", "yes")
    monkeypatch.setenv("GONE", "yes")
    steps = [
        python("1-fails", "raise SystemExit(3)"),
        python("2-dies", "import os; os.abort()"),
        python("3-hangs", "import time; time.sleep(60)", minutes=0.02),
        python(
            "4-works",
            "import os; print(os.environ['KEPT'], os.environ.get('GONE'), os.environ['NEW'])",
            environment={"GONE": None, "NEW": "new"},
        ),
    ]
    assert gpu_first.main(["--out", str(tmp_path)], steps) == 1
    statuses = [entry["status"] for entry in summary(tmp_path).values()]
    assert statuses == ["exit 3", "exit -6", "given up after 0.02 minutes", "done"]
    assert (tmp_path / "4-works.txt").read_text().split() == ["yes", "None", "new"]
    assert gpu_first.main(["--out", str(tmp_path), "--only", "4"], steps) == 0


def test_what_a_step_found_is_kept_though_it_fails(tmp_path, monkeypatch):
    def fails(sizes, out):
        raise ValueError("no such thing")

    monkeypatch.setattr(first_steps, "versions", fails)
    assert gpu_first.main(["--out", str(tmp_path), "--step", "01-machine", "--device", "cpu"]) == 1
    assert json.loads((tmp_path / "01-machine.json").read_text()) == {
        "failed": "ValueError: no such thing"
    }


def test_a_check_that_does_not_hold_is_in_the_summary():
    step, entry = gpu_first.STEPS[0], {"status": "done", "found": {"checks": {"compiles": False}}}
    assert "FAILED" in gpu_first.line(step, entry) and "compiles" in gpu_first.line(step, entry)
    assert not gpu_first.held(entry)


def test_what_pytest_reports_is_counted(tmp_path):
    report = tmp_path / "report.xml"
    report.write_text(
        '<testsuites><testsuite tests="3" skipped="1"><testcase name="a"/><testcase name="b">'
        '<failure/></testcase><testcase name="c"><skipped/></testcase></testsuite></testsuites>'
    )
    found = gpu_first.counted(report)
    assert found["failed"] == ["b"] and found["checks"] == {"ran": True, "passed": False}
    assert gpu_first.counted(tmp_path / "none.xml")["checks"] == {"pytest wrote a report": False}


def test_steps_of_tests_name_tests_that_there_are():
    """A name that matches nothing would be a step that tests nothing."""
    from pathlib import Path

    text = "".join(p.read_text() for p in Path(__file__).parents[1].rglob("test_cuda*.py"))
    for step in gpu_first.STEPS:
        for word in step.tests.split(" or ") if step.tests else ():
            assert word.removeprefix("test_") in text, word


@pytest.mark.slow
def test_a_training_and_its_resume_in_a_rehearsal(tmp_path):
    """The steps that leave something to each other, in one process."""
    found = first_steps.train(REHEARSAL, tmp_path)
    assert found["engine"] == "eager" and found["checks"] == {"did not fall back": True}
    (tmp_path / "05-train.json").write_text(json.dumps(found))
    before = found["last"]["images"]
    again = first_steps.resume(REHEARSAL, tmp_path, "cpu")
    assert again["checks"] == {"goes on": True} and again["images"] > before


@pytest.mark.slow
def test_what_is_measured_in_a_rehearsal(tmp_path):
    rows = first_steps.bare(REHEARSAL, tmp_path)["rows"]
    assert [row["batch"] for row in rows] == [8] * 3 + [16] * 3
    assert all(row["images_per_second"] > 0 for row in rows)
    assert first_steps.writer(REHEARSAL, tmp_path)["rows"]["with"]["mean"] > 0
    assert first_steps.memory_small(REHEARSAL, tmp_path)["needed"] > 0
    found = first_steps.kernels(REHEARSAL, tmp_path)
    assert found["none"] and found["gp"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="a machine without a GPU is meant")
def test_it_asks_a_process_of_its_own_for_the_gpu():
    assert first_steps.has_cuda() is False and sys.executable
