"""Whose an error is: the part in whose own code it arose."""

from __future__ import annotations

import contextlib
import inspect
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

from torch import nn

from ..contracts.values import WrongValue
from ..errors import one_line

CORE = Path(__file__).parents[1]
SHARED = ("builtins", "torch", "ganzoo")  # packages whose classes belong to no part
CONTRACTS = CORE / "contracts" / "__init__.py"  # base classes: what they do, they do as the part


def reason(error: BaseException) -> str:
    """The error in one line, without the type where that says nothing to a person."""
    return str(error) if isinstance(error, WrongValue) else one_line(error)


def culprit(sections: Mapping[str, object], error: BaseException) -> str | None:
    """The section of the part in whose code an error arose: the innermost on the stack.

    What torch's Module does as a part (looking up an attribute, checking
    arguments of a call) counts for the one who asked, if that is another
    part. Where no part is on the stack, it is the one that the error names:
    by its source file, or as the owner of a method that was called wrongly.
    """
    if isinstance(error, WrongValue):
        return error.section
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    called = _called_wrongly(sections, error, frames)
    if called is not None:
        return called
    found = None
    for before, frame in zip([None, *frames], frames, strict=False):
        section = _speaker(sections, frame)
        if section is None:
            continue
        asked = frame.f_code.co_filename == nn.modules.module.__file__
        if not asked or found is None or (before is not None and _is_core(before)):
            found = section
    return found or _named(sections, error)


def _speaker(sections: Mapping[str, object], frame: FrameType) -> str | None:
    """The section whose method a frame runs."""
    speaker = frame.f_locals.get("self")
    if speaker is None:
        return None
    return next((name for name, part in sections.items() if speaker is part), None)


def _is_core(frame: FrameType) -> bool:
    """Whether a frame is ganzoo's own, base classes of parts left out."""
    path = Path(frame.f_code.co_filename)
    return CORE in path.parents and path != CONTRACTS


def _called_wrongly(
    sections: Mapping[str, object], error: BaseException, frames: list[FrameType]
) -> str | None:
    """The part whose method has not the signature that
    the contract says: `Judge.score() takes 2 ...`.
    """
    if not isinstance(error, TypeError) or not frames or not _is_core(frames[-1]):
        return None
    for section, part in sections.items():
        own = [k for k in type(part).__mro__ if k.__module__.split(".")[0] not in SHARED]
        if any(str(error).startswith(f"{kind.__qualname__}.") for kind in own):
            return section
    return None


def _named(sections: Mapping[str, object], error: BaseException) -> str | None:
    """The part whose source file the error's text names, as a compiler's does."""
    for section, part in sections.items():
        with contextlib.suppress(TypeError, OSError):
            if (inspect.getsourcefile(type(part)) or "\0") in str(error):
                return section
    return None
