"""Trials on a Ray cluster of two machines, of which one is lost; skipped where Ray is missing."""

import contextlib
import json
import time

import pytest
from test_sweep import SMALL

import ganzoo
from ganzoo.config import merge
from ganzoo.errors import UsageError
from ganzoo.io import checkpoints
from ganzoo.sweeps import plan as planning
from ganzoo.sweeps import running
from ganzoo.sweeps.on_ray import OnRay

pytestmark = [pytest.mark.slow, pytest.mark.alone]  # a cluster and its actors on two cores
TRIES = {"gen.width": [8, 12, 16]}
LONGER = {"images": 19_200, "precision": "fp32", "engine": "eager"}
BASE = merge(SMALL, {"train": LONGER, "checkpoint": {"images": 1600}, "log": {"images": 1600}})


@contextlib.contextmanager
def cluster(*nodes):
    """A head that trains nothing, and such nodes: (cluster, nodes), connected."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    whole = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        added = [whole.add_node(**about) for about in nodes]
        ray.init(whole.address, log_to_driver=False, logging_level="ERROR")
        yield whole, added
    finally:
        ray.shutdown()
        whole.shutdown()


def lines(log):
    """Of a log, without what the clock says."""
    found = [json.loads(line) for line in log.read_text().splitlines()]
    return [{k: v for k, v in line.items() if "second" not in k} for line in found]


def ends(results):
    """What does not hang on the clock."""
    return {r.trial: (r.status, r.images, r.score, r.health) for r in results}


def test_trials_survive_the_loss_of_a_machine(tmp_path):
    """Two trials at once, one on each of two machines; one is killed when both have begun."""
    local = ganzoo.sweep(BASE, TRIES, tmp_path / "local", jobs=2)
    lost = []
    with cluster({"num_cpus": 1}, {"num_cpus": 1}) as (whole, nodes):
        folder = tmp_path / "ray"
        begun = [folder / planning.TRIALS / f"{number:03d}" for number in range(2)]

        def kill():
            """Asked often; never stops the sweep."""
            if not lost and all(checkpoints.find(trial) for trial in begun):
                lost.append(nodes[1])
                whole.remove_node(nodes[1], allow_graceful=False)

        running.begin(folder, planning.read(tmp_path / "local"))
        executor = OnRay(2)
        again = []
        begin = executor._begin
        executor._begin = lambda task, losses=0: (again.append(losses), begin(task, losses))
        found = running.run(folder, executor=executor, stop=kill)
    assert lost, "both were never trained at once"
    assert again.count(0) == 3 and again.count(1) == 1, "one of the three was begun again"
    assert ends(found.results) == ends(local.results)
    assert {r.status for r in found.results} == {"finished"}
    for number in range(3):
        logs = [place / planning.TRIALS / f"{number:03d}" / "log.jsonl" for place in
                (tmp_path / "local", folder)]  # fmt: skip
        one, other = (lines(log) for log in logs)
        assert one == other


def test_a_share_of_a_gpu_is_what_ray_reckons_with(tmp_path):
    """A node with one GPU by its own account: two trials of a half each are there at once."""
    pytest.importorskip("ray")
    import ray

    with cluster({"num_cpus": 4, "num_gpus": 1}):
        for gpus, at_once in ((0.5, 2), (None, 1)):
            executor = OnRay(3, gpus)
            actors = [executor._actor.remote() for _ in range(3)]
            calls = [actor.stop.remote(0) for actor in actors]
            done, _ = ray.wait(calls, num_returns=at_once, timeout=60)
            assert len(done) == at_once
            more, _ = ray.wait(calls, num_returns=at_once + 1, timeout=3)
            assert len(more) == at_once, "there is no room for one more"
            for actor in actors:
                ray.kill(actor)
            until = time.monotonic() + 30
            while ray.available_resources().get("GPU", 0) < 1 and time.monotonic() < until:
                time.sleep(0.2)
        for wrong, words in ((2, "has 1 GPUs"), (1.5, "has 1 GPUs")):
            with pytest.raises(UsageError, match=words):
                OnRay(1, wrong)


def test_gpus_of_a_trial_are_rays(cli):
    done = cli("sweep", "--try", "gen.width=8", "--data", "ring", "--gen", "mlp", "--gpus", "0.5")
    assert done.code == 2 and "--gpus: goes with --executor ray" in done.err


@pytest.mark.timeout(420)
def test_more_trials_at_once_than_there_is_room_for(tmp_path):
    """The actor that waits for room gets that of one that has nothing to do any more."""
    with cluster({"num_cpus": 1}):
        found = ganzoo.sweep(SMALL, TRIES, tmp_path / "s", executor=OnRay(2))
    assert [result.status for result in found.results] == ["finished"] * 3
