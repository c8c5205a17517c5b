"""Two machines whose cable is cut in the midst of a training: namespaces of this one."""

import time

import pytest
from launched import TINY, lines, only_run, saved, wait_for
from two_machines import missing, two_machines

REASON = missing()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(REASON), reason=REASON)]
IMAGES, EVERY = 16_000, 800
FLAGS = [*TINY, "--images", IMAGES, "--set", f"log.images={EVERY}"]
FLAGS += ["--set", f"checkpoint.images={EVERY}"]
WAIT = "0.1"  # minutes
WITHIN = 60  # seconds after the cut: the wait, and what torchrun and TCP take beside


def cut(folder, machines, **about):
    """Both train one run, and the cable is cut after its first checkpoint: (launchers, when)."""
    job = [each.torchrun(folder, *FLAGS, GANZOO_WAIT_MINUTES=WAIT, **about) for each in machines]
    wait_for(lambda: saved(folder))
    machines[0].set_cable("down")
    return job, time.monotonic()


def all_images(folder):
    """Every line of the log is there, and once."""
    found = [line["images"] for line in lines(only_run(folder)) if "lr_generator" in line]
    assert found == list(range(EVERY, IMAGES + 1, EVERY))


def test_a_cut_cable_ends_both_and_the_same_job_goes_on(tmp_path):
    with two_machines() as machines:
        job, began = cut(tmp_path, machines)
        said = [process.communicate(timeout=WITHIN + 30)[0] for process in job]
        assert time.monotonic() - began < WITHIN
        assert all(process.returncode != 0 for process in job), said
        assert "Error: rank 1 on bee has ended or does not answer" in said[0], said[0]
        assert [machine.processes() for machine in machines] == [[], []]
        assert lines(only_run(tmp_path))[-1]["images"] < IMAGES
        machines[0].set_cable("up")
        job = [each.torchrun(tmp_path, *FLAGS) for each in machines]
        said = [process.communicate(timeout=180)[0] for process in job]
        assert [process.returncode for process in job] == [0, 0], said
        assert "resumed at" in said[0] + said[1]
        assert [machine.processes() for machine in machines] == [[], []]
    all_images(tmp_path)


def test_the_machine_that_is_left_goes_on_alone(tmp_path):
    with two_machines() as machines:
        job, _ = cut(tmp_path, machines, nodes="1:2", restarts=3)
        said = [process.communicate(timeout=WITHIN + 120)[0] for process in job]
        assert [process.returncode for process in job] == [0, 1], said
        assert "rank 1 on bee has ended or does not answer" in said[0]
        assert "resumed at" in said[0] and f"trained on {IMAGES:,} images" in said[0]
        assert [machine.processes() for machine in machines] == [[], []]
    all_images(tmp_path)
