"""The first minutes on a GPU in one command: `python -m benchmarks.gpu_first --out FOLDER`.

Every step runs in a process of its own, so that none meets what another left behind; what it found
is in FOLDER as JSON once it ends, beside all that it printed. A step that fails, hangs or crashes
is written down as that, and the next one runs. A summary ends it. `--device cpu` rehearses what can
run without a GPU, at sizes that take seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import traceback
import xml.etree.ElementTree as Xml
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from . import first_steps

ROOT = Path(__file__).resolve().parents[1]
NO_DEVICE = "no CUDA device"


@dataclass(frozen=True)
class Step:
    """One step: a function of first_steps, tests by
    name, or a command; `minutes` is when it is given up.
    """

    name: str
    what: str
    function: str = ""
    tests: str = ""  # for pytest's -k
    command: tuple[str, ...] = ()
    minutes: float = 8.0
    environment: dict[str, str | None] = field(default_factory=dict)  # None: without the variable


KEPT = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
UNSET: dict[str, str | None] = {"CUBLAS_WORKSPACE_CONFIG": None}
STEPS = (
    Step("01-machine", "versions, and a compiler that works", function="versions", minutes=3),
    Step("02-engines", "the engines agree", tests="engines_agree or philox"),
    Step(
        "03-exact",
        "resume and streaming, bit for bit",
        tests="bit_for_bit or streamed or new_process",
        environment=dict(KEPT),
    ),
    Step(
        "03-exact-unset",
        "the same in a process that began without the variable",
        tests="test_bf16_and_tf32 or bit_for_bit",
        environment=UNSET,
    ),
    Step("04-host", "the host does not wait", tests="wait or optimizer or recording or full"),
    Step("05-train", "a training as a person has it", function="train", minutes=6),
    Step("06-bare", "the bare step by events", function="bare"),
    Step("07-kernels", "where the time goes", function="kernels"),
    Step("08-writer", "what the writer costs", function="writer"),
    *(
        Step(f"09-memory-{size}", f"the estimate, {size} batch", function=f"memory_{size}")
        for size in ("small", "large", "huge")
    ),
    Step("10-resume", "that run goes on in a new process", function="resume"),
    Step("10-resume-cpu", "and then on the CPU", function="resume_on_cpu"),
    Step("11-tests", "every test that needs a GPU", tests="", minutes=30),
    Step(
        "12-tables",
        "the tables of docs/speed.md",
        command=("-m", "benchmarks.speed", "--out", "{out}/speed", "--device", "{device}"),
        minutes=60,
    ),
    Step(
        "13-stacked-mnist",
        "1,000 modes against the clock",
        command=("-m", "benchmarks.stacked_mnist", "--out", "{out}/stacked.json"),
        minutes=30,
    ),
)


def command_of(step: Step, given: argparse.Namespace) -> list[str]:
    """What runs a step."""
    if step.function:
        inner = ["-m", "benchmarks.gpu_first", "--step", step.name]
        return [sys.executable, *inner, "--out", str(given.out), "--device", given.device]
    if step.command:
        words = (word.format(out=given.out, device=given.device) for word in step.command)
        return [sys.executable, *words]
    chosen = ["-k", step.tests] if step.tests else []
    report = f"--junitxml={given.out / step.name}.xml"
    plain = ["-o", "addopts=", "-p", "no:cacheprovider", "-m", "cuda", "-q"]
    return [sys.executable, "-m", "pytest", "tests", *plain, *chosen, report]


def run(step: Step, given: argparse.Namespace) -> dict[str, Any]:
    """Run a step to its end, or until its time is over; everything that it says is kept."""
    is_test = not step.function and not step.command
    if is_test and given.device == "cpu":
        return {"status": NO_DEVICE}
    if is_test and find_spec("pytest") is None:
        return {"status": "pytest is not installed"}
    if step.command and given.device == "cpu":
        return {"status": "left out of a rehearsal"}
    environment = {**os.environ, **step.environment}
    kept = {name: value for name, value in environment.items() if value is not None}
    began = time.monotonic()
    result = given.out / f"{step.name}.json"
    result.unlink(missing_ok=True)
    with (given.out / f"{step.name}.txt").open("w") as output:
        try:
            done = subprocess.run(
                command_of(step, given),
                cwd=ROOT,
                env=kept,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=60 * step.minutes,
                check=False,
            )
            status = "done" if done.returncode == 0 else f"exit {done.returncode}"
        except subprocess.TimeoutExpired:
            status = f"given up after {step.minutes:g} minutes"
    found: dict[str, Any] = {"status": status, "seconds": round(time.monotonic() - began, 1)}
    if result.is_file():
        found["found"] = json.loads(result.read_text("utf-8"))
    if is_test:
        found["found"] = counted(given.out / f"{step.name}.xml")
    return found


def counted(report: Path) -> dict[str, Any]:
    """How many tests ran, and which failed, by pytest's own report."""
    if not report.is_file():
        return {"checks": {"pytest wrote a report": False}}
    suite = Xml.parse(report).getroot().find("testsuite")
    assert suite is not None
    failed = [case.get("name", "") for case in suite if case.find("failure") is not None]
    broken = [case.get("name", "") for case in suite if case.find("error") is not None]
    counts = {key: int(suite.get(key, 0)) for key in ("tests", "skipped")}
    ran = counts["tests"] > counts["skipped"]
    return {
        **counts,
        "failed": failed + broken,
        "checks": {"ran": ran, "passed": not failed + broken},
    }


