"""`ganzoo doctor RUN`: what ails a run, since when, why, and the command that may help."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import GanzooError, plain_line
from ._echo import echo
from ._patience import patience
from ._shared import loaded, print_json, table

if TYPE_CHECKING:
    from ..components.registry import Registry
    from ..doctor.case import Case
    from ..doctor.finding import Finding


@click.command("doctor", short_help="Say what ails a run, since when, and what to do.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--log-only", is_flag=True, help="Read the log and the settings alone, in a moment.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(run: Path, log_only: bool, as_json: bool) -> None:
    """Say what ails RUN: with the figures, the images since when, the reason, and a command that
    trains anew with the remedy. Read are its log and its settings; then its last checkpoint draws
    samples, which are compared to the data. Nothing in it is changed.
    """
    registry = loaded().registry
    with patience():
        from ..doctor import case as cases
        from ..doctor import rules
    case = cases.open_case(run, registry)
    found, note = rules.of_log(case), ""
    if not log_only:
        more, note = _looked(case, run, registry)
        found = sorted([*found, *more], key=lambda each: each.since)
    asked = rules.LOG if log_only or note else (*rules.LOG, *rules.SEEN)
    if as_json:
        findings = [{**each.values(), "command": remedy(run, each)} for each in found]
        about = {"run": str(run), "lines": len(case.lines), "rules": len(asked), "note": note}
        print_json({**about, "findings": findings})
        return
    for finding in found:
        table(finding.rule, ["", " "], _rows(run, finding), always=True)
        echo()
    if note:
        echo(f"note: only the log was looked at: {note}", err=True)
    if not found:
        words = f"{len(asked)} rules over {len(case.lines):,} lines of the log"
        echo(f"nothing found by {words}, to {case.images:,} images")


def _looked(case: Case, run: Path, registry: Registry) -> tuple[list[Finding], str]:
    """What samples and data tell, or why they cannot be looked at."""
    from ..doctor import rules
    from ..doctor.seen import look

    try:
        with patience("looking at samples and data"):
            return rules.of_run(look(case, run, registry)), ""
    except GanzooError as error:
        return [], plain_line(error.message)  # its way out is one of training, and not of this


def _rows(run: Path, finding: Finding) -> list[list[str]]:
    rows = [
        ["since", f"{finding.since:,} images"],
        ["seen", finding.evidence],
        ["limit", finding.origin],
        ["why", f"{finding.reason} ({finding.source})"],
    ]
    return [*rows, ["try", remedy(run, finding)]] if finding.change else rows


def remedy(run: Path, finding: Finding) -> str:
    """The command that trains anew, as the run was, but for what the finding changes."""
    context: Any = click.get_current_context()
    changes = [context.obj.setting(path, value) for path, value in finding.change.items()]
    return " ".join(["ganzoo train --config", shlex.quote(str(run / "run.toml")), *changes])
