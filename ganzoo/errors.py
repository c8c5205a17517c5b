"""Every error that ganzoo raises on purpose: one line for the person at the keyboard.

GanzooError                 something failed (exit 1)
|- UsageError               what was asked for cannot be meant (exit 2)
|  |- UnknownComponent      a name that nobody registered
|  |- AmbiguousComponent    a name that two plugins registered
|  |- BadOption             an option that the component does not take, or a value of the wrong type
|  |- BadConfig             a configuration that cannot be read as one
|  `- Incompatible          parts that cannot train together
|- BrokenPlugin             a plugin that cannot be used
|- BadData                  missing, empty or unreadable data
|- BadRun                   a folder that is no run, or belongs to another configuration
|- BadFile                  a damaged or foreign file
`- DeviceError              a device that is not there, or too small
"""

import difflib
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePath
from types import MappingProxyType
from typing import Self

LONGEST = 1000  # letters of a message
SHOWN = 100  # letters of a value in a message


class GanzooError(Exception):
    """Something failed; the text is one printable line that names the way out, whatever text from
    files is in it.

    message: what is wrong. section, key, value: the setting that it is
        about (`gen`, `width`, 30000); a section alone is a part (`reg.gp`),
        a key alone an argument of the function that was called.
    source: the file that holds the setting, where one does. remedy: the way
        out, in words. change: settings that are the way out, path -> value
        (`{"disc.norm": "batch"}`). The library words a setting as `gen.width =
        30000`; the command line gives `line` its own words, which are flags.
    """

    def __init__(
        self,
        message: str = "",
        *,
        section: str = "",
        key: str = "",
        value: object = None,
        source: str = "",
        remedy: str = "",
        change: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        self.message, self.remedy, self.change = message, remedy, dict(change)
        self.section, self.key, self.value, self.source = section, key, value, source
        super().__init__(self.line())

    def __str__(self) -> str:
        return self.line()

    def at(self, section: str = "", key: str = "", value: object = None) -> Self:
        """The same error, said of this setting unless it names one already."""
        if not (self.section or self.key):
            self.section, self.key, self.value = section, key, value
        return self

    def line(
        self,
        place: Callable[[str, str, object], str] | None = None,
        setting: Callable[[str, object], str] | None = None,
    ) -> str:
        """The one line. place: words section, key and value, unless they stand in a file; setting:
        words a change of the remedy."""
        worded = in_settings if self.source or place is None else place
        where = worded(self.section, self.key, self.value)
        change = " ".join((setting or as_setting)(path, to) for path, to in self.change.items())
        way = ": ".join(part for part in (self.remedy, change) if part)
        text = ": ".join(part for part in (self.source, where, self.message) if part)
        line = plain_line("; ".join(part for part in (text, way) if part))
        half = LONGEST // 2
        return line if len(line) <= LONGEST else f"{line[: half - 5]} ... {line[-half:]}"


def in_settings(section: str, key: str, value: object) -> str:
    """Where an error lies, in the words of a configuration: `gen.width = 30000`."""
    path = ".".join(part for part in (section, key) if part)
    return path if value is None or not path else f"{path} = {shown(value)}"


def as_setting(path: str, value: object) -> str:
    """A setting that is a way out, as a configuration has it: `disc.norm = 'batch'`."""
    return f"{path} = {shown(value)}"


class UsageError(GanzooError):
    """What was asked for cannot be meant."""


class UnknownComponent(UsageError):
    """A name that nobody registered."""


class AmbiguousComponent(UsageError):
    """A name that two plugins registered."""


class BadOption(UsageError):
    """An option that the component does not take, or a value of the wrong type."""


class BadConfig(UsageError):
    """A configuration that cannot be read as one."""


class Incompatible(UsageError):
    """Parts that cannot train together."""


class BrokenPlugin(GanzooError):
    """A plugin that cannot be used."""


class BadData(GanzooError):
    """Missing, empty or unreadable data."""


class BadRun(GanzooError):
    """A folder that is no run, or belongs to another configuration."""


class BadFile(GanzooError):
    """A damaged or foreign file."""


class DeviceError(GanzooError):
    """A device that is not there, or too small."""


class Left(Exception):
    """A plugin's code asked Python to end; the text says how:
    `SystemExit: 3`. Meant to be blamed, never shown by itself.
    """


def plain_line(text: str) -> str:
    """Text as one line without control characters, which a terminal would obey."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def printable(text: str) -> str:
    """Text of which each character that could steer
    a terminal is replaced; spaces stay as they are.
    """
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def shown(value: object) -> str:
    """A value as it stands in a message: its repr, cut short."""
    try:
        text = repr(str(value) if isinstance(value, PurePath) else value)
    except (ValueError, RecursionError):  # an integer of thousands of digits, a tree too deep
        return f"a {type(value).__name__} too large to show"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def nearest(
    word: str, known: Iterable[str], aliases: Mapping[str, str] = MappingProxyType({})
) -> str:
    """`; did you mean 'x'?` when one of the known words is close, whatever its case, else nothing.

    aliases: other words for known ones, as a class's name is for its component's.
    """
    meant = {_letters(alias): name for alias, name in aliases.items()}
    meant |= {_letters(name): name for name in known}
    close = difflib.get_close_matches(_letters(word[:SHOWN]), meant, n=1, cutoff=0.5)
    return f"; did you mean {meant[close[0]]!r}?" if close else ""


def _letters(word: str) -> str:
    """A word's letters and digits alone: GradientPenalty,
    gradient_penalty and gradient-penalty are one.
    """
    return "".join(letter for letter in word.lower() if letter.isalnum())


def one_line(error: BaseException) -> str:
    """An exception as one printable line, with its type where the message alone says too little."""
    text = plain_line(str(error))
    if isinstance(error, GanzooError | Left):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
