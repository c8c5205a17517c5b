"""No thread of PyTorch's messages is left when a rank's program ends: one that lets go of a tensor
while Python ends aborts it, all work done.
"""

import pytest
from launched import TINY, finished, torchrun

from ganzoo.distributed import ranks

# Registered before all others, and so called after them.
LAST = """
import atexit, os
from pathlib import Path

def threads():
    names = [each.read_text().strip() for each in Path("/proc/self/task").glob("*/comm")]
    Path(f"threads-{os.environ['RANK']}").write_text(" ".join(names))

if "RANK" in os.environ:
    atexit.register(threads)
"""
PICTURES = ["--data", "digits", "--gen", "dcgan", "--disc", "dcgan", "--batch-size", "16"]
PICTURES += ["--set", "gen.width=8", "--set", "disc.width=8", "--set", "data.resolution=16"]
RUNS = {
    "trained": [*TINY, "--images", "64"],
    "compiled": [*TINY, "--images", "64", "--engine", "compiled"],
    "with shared statistics": [*PICTURES, "--images", "64"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(RUNS))
def test_no_thread_of_messages_is_left_at_the_end(tmp_path, name):
    (tmp_path / "sitecustomize.py").write_text(LAST)
    code, text = finished(torchrun(tmp_path, *RUNS[name], PYTHONPATH=str(tmp_path)))
    assert code == 0, text
    for rank in range(2):
        left = (tmp_path / f"threads-{rank}").read_text()
        assert left and "gloo" not in left


class Group:
    pass


@pytest.mark.parametrize("held", [True, False])
def test_threads_of_a_group_that_is_held_have_time_to_let_go(monkeypatch, held):
    world = type("world", (), {"WORLD": Group()})
    holder = [world.WORLD] if held else []
    paused = []
    monkeypatch.setattr(ranks.time, "sleep", paused.append)
    monkeypatch.setattr(ranks.dist, "group", world)
    monkeypatch.setattr(ranks.dist, "is_initialized", lambda: True)
    monkeypatch.setattr(ranks.dist, "destroy_process_group", lambda: setattr(world, "WORLD", None))
    ranks.Ranks(0, 2).leave()
    assert paused == [ranks.PAUSE] * len(holder)
