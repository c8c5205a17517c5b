"""`ganzoo check-plugin NAME`: a review of a plugin's components against the contracts."""

from __future__ import annotations

import click

from ..components import loading
from ..errors import UsageError
from ._echo import echo
from ._shared import Real, counted, plain, print_json


@click.command(
    "check-plugin",
    short_help="Hold a plugin's components to the contracts, and say how to fix them.",
)
@click.argument("name")
@click.option(
    "--budget",
    type=Real(min=0, min_open=True),
    metavar="RATIO",
    help="Fail what is slower than this, beside a part of ganzoo's own.",
)
@click.option(
    "--against",
    metavar="NAME",
    help="The component to compare speeds with; the nearest by default.",
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where updates are tried.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    name: str, budget: float | None, against: str | None, device: str, as_json: bool
) -> int:
    """Review NAME: a distribution (ganzoo-soft), a plugin
    of one (losses), or one component (ganzoo-soft/soft).

    Every check holds, does not hold (then it says how to fix it), does not
    apply, or notes a figure. The exit code is 1 when something does not
    hold. On a machine with a GPU, updates are compiled and captured there.
    """
    from ..testing.review import Review, line, subject_of, verdict

    subject = subject_of(loading.inventory(), name)
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: torch sees no CUDA device here")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    under, shown = Review(subject), None
    for plugin in subject.plugins if not as_json else []:
        state = (
            f"does not load: {plugin.broken}"
            if plugin.broken
            else f"loads, {counted(len(plugin.components), 'component')}"
        )
        echo(f"plugin {plain(plugin.who)} {plain(plugin.version)}: {plain(state)}")
    for finding in under.run(budget=budget, against=against, device=device):
        if as_json:
            continue
        if finding.component is not shown:
            shown = finding.component
            echo()
            echo(plain(shown))
        for part in line(finding).split("\n"):
            echo(part)
    if as_json:
        print_json(under.plain())
    else:
        echo()
        echo(verdict(under))
    return 0 if under.holds else 1
