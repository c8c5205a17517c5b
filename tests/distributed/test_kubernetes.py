"""`examples/kubernetes.yaml`: what Kubernetes reads fits together, and what its pods run trains."""

import os
import socket
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml", reason="needs PyYAML")
MANIFEST = Path(__file__).parents[2] / "examples" / "kubernetes.yaml"
TINY = ["--data", "ring", "--gen", "mlp", "--disc", "mlp", "--loss", "hinge", "--batch-size", "16"]
TINY += ["--set", "gen.width=8", "--set", "disc.width=8", "--set", "samples.count=4"]


@pytest.fixture
def service_and_job():
    return [*yaml.safe_load_all(MANIFEST.read_text("utf-8"))]


def test_the_pods_find_each_other(service_and_job):
    service, job = service_and_job
    assert (service["kind"], job["kind"]) == ("Service", "Job")
    assert service["spec"]["clusterIP"] == "None"  # headless, so that a pod has a name
    name = job["metadata"]["name"]
    assert service["spec"]["selector"] == {"job-name": name}
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    assert spec["completionMode"] == "Indexed" and pod["restartPolicy"] == "Never"
    assert pod["subdomain"] == service["metadata"]["name"]
    (container,) = pod["containers"]
    script = container["command"][2]
    words = script.split()
    after = dict(pairwise(words))
    assert after["--rdzv-endpoint"] == f"{name}-0.{service['metadata']['name']}:29400"
    assert int(after["--nnodes"]) == spec["completions"] == spec["parallelism"]
    assert int(after["--nproc-per-node"]) == container["resources"]["limits"]["nvidia.com/gpu"]
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    (variable,) = container["env"]
    assert f"${variable['name']}" in after["--rdzv-id"]


def stand_in(folder, port):
    """A torchrun whose machines have one rank each, and all have this machine's address."""
    tools = folder / "tools"
    tools.mkdir()
    lines = [
        "#!/usr/bin/env python3",
        "import os, sys",
        "words = sys.argv[1:]",
        "words[words.index('--nproc-per-node') + 1] = '1'",
        f"words[words.index('--rdzv-endpoint') + 1] = '127.0.0.1:{port}'",
        f"line = [{sys.executable!r}, '-m', 'torch.distributed.run', *words]",
        "os.execv(line[0], line)",
    ]
    (tools / "torchrun").write_text("\n".join(lines) + "\n")
    (tools / "torchrun").chmod(0o755)
    return tools


@pytest.mark.slow
def test_two_pods_train_one_run(service_and_job, tmp_path):
    container = service_and_job[1]["spec"]["template"]["spec"]["containers"][0]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = f"{stand_in(tmp_path, port)}:{os.environ['PATH']}"
    pods = [
        subprocess.Popen(
            [*container["command"], *TINY, "--images", "64"],
            cwd=tmp_path,
            env=os.environ
            | {"PATH": path, "OMP_NUM_THREADS": "1", "GANZOO_WAIT_MINUTES": "2"}
            | {"JOB_UID": "7", "JOB_COMPLETION_INDEX": str(index)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in range(2)
    ]
    said = [pod.communicate(timeout=240)[0] for pod in pods]
    assert [pod.returncode for pod in pods] == [0, 0], said
    assert "".join(said).count("trained on 64 images") == 1, said
    (run,) = (tmp_path / "runs").glob("0*")
    assert (run / "generator.safetensors").is_file()
