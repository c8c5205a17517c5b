"""What becomes of a training under torchrun whose ranks are killed again and again, and of one in
which one rank alone computes what is not finite.
"""

import os
import platform
import random
import signal
import time

import pytest
from launched import TINY, errors_in, finished, lines, only_run, ranks_of, saved, torchrun, wait_for

pytestmark = pytest.mark.slow
KILLS = int(os.environ.get("GANZOO_TEST_KILLS", "6"))  # twenty take minutes
LATEST = 6.0  # seconds after a start at which a rank is killed: while it imports, meets, trains
IMAGES, EVERY = 40_000, 800


def test_ranks_that_are_killed_again_and_again_end_with_all_images(tmp_path):
    stream = random.Random(7)
    images = max(IMAGES, 4 * EVERY * KILLS)  # more than the starts train that are killed
    flags = [*TINY, "--images", images, "--set", f"log.images={EVERY}"]
    process = torchrun(tmp_path, *flags, "--set", f"checkpoint.images={EVERY}", restarts=KILLS)
    wait_for(lambda: saved(tmp_path))
    seen = set()
    for _ in range(KILLS):
        ranks = wait_for(lambda: fresh(process, seen))
        time.sleep(LATEST * stream.random())
        assert process.poll() is None, "it has ended before the last kill"
        seen.update(ranks.values())
        os.kill(ranks[stream.randrange(len(ranks))], signal.SIGKILL)
    code, text = finished(process, 400)
    assert code == 0, text
    assert f"trained on {images:,} images" in text
    found = [line["images"] for line in lines(only_run(tmp_path)) if "lr_generator" in line]
    assert found == list(range(EVERY, images + 1, EVERY))


def test_of_several_ranks_the_one_that_was_killed_is_named(tmp_path):
    flags = [*TINY, "--images", IMAGES, "--set", f"checkpoint.images={EVERY}"]
    process = torchrun(tmp_path, *flags, ranks=4)
    wait_for(lambda: saved(tmp_path))
    os.kill(ranks_of(process)[1], signal.SIGKILL)
    code, text = finished(process, 60)
    assert code != 0
    (line,) = [line for line in text.splitlines() if line.startswith("Error: ")]
    where = f"Error: rank 1 on {platform.node()} has ended or does not answer"
    assert line.startswith(where), line  # and not rank 3 too, which waits for others in vain


def fresh(process, seen):
    """The processes of the ranks by number, once all have been started anew."""
    ranks = ranks_of(process)
    return ranks if len(ranks) == 2 and not seen & {*ranks.values()} else None


SICK = """
import os
if os.environ.get("RANK") == "1":
    from ganzoo.data.loader import Feed
    sound, batches = Feed.next, iter(range(10**9))

    def sick(feed):
        batch = sound(feed)
        return batch._replace(samples=batch.samples * float("nan" if next(batches) > 50 else 1))

    Feed.next = sick
"""


def test_what_is_not_finite_on_one_rank_stops_all_with_one_line(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(SICK)
    flags = ["--images", "12k", "--set", "log.images=160", "--set", "checkpoint.images=320"]
    process = torchrun(tmp_path, *TINY, *flags, PYTHONPATH=str(tmp_path))
    code, text = finished(process, 60)
    assert code != 0
    assert errors_in(text) == 1 and "finite" in text, text
    (last,) = [line for line in lines(only_run(tmp_path)) if line.get("event") == "not finite"]
    assert last["images"] <= 51 * 16 + 160


def test_a_rank_that_is_slow_is_waited_for(tmp_path):
    flags = ["--images", IMAGES, "--set", f"log.images={EVERY}"]
    process = torchrun(tmp_path, *TINY, *flags, "--set", f"checkpoint.images={EVERY}")
    wait_for(lambda: saved(tmp_path))
    slow = ranks_of(process)[1]
    for _ in range(3):
        os.kill(slow, signal.SIGSTOP)
        time.sleep(1)
        os.kill(slow, signal.SIGCONT)
        time.sleep(0.3)
    code, text = finished(process)
    assert code == 0, text
    found = [line["images"] for line in lines(only_run(tmp_path)) if "lr_generator" in line]
    assert found == list(range(EVERY, IMAGES + 1, EVERY))


def test_a_rank_that_never_answers_ends_all_within_the_wait(tmp_path):
    flags = ["--images", IMAGES, "--set", f"checkpoint.images={EVERY}"]
    process = torchrun(tmp_path, *TINY, *flags, GANZOO_WAIT_MINUTES="0.1")
    wait_for(lambda: saved(tmp_path))
    os.kill(ranks_of(process)[1], signal.SIGSTOP)
    code, text = finished(process, 90)  # torchrun itself waits 30 s for the one that is stopped
    assert code != 0
    assert (
        errors_in(text) == 1 and "rank 1 on " in text and "has ended or does not answer" in text
    ), text


FULL = """
import errno, os
sound = os.fsync

def full(file):
    if os.path.exists("full") and os.environ.get("RANK") == "0":
        raise OSError(errno.ENOSPC, "No space left on device")
    sound(file)

os.fsync = full
"""


def test_a_full_disk_of_the_first_rank_ends_all_and_loses_nothing(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(FULL)
    flags = ["--images", IMAGES, "--set", f"checkpoint.images={EVERY}"]
    process = torchrun(tmp_path, *TINY, *flags, PYTHONPATH=str(tmp_path))
    wait_for(lambda: saved(tmp_path))
    (tmp_path / "full").touch()
    code, text = finished(process, 90)
    assert code != 0
    assert errors_in(text) == 1 and "No space left" in text, text
    (tmp_path / "full").unlink()
    code, text = finished(torchrun(tmp_path, "--resume", only_run(tmp_path)))
    assert code == 0 and f"trained on {IMAGES:,} images" in text, text


BROKEN = """
import os
if os.environ.get("RANK") == "{broken}":
    from ganzoo.data.loader import Feed
    sound, batches = Feed.next, iter(range(10**9))

    def broken(feed):
        if next(batches) == 50:
            raise RuntimeError("the disk \\x1b[31mof this machine is gone")
        return sound(feed)

    Feed.next = broken
"""


@pytest.mark.parametrize("broken", [0, 1])
def test_what_a_rank_said_that_failed_lies_in_the_run_folder(tmp_path, broken):
    (tmp_path / "sitecustomize.py").write_text(BROKEN.format(broken=broken))
    process = torchrun(tmp_path, *TINY, "--images", "2k", PYTHONPATH=str(tmp_path))
    code, text = finished(process, 60)
    assert code != 0
    run = only_run(tmp_path)
    said = (run / "failures" / f"rank{broken}.txt").read_text()
    assert f"rank {broken} on " in said and "start 0, 800 images" in said
    assert "the disk \N{REPLACEMENT CHARACTER}[31mof this machine is gone" in said
    assert "Traceback" in said and "\x1b" not in said
    (tmp_path / "sitecustomize.py").unlink()
    code, text = finished(torchrun(tmp_path, "--resume", run), 120)
    assert code == 0, text
    assert (run / "failures" / f"rank{broken}.txt").read_text() == said
