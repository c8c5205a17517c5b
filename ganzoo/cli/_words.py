"""How the command line words settings: the library's
`train.batch_size = 512` is `--batch-size 512`.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping

import click

from ..components.kinds import FAMILIES, KINDS
from ..errors import SHOWN

FLAGS = {  # flag -> where it lands in the configuration
    **{k.flag: f"{k.section}.name" for k in KINDS.values() if k.flag and k.section and not k.many},
    "data_root": "data.root",
    "resolution": "data.resolution",
    "images": "train.images",
    "batch_size": "train.batch_size",
    "seed": "train.seed",
    "device": "train.device",
    "precision": "train.precision",
    "engine": "train.engine",
    "keep": "checkpoint.keep",
    "on_nan": "train.on_nan",
}
MANY = {kind.flag: kind.name for kind in KINDS.values() if kind.many and kind.flag}
FLAG_OF = {path: option for option, path in FLAGS.items()}


class Words:
    """Words the settings of one command's errors:
    as they were given, else as one would give them.
    """

    def __init__(self) -> None:
        self.given: dict[str, str] = {}  # path -> the words that gave the setting
        self.parameters: Mapping[str, click.Parameter] = {}  # of the command that runs

    def give(self, path: str, words: str) -> None:
        """Learn who gave a setting; what was given above
        it, a value where there is now a table, is gone.
        """
        above = [known for known in self.given if path.startswith(f"{known}.")]
        for known in above:
            del self.given[known]
        self.given[path] = words

    def place(self, section: str, key: str, value: object) -> str:
        """The flag, or the file and its setting, that an error is about."""
        if not section:
            return self._argument(key, _text(value))
        path = f"{section}.{key}" if key else section
        found = self.given.get(path) or (not key and self.given.get(f"{path}.name"))
        if found:
            return found
        if key or section.partition(".")[0] not in (*FAMILIES, *FLAGS, "optim"):
            below = [words for given, words in self.given.items() if given.startswith(f"{path}.")]
            if below:
                return below[-1]
        return flag(path, _text(value))

    def setting(self, path: str, value: object) -> str:
        """A setting that is a way out, as one types it."""
        typed = shlex.quote(_text(value))
        return flag(path, typed, value) if "." in path else self._argument(path, typed)

    def _argument(self, key: str, typed: str) -> str:
        """An argument of the function that failed: an
        option of the command, or one of its words.
        """
        parameter = self.parameters.get(key)
        if isinstance(parameter, click.Argument):
            return typed or key
        if isinstance(parameter, click.Option) and parameter.is_flag:
            return parameter.opts[-1]
        if parameter is not None:
            return f"{parameter.opts[-1]} {typed}".strip()
        return f"{key} = {typed}" if typed else key


def flag(path: str, typed: str, value: object = None) -> str:
    """The flag that gives a setting: `--batch-size 512`, `--reg gp`, `--set gen.width=64`."""
    head, _, name = path.partition(".")
    option = FLAG_OF.get(path) or FLAG_OF.get(f"{path}.name")
    if option:
        return f"--{option.replace('_', '-')} {typed}".strip()
    if head in MANY and "." not in name and value is not False:
        return f"--{head} {name or typed}".strip()
    if head in FAMILIES and name and "." not in name and value is not False:
        return f"--set {path}=true"
    return f"--set {path}={typed}" if typed else f"--set {path}"


def _text(value: object) -> str:
    """A value as one types it, cut short."""
    if value is None:
        return ""
    text = json.dumps(value) if isinstance(value, bool | list | tuple) else str(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
