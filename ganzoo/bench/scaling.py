"""How the speed of a pipeline grows with the ranks of this machine: a job of torchrun for each
number of them, one after another, each training for some seconds without a run folder.

Nothing here imports torch, so that what is wrong is said at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..config.layers import Meant
from ..config.tree import Config
from ..errors import GanzooError, Incompatible, UsageError

MOST = 1024  # ranks of one machine
LAST = 400  # letters of what a job said last, where it ends without saying why
GRACE = 60  # seconds in which torchrun ends its ranks
Tell = Callable[[str], None]


def numbers(text: str) -> list[int]:
    """The numbers of ranks that a person wrote; raises UsageError for what is none."""
    found: list[int] = []
    for word in text.split(","):
        if not word.strip().isascii() or not word.strip().isdigit():
            raise _wrong(text, "give whole numbers, as 1,2,4")
        number = int(word)
        if not 1 <= number <= MOST:
            raise _wrong(text, f"give numbers from 1 to {MOST}")
        if number in found:
            raise _wrong(text, f"{number} is given twice")
        found.append(number)
    return found


def _wrong(text: str, message: str) -> UsageError:
    return UsageError(message, key="ranks", value=text)


def check_shares(config: Config, counts: Sequence[int]) -> None:
    """Raises Incompatible for a whole batch that some number of ranks cannot share."""
    train = config.train
    for count in counts:
        if train.batch_size % (count * train.accumulate):
            fits = max(count * train.accumulate, 1)
            raise Incompatible(
                f"does not divide among {count} ranks",
                section="train",
                key="batch_size",
                value=train.batch_size,
                remedy="take a multiple",
                change={"train.batch_size": -(-train.batch_size // fits) * fits},
            )


def measure(
    config: Config,
    meant: Meant,
    counts: Sequence[int],
    seconds: float = 5.0,
    grow: bool = False,
    tell: Tell = lambda line: None,
) -> dict[str, Any]:
    """Times the training by one rank and by each of these numbers of them, about `seconds` each.

    The whole batch stays the same for all (strong scaling); with `grow` the configured one is that
    of a rank (weak scaling). The result is ready for JSON: times in seconds, sizes in bytes.
    """
    if not grow:
        check_shares(config, counts)
    found = []
    for count in sorted({1, *counts}):
        tell(f"measuring {count} rank{'' if count == 1 else 's'}")
        found.append(_run(_job(config, meant, count, seconds, grow), count))
    machine = found[0]["machine"]
    places = machine["cores"] if machine["kind"] != "cuda" else max(counts)
    rows = [_row(each, found[0], places) for each in found]
    return {"machine": machine, "shape": found[0]["shape"], "grow": grow, "rows": rows}


def _row(found: Mapping[str, Any], alone: Mapping[str, Any], places: int) -> dict[str, Any]:
    """What is said of a number of ranks; places: cores, or GPUs, that ranks do not share."""
    count = found["ranks"]
    times = found["images_per_second"] / alone["images_per_second"]
    kept = ("ranks", "batch_size", "images_per_second", "update_seconds", "updates", "engine")
    return {
        **{name: found[name] for name in kept},
        "efficiency": times / count,
        "efficiency_of_places": times / min(count, places),
        "gradient_bytes": found["gradient_bytes"],
        # As a ring sends: every rank passes on all but its own part, once to sum, once to tell.
        "sent_bytes": 2 * (count - 1) / count * found["message_bytes"],
        "messages": found["messages"],
        "message_share": found["message_share"],
    }


def _job(config: Config, meant: Meant, count: int, seconds: float, grow: bool) -> dict[str, Any]:
    tree = config.tree()
    if grow:
        tree["train"]["batch_size"] *= count
    names = [[*key, owner] for key, owner in meant.items()]
    return {"config": tree, "meant": names, "seconds": seconds}


def _run(job: Mapping[str, Any], count: int) -> dict[str, Any]:
    """What a job of so many ranks found; raises what one of its ranks raised."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        out = folder / "found.json"
        (folder / "job.json").write_text(json.dumps({**job, "out": str(out)}), "utf-8")
        said = _torchrun(folder / "job.json", count)
        if out.exists():
            result: dict[str, Any] = json.loads(out.read_text("utf-8"))
            return result
        for path in sorted(folder.glob("found.json.*")):
            told = json.loads(path.read_text("utf-8"))
            fields = told["fields"]
            raise (UsageError if told["usage"] else GanzooError)(fields.pop("message"), **fields)
    raise GanzooError(f"the job of {count} ranks ended without a result: {said}")


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Within, a signal to end is an exception, after which a job is ended too: SystemExit, with the
    code that shells know it by. What the process was told to ignore stays ignored.
    """

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    own = threading.current_thread() is threading.main_thread()  # which alone hears signals
    heard = [n for n in numbers if own and signal.getsignal(n) is signal.SIG_DFL]
    for number in heard:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, signal.SIG_DFL)


def _torchrun(job: Path, count: int) -> str:
    """Run a job to its end; returns the last that it said."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    line = [sys.executable, *launcher, "-m", f"{__package__}.one_rank", str(job)]
    log = job.with_name("log")
    with (
        log.open("wb") as output,
        _ended_by_signals(),
        subprocess.Popen(
            line,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C reaches torchrun once, by the line below
        ) as process,
    ):
        try:
            process.wait()
        except BaseException:
            process.terminate()
            process.wait(GRACE)
            raise
    return " ".join(log.read_text("utf-8", errors="replace").split())[-LAST:]
