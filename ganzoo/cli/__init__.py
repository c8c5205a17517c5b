"""The `ganzoo` command. Each command lives in a file of its
own and is imported when it runs, so that help is quick.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module

import click

from .. import __version__
from ..errors import GanzooError, UsageError, nearest, one_line
from ._echo import echo
from ._ranks import let_the_first_speak
from ._voice import speaks
from ._words import Words

COMMANDS = {  # name -> (module, one line)
    "train": ("train", "Train a GAN from named parts."),
    "bench": ("bench", "Measure how fast a pipeline trains here."),
    "generate": ("generate", "Draw pictures from a trained generator."),
    "average": ("average", "Average a generator over a length chosen after the training."),
    "evaluate": ("evaluate", "Measure a trained generator, or pictures, against real ones."),
    "ladder": ("ladder", "Try settings on harder and harder data, against measured bands."),
    "runs": ("runs", "List runs: state, health, scores."),
    "compare": ("compare", "Set runs side by side."),
    "report": ("report", "Write one page about runs."),
    "sweep": ("sweep", "Train under many settings and seeds, and say what mattered."),
    "doctor": ("doctor", "Say what ails a run, since when, and what to do."),
    "list": ("list", "List the components that are installed."),
    "info": ("info", "Show a component's options, traits and companions."),
    "data": ("data", "Look at data before training on it."),
    "plugins": ("plugins", "Show the plugins that are loaded, and those that are broken."),
    "install": ("install", "Install plugins with pip, into the environment that runs ganzoo."),
    "uninstall": ("uninstall", "Uninstall plugins with pip, broken ones too."),
    "completion": ("completion", "Print the script for completion in a shell."),
    "new-plugin": (
        "new_plugin",
        "Write a plugin project that installs, passes its tests and trains.",
    ),
    "check-plugin": (
        "check_plugin",
        "Hold a plugin's components to the contracts, and say how to fix them.",
    ),
}


SHARED = ("train", "generate")  # the commands that ranks of torchrun run together


class LazyGroup(click.Group):
    """Knows every command's name and help; imports one only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = import_module(f".{COMMANDS[name][0]}", __name__).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(
                f"no command {args[0]!r}{nearest(args[0], COMMANDS)} (commands: "
                f"{', '.join(COMMANDS)})"
            )
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None:
            refuse_doubled(ctx, command, rest)
        return name, command, rest

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def refuse_doubled(ctx: click.Context, command: click.Command, args: list[str]) -> None:
    """Raises UsageError for an option that is given twice and counts once."""
    if isinstance(command, click.Group):
        below = command.commands.get(args[0]) if args else None
        return refuse_doubled(ctx, below, args[1:]) if below is not None else None
    with contextlib.suppress(click.UsageError):  # what else is wrong is said when it runs
        parser = command.make_parser(click.Context(command, parent=ctx))
        given = parser.parse_args(args=[*args])[2]
        single = [
            p for p in given if isinstance(p, click.Option) and not p.multiple and not p.is_flag
        ]
        twice = next((p for i, p in enumerate(single) if p in single[:i]), None)
        if twice is not None:
            raise UsageError(f"{twice.opts[-1]} is given twice; it counts once")


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, "-V", "--version", message="ganzoo %(version)s")
def group() -> None:
    """A zoo of GANs: train any generator with any loss and any regularizer, by name.

    \b
    ganzoo train --gen dcgan --loss nonsat --reg gp     two minutes, no download
    ganzoo list                                         what can be combined
    """


def main() -> None:
    """Run the command line of this process."""
    if (
        os.environ.get("GANZOO_DEBUG") != "1"
    ):  # what libraries have to say to developers is noise to a person
        warnings.simplefilter("ignore")
    if isinstance(sys.stdout, io.TextIOWrapper):  # a letter that it cannot write is no error
        sys.stdout.reconfigure(errors="replace")
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; an error is one
    line on stderr, a traceback only where GANZOO_DEBUG is 1.
    """
    if speaks():
        return _run(arguments)
    if next(iter(arguments), "") not in SHARED:
        return 0  # the first rank does it
    code = _run(arguments)
    if code in (1, 2):  # 128 and more: a signal that all ranks had
        let_the_first_speak()
    return code


def _run(arguments: Sequence[str]) -> int:
    debug = os.environ.get("GANZOO_DEBUG") == "1"
    words = Words()
    who = "" if speaks() else f"rank {os.environ['RANK']}: "
    try:
        result = group.main([*arguments], prog_name="ganzoo", standalone_mode=False, obj=words)
        return result if isinstance(result, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        for line in error.format_message().split("\n"):
            echo(line, err=True)
        return error.exit_code
    except click.ClickException as error:
        if speaks():
            _fail(_explain(error, arguments))
        return error.exit_code
    except GanzooError as error:
        if debug:
            raise
        words.parameters = _parameters(arguments)
        if speaks() or not isinstance(error, UsageError):  # which all ranks find alike
            _fail(who + error.line(words.place, words.setting))
        return 2 if isinstance(error, UsageError) else 1
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted")
        return 130
    except OSError as error:
        if debug:
            raise
        _fail(f"{error.filename}: {error.strerror}" if error.filename else one_line(error))
        return 1
    except Exception as error:
        if debug:
            raise
        _fail(f"{who}unexpected {one_line(error)}; GANZOO_DEBUG=1 shows where")
        return 1


def _parameters(arguments: Sequence[str]) -> dict[str, click.Parameter]:
    """The options and words that the command takes, by name: `config` for --config."""
    command: click.Command = group
    for word in arguments:
        if isinstance(command, click.Group):
            command = command.get_command(click.Context(command), word) or command
    options = [p for p in command.params if isinstance(p, click.Option)]
    named = {p.opts[0].lstrip("-").replace("-", "_"): p for p in options}
    return {p.name: p for p in command.params if p.name} | named


def _explain(error: click.ClickException, arguments: Sequence[str]) -> str:
    """Click's error with the nearest option and the way to the help."""
    if not isinstance(error, click.UsageError):
        return error.format_message()
    if isinstance(error, click.NoSuchOption):
        message = (
            f"no option {error.option_name}{nearest(error.option_name, error.possibilities or [])}"
        )
    else:
        message = error.format_message().rstrip(".")
    command = (
        error.ctx.command_path
        if error.ctx
        else " ".join(["ganzoo", *(a for a in arguments[:1] if a in COMMANDS)])
    )
    return f"{message}; {command} --help shows how"


def _fail(text: str) -> None:
    """The line on stderr, without the control characters
    that a name may hold and a terminal would obey.
    """
    echo(f"Error: {one_line(GanzooError(text))}", err=True)
