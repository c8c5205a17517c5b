"""Checks that several kinds share: what a component
says of itself, whether it can be built, what it keeps.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..components.options import REQUIRED, Option, convert
from .case import Case, Check, describe, on
from .state import alike, is_private, plain_state

MOST_OPTIONS = 6
LONGEST = 160  # characters in a summary, which is shown on one line
KEPT = "keep all state in parameters and buffers whose shapes follow from spec and options"


def described(case: Case) -> str:
    """A one-sentence summary; at most six options, each with
    a type, a help line and a default that fits (or given).
    """
    component = case.component
    summary = case.attempt(
        "reading its summary",
        "register something that can be imported",
        getattr,
        component,
        "summary",
    )
    case.require(
        summary.strip(),
        "has no summary",
        "begin its docstring with one sentence that says what it is",
    )
    case.require(
        len(summary) <= LONGEST, f"its summary has {len(summary)} characters", f"keep to {LONGEST}"
    )
    fix = "say one thing, and the rest after an empty line of the docstring"
    case.require(
        not re.search(r"[.!?] [A-Z]", summary), "its summary is more than one sentence", fix
    )
    found = case.attempt(
        "reading its options", "annotate them with types that can be resolved", component.options
    )
    case.require(
        len(found) <= MOST_OPTIONS,
        f"has {len(found)} options",
        f"leave at most {MOST_OPTIONS} to choose",
    )
    for name, option in found.items():
        _option(case, name, option)
    paper = f", {component.paper}" if component.paper else ", no paper"
    options = (
        f"{len(found)} option{'s' * (len(found) > 1)} with type and help" if found else "no options"
    )
    return f"one sentence, {options}{paper}"


def _option(case: Case, name: str, option: Option) -> None:
    """An option says its type and what it is, and its default fits."""
    case.require(
        option.annotation is not Any, f"option {name!r} has no type", "annotate the parameter"
    )
    case.require(
        option.help,
        f"option {name!r} has no help",
        f"add a line `{name}: what it is` to the docstring",
    )
    if option.default is REQUIRED:
        case.require(
            name in case.options,
            f"option {name!r} must be given",
            "give it a default, or a value to the check",
        )
    elif option.default is not None:
        what = f"checking the default of option {name!r}"
        case.attempt(
            what,
            "make the default fit its type",
            convert,
            option.default,
            option.annotation,
            name,
        )


def builds(case: Case) -> str:
    """It is built by its options alone, for every spec that it
    claims, and has no parameters that nothing would update.
    """
    if not case.takes_spec:
        built = case.made()
        _require_no_parameters(case, built)
        return f"with {', '.join(f'{k}={v}' for k, v in case.options.items()) or 'its defaults'}"
    case.require(
        case.taken, "takes none of the samples tried", "give specs that it takes to the check"
    )
    if case.kind == "augmentation":
        for spec in case.taken:
            _require_no_parameters(case, case.made(spec))
    refused = [describe(spec) for spec in case.specs if spec not in case.taken]
    return on(case.taken) + (f"; refuses {', '.join(refused)}" if refused else "")


def _require_no_parameters(case: Case, part: Any) -> None:
    names = (
        ", ".join(name for name, p in part.named_parameters() if p.requires_grad)
        if isinstance(part, nn.Module)
        else ""
    )
    fix = "no optimizer updates those: freeze them, make buffers, or add them to a net in `prepare`"
    case.require(not names, f"has parameters of its own that learn ({names})", fix)


def require_no_hidden_state(
    case: Case, module: nn.Module, before: Mapping[str, Any], between: Mapping[str, Any]
) -> None:
    """Nothing outside parameters and buffers may change: it would neither be saved nor compiled.

    before, between: what it held before its first and its second use. A private attribute may be
    made in the first (something kept for speed), and must not change after that.
    """
    for key, value in plain_state(module).items():
        private = is_private(key)
        name = key.rpartition(".")[2]
        fix = f"hold it in a buffer: self.register_buffer({name!r}, torch.zeros(()))"
        case.require(
            private or not isinstance(value, Tensor),
            f"its tensor {key!r} is no buffer, and so not saved",
            fix,
        )
        then = between if private else before
        same = key in then and alike(then[key], value)
        case.require(same, f"its attribute {key!r} changes in use, and is not saved", fix)


def require_round_trip(case: Case, one: nn.Module, other: nn.Module) -> None:
    """One module's state must go into another of the same options, whole."""
    case.attempt(
        "loading its state into a second instance", KEPT, other.load_state_dict, one.state_dict()
    )
    same = all(
        torch.equal(a, b)
        for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    )
    case.require(same, "its state is not the same after state_dict and load_state_dict", KEPT)


def state(use: Callable[[Case, Any], object]) -> Check:
    """The check that use leaves a part's state in its
    buffers, and that a second instance can take it over.
    """

    def check(case: Case) -> str:
        specs = case.taken if case.takes_spec else [None]
        tensors = 0
        for spec in specs:
            part, other = (
                case.build(seed=seed) if spec is None else case.fresh(spec, seed) for seed in (0, 1)
            )
            before = plain_state(part)
            use(case, part)
            between = plain_state(part)
            use(case, part)
            require_no_hidden_state(case, part, before, between)
            require_round_trip(case, part, other)
            tensors = max(tensors, len(part.state_dict()))
        return f"{tensors} tensors, all of them saved" if tensors else "it has none"

    return check
