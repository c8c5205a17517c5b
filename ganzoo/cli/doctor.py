"""`ganzoo doctor RUN`: what ails a run, since when, why, and the command that may help."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ._echo import echo
from ._patience import patience
from ._shared import loaded, print_json, table

if TYPE_CHECKING:
    from ..runs.doctor import Finding


@click.command("doctor", short_help="Say what ails a run, since when, and what to do.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(run: Path, as_json: bool) -> None:
    """Read the log and the settings of RUN, and say what ails it: with the figures, the images
    since when, the reason, and a command that trains anew with the remedy.
    """
    registry = loaded().registry
    with patience():
        from ..runs import doctor
    case = doctor.open_case(run, registry)
    found = doctor.examine(case)
    if as_json:
        findings = [{**each.values(), "command": remedy(run, each)} for each in found]
        print_json({"run": str(run), "lines": len(case.lines), "findings": findings})
        return
    for finding in found:
        table(finding.rule, ["", " "], _rows(run, finding), always=True)
        echo()
    if not found:
        rules = f"{len(doctor.RULES)} rules over {len(case.lines):,} lines of the log"
        echo(f"nothing found by {rules}, to {case.run.images:,} images")


def _rows(run: Path, finding: Finding) -> list[list[str]]:
    return [
        ["since", f"{finding.since:,} images"],
        ["seen", finding.evidence],
        ["why", f"{finding.reason} ({finding.source})"],
        ["try", remedy(run, finding)],
    ]


def remedy(run: Path, finding: Finding) -> str:
    """The command that trains anew, as the run was, but for what the finding changes."""
    context: Any = click.get_current_context()
    changes = [context.obj.setting(path, value) for path, value in finding.change.items()]
    return " ".join(["ganzoo train --config", shlex.quote(str(run / "run.toml")), *changes])
