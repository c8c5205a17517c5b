"""Running the pip of this Python: shown before, and one line when it fails."""

from __future__ import annotations

import importlib.util
import shlex
import subprocess
import sys
from collections.abc import Sequence

from ..errors import GanzooError, UsageError, shown
from ._echo import echo
from ._shared import plain


def check_words(what: str, words: Sequence[str]) -> None:
    """Raise UsageError for a word that pip would take for an option, or that is no text to show."""
    for word in words:
        if not word.strip() or word.lstrip().startswith("-") or not word.isprintable():
            raise UsageError(
                f"{what} {shown(word)}: is no name; options of pip go to pip itself: python -m pip"
            )


def run(command: Sequence[str], options: Sequence[str], words: Sequence[str] = ()) -> None:
    """Run `pip COMMAND OPTIONS -- WORDS` in the environment of
    this Python, what it says on stderr; raises GanzooError.
    """
    if importlib.util.find_spec("pip") is None:
        raise GanzooError(
            f"there is no pip beside {sys.executable}: python -m ensurepip, or use the tool that "
            f"made the environment"
        )
    line = [sys.executable, "-m", "pip", *command, *options, *(["--", *words] if words else [])]
    echo(f"running: {plain(shlex.join(line))}", err=True)
    try:
        code = subprocess.run(line, stdout=2).returncode  # results go to stdout, and these are none
    except OSError as error:
        raise GanzooError(f"pip cannot be run: {error.strerror or error}") from error
    if code:
        raise GanzooError(f"pip {command[0]} failed with exit code {code}; what it said is above")