def inner(step: Step, given: argparse.Namespace) -> int:
    """A step's function, in the process that is its own;
    what it found is written whatever happens to it.
    """
    code = 0
    try:
        found = getattr(first_steps, step.function)(first_steps.Sizes.of(given.device), given.out)
    except Exception as error:
        traceback.print_exc()
        found, code = {"failed": f"{type(error).__name__}: {error}"[:500]}, 1
    save(given.out / f"{step.name}.json", found)
    return code


def save(path: Path, found: Any) -> None:
    path.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


def line(step: Step, entry: dict[str, Any]) -> str:
    """A step in the summary: what became of it, and which of its checks fail."""
    checks = entry.get("found", {}).get("checks", {})
    bad = [name for name, held in checks.items() if not held]
    verdict = entry["status"] if entry["status"] != "done" or not bad else "FAILED"
    said = f" ({', '.join(bad)})" if bad else ""
    return f"{step.name:18} {verdict:26} {entry.get('seconds', 0):7.1f} s  {step.what}{said}"


def held(entry: dict[str, Any]) -> bool:
    """Whether a step ran to its end and every check of it holds."""
    return entry["status"] == "done" and all(entry.get("found", {}).get("checks", {}).values())


def every(steps: Sequence[Step], given: argparse.Namespace) -> int:
    """All steps in order, and the summary after each."""
    there = given.device == "cpu" or first_steps.has_cuda()
    summary: dict[str, Any] = {}
    for step in steps:
        print(f"running {step.name}: {step.what}", flush=True)
        try:
            summary[step.name] = run(step, given) if there else {"status": NO_DEVICE}
        except Exception as error:  # of this program's own: the other steps are worth more
            traceback.print_exc()
            summary[step.name] = {"status": f"{type(error).__name__}: {error}"[:200]}
        save(given.out / "summary.json", summary)
        print(line(step, summary[step.name]), flush=True)
    print("\n".join(["", *(line(step, summary[step.name]) for step in steps)]))
    return 0 if all(held(entry) for entry in summary.values()) else 1


def main(arguments: Sequence[str] | None = None, steps: Sequence[Step] = STEPS) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for all that is found")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--only", default="", help="steps by the beginnings of their names: 01,05")
    parser.add_argument("--step", default="", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    given.out = given.out.resolve()
    given.out.mkdir(parents=True, exist_ok=True)
    if given.step:
        return inner(next(step for step in steps if step.name == given.step), given)
    wanted = tuple(name for name in given.only.split(",") if name)
    chosen = [step for step in steps if not wanted or step.name.startswith(wanted)]
    if not chosen:
        names = ", ".join(step.name for step in steps)
        parser.error(f"--only {given.only}: no such step; there are {names}")
    return every(chosen, given)


if __name__ == "__main__":
    sys.exit(main())
