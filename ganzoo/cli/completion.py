"""`ganzoo completion SHELL`: the script that teaches a shell to complete ganzoo's words."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from ._echo import echo


@click.command("completion", short_help="Print the script for completion in a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the script by which SHELL completes commands,
    flags, components and settings of ganzoo on Tab.

    \b
    ganzoo completion bash >> ~/.bashrc
    ganzoo completion zsh >> ~/.zshrc
    ganzoo completion fish > ~/.config/fish/completions/ganzoo.fish
    """
    from . import group

    found = get_completion_class(shell)
    assert found is not None
    script = found(group, {}, "ganzoo", "_GANZOO_COMPLETE")
    for line in (script.source_template % script.source_vars()).splitlines():
        echo(line)
