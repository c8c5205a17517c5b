"""`torchrun ... -m ganzoo train`: one run, whatever becomes of a rank."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from launched import TINY, errors_in, finished, lines, only_run, ranks_of, saved, torchrun, wait_for
from safetensors.torch import load_file

pytestmark = pytest.mark.slow
JOB = Path(__file__).parents[2] / "examples" / "slurm.sbatch"


def weights(run):
    newest = max((run / "checkpoints").iterdir())
    return load_file(newest / "net_gen.safetensors")


def trained(folder, *flags, ranks):
    code, text = finished(torchrun(folder, *TINY, *flags, ranks=ranks))
    assert code == 0, text
    return text


def steady():
    """Settings in which nothing depends on how long the training is to be, or grows by itself."""
    for role in ("gen", "disc"):
        for choice in ("name=sgd", "lr=0.01", "schedule=constant"):
            yield from ("--set", f"optim.{role}.{choice}")


def test_one_run_of_several_ranks_and_on_with_other_numbers_of_them(tmp_path):
    for ranks, images in ((1, "64"), (2, "128"), (1, "192")):
        flags = [*TINY, *steady(), "--set", "log.images=16"]
        if images != "64":
            flags = ["--resume", only_run(tmp_path)]
        code, text = finished(torchrun(tmp_path, *flags, "--images", images, ranks=ranks))
        assert code == 0, text
    run = only_run(tmp_path)
    found = [line["images"] for line in lines(run) if "lr_generator" in line]
    assert found == list(range(16, 193, 16))
    assert text.count("trained on") == 1
    alone = tmp_path / "alone"
    alone.mkdir()
    trained(alone, *steady(), "--images", "192", ranks=1)
    one, other = weights(run), weights(only_run(alone))
    for name, value in one.items():  # what is shown twice or left out would be far from rounding
        torch.testing.assert_close(value, other[name], atol=1e-4, rtol=1e-3)


def test_a_run_that_was_stopped_ends_as_one_that_was_not(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    flags = ["--images", "12k", "--set", "checkpoint.images=1k", "--set", "log.images=1k"]
    whole.mkdir()
    trained(whole, *flags, ranks=2)
    parts.mkdir()
    process = torchrun(parts, *TINY, *flags)
    wait_for(lambda: saved(parts))
    process.send_signal(signal.SIGTERM)
    code, text = finished(process, 60)
    assert code != 0
    assert text.count("continue with: ganzoo train --resume") == 1, text
    run = only_run(parts)
    assert max((run / "checkpoints").iterdir()).name < "000012000"
    code, text = finished(torchrun(parts, "--resume", run))
    assert code == 0, text
    one, other = weights(only_run(whole)), weights(run)
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    logs = [[without_times(line) for line in lines(each)] for each in (only_run(whole), run)]
    assert logs[0] == logs[1]


def without_times(line):
    return {key: value for key, value in line.items() if "second" not in key}


@pytest.mark.parametrize("victim", [0, 1])
def test_a_rank_that_is_killed_is_started_again_and_the_run_goes_on(tmp_path, victim):
    flags = [*TINY, "--images", "12k", "--set", "checkpoint.images=1k"]
    process = torchrun(tmp_path, *flags, restarts=1)
    wait_for(lambda: saved(tmp_path))
    os.kill(ranks_of(process)[victim], signal.SIGKILL)
    code, text = finished(process)
    assert code == 0, text
    assert "resumed at" in text and "trained on 12,000 images" in text
    assert only_run(tmp_path)


REFUSED = {
    "a batch that does not divide": (["--batch-size", "15"], "does not divide among 2 ranks"),
    "a flag that there is not": (["--bach-size", "16"], "no option --bach-size"),
    "a device of one's own": (["--device", "cuda:1"], "every rank has a device of its own"),
}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_is_wrong_is_said_once(tmp_path, name):
    flags, words = REFUSED[name]
    others = [flag for flag in TINY if flag not in ("--batch-size", "16")]
    code, text = finished(torchrun(tmp_path, *others, "--images", "64", *flags))
    assert code != 0
    assert errors_in(text) == 1 and words in text, text
    assert not (tmp_path / "runs").exists()


def test_a_rank_that_is_quicker_to_fail_lets_the_first_say_why(tmp_path):
    """torchrun ends rank 0 when rank 1 ends, here three seconds before rank 0 has begun."""
    late = "import os, time; time.sleep(3 if os.environ.get('RANK') == '0' else 0)"
    (tmp_path / "sitecustomize.py").write_text(late)
    code, text = finished(torchrun(tmp_path, "--bach-size", "16", PYTHONPATH=str(tmp_path)))
    assert code != 0
    assert errors_in(text) == 1 and "no option --bach-size" in text, text


def test_ranks_that_differ_are_named_once(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    about = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    about |= {"TORCHELASTIC_RUN_ID": "unlike", "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "ganzoo", "train", *TINY, "--images", "64", "--seed", str(rank)],
            cwd=tmp_path,
            env=os.environ | about | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [2, 1], errors
    assert "Error: rank 1 has another command line than rank 0: 'train --data ring" in errors[0]
    assert "Error" not in errors[1]
    assert not list((tmp_path / "runs").glob("0*"))


STAND_INS = {
    "srun": 'exec "$@"',
    "scontrol": "echo 127.0.0.1",
    "torchrun": f'exec {sys.executable} -m torch.distributed.run "$@"',
}


def test_the_job_for_slurm_trains_and_goes_on_when_it_is_put_back(tmp_path):
    """With stand-ins for SLURM's own commands, on one machine."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, text in STAND_INS.items():
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)
    job = {"SLURM_JOB_NODELIST": "here", "SLURM_NNODES": "1", "SLURM_JOB_ID": "7"}
    job |= {"SLURM_GPUS_ON_NODE": "2", "PATH": f"{tools}:{os.environ['PATH']}"}
    command = ["bash", JOB, *TINY, "--images", "12k", "--set", "checkpoint.images=1k"]

    def start():
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        env = os.environ | job | {"OMP_NUM_THREADS": "1"}
        return subprocess.Popen(command, cwd=tmp_path, env=env, start_new_session=True, **pipes)

    first = start()
    wait_for(lambda: saved(tmp_path))
    first.send_signal(signal.SIGTERM)
    assert finished(first, 90)[0] != 0
    code, text = finished(start())
    assert code == 0, text
    assert "resumed at" in text and "trained on 12,0" in text
    assert only_run(tmp_path)
