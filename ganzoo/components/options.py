"""A component's options are its factory's keyword-only
parameters: read here, and values checked against them.

Help comes from the docstring: a line `name: text` in the
class's or function's docstring, or in a base class's.
"""

import functools
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import BadOption, nearest, shown

REQUIRED = inspect.Parameter.empty


@dataclass(frozen=True)
class Option:
    """One keyword-only parameter of a factory."""

    name: str
    annotation: Any
    default: Any
    help: str

    @property
    def type(self) -> str:
        """The annotation as a person reads it: `int`, `float or none`, `batch | layer`."""
        return describe(self.annotation)


def describe(annotation: Any) -> str:
    """An annotation in words, without typing's own notation."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return describe(args[0])
    if origin is typing.Literal:
        return " | ".join(str(a) for a in args)
    if origin in (typing.Union, types.UnionType):
        return " or ".join("none" if a is type(None) else describe(a) for a in args)
    if origin is not None:
        return (
            f"{origin.__name__}[{', '.join('...' if a is Ellipsis else describe(a) for a in args)}]"
        )
    return getattr(annotation, "__name__", str(annotation))


def _documented(factory: Callable[..., Any]) -> dict[str, str]:
    """The `name: text` lines of the docstring, a subclass's before its bases'."""
    texts: dict[str, str] = {}
    for owner in inspect.getmro(factory) if inspect.isclass(factory) else (factory,):
        for name, text in re.findall(
            r"^\s*([a-z_][a-z0-9_]*): (.+(?:\n\s{8,}\S.*)*)", owner.__doc__ or "", re.M
        ):
            texts.setdefault(name, " ".join(text.split()))
    return texts


def options_of(factory: Callable[..., Any]) -> dict[str, Option]:
    """The options of a class or function, in the order of its signature."""
    function = factory.func if isinstance(factory, functools.partial) else factory
    function = function.__init__ if inspect.isclass(function) else function
    hints = typing.get_type_hints(function, include_extras=True)
    texts = _documented(factory)
    return {
        name: Option(name, hints.get(name, Any), p.default, texts.get(name, ""))
        for name, p in inspect.signature(factory).parameters.items()
        if p.kind is inspect.Parameter.KEYWORD_ONLY
    }


def check(factory: Callable[..., Any], given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The given options turned into the types of the signature.

    `where` names the section in messages (`gen`, `reg.gp`). Raises BadOption for a name the factory
    does not take (with the nearest one) and for a value that does not fit.
    """
    known = options_of(factory)
    for name in given:
        if name not in known:
            takes = f"it takes {', '.join(known)}" if known else "it takes no options"
            raise BadOption(
                f"no option {shown(name)}{nearest(name, known)} ({takes})",
                section=where,
                key=name,
                value=given[name],
            )
    missing = [
        name for name, option in known.items() if option.default is REQUIRED and name not in given
    ]
    if missing:
        raise BadOption("must be given", section=where, key=missing[0])
    return {
        name: convert(value, known[name].annotation, where, name) for name, value in given.items()
    }


REASONS = {  # pydantic's sort of error -> what to do
    "int_type": "give a whole number",
    "int_parsing": "give a whole number",
    "int_from_float": "give a whole number",
    "float_type": "give a number",
    "float_parsing": "give a number",
    "bool_type": "give true or false",
    "bool_parsing": "give true or false",
    "string_type": "give text",
    "string_too_short": "give a name",
    "greater_than": "give more than {gt}",
    "greater_than_equal": "give {ge} or more",
    "less_than_equal": "give {le} or less",
    "less_than": "give less than {lt}",
    "literal_error": "give {expected}",
    "value_error": "{error}",
    "dict_type": "it holds settings by name: {where}.NAME = VALUE",
    "model_type": "it holds settings by name: {where}.NAME = VALUE",
}


def reason(error: Any, where: str) -> str:
    """Pydantic's error in words for a person."""
    text = REASONS.get(error["type"])
    return (
        text.format(**error.get("ctx", {}), where=where)
        if text
        else error["msg"].replace("Input should", "it should")
    )


def convert(value: Any, annotation: Any, section: str, key: str = "") -> Any:
    """`value` as the annotation wants it (`"128"` becomes 128), or BadOption."""
    from pydantic import (
        ConfigDict,
        PydanticUserError,
        TypeAdapter,
        ValidationError,
    )  # late: 0.1 s that `ganzoo --help` need not pay

    if (
        isinstance(value, str)
        and value.lower() == "none"
        and type(None) in typing.get_args(annotation)
    ):
        return None
    try:
        adapter = TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticUserError:  # a type that carries its own configuration
        adapter = TypeAdapter(annotation)
    try:
        if isinstance(value, bool) and "bool" not in describe(
            annotation
        ):  # which Python would take for 0 or 1
            raise BadOption(
                f"does not fit (wanted: {describe(annotation)})",
                section=section,
                key=key,
                value=value,
            )
        return adapter.validate_python(value)
    except ValidationError as error:
        wanted = describe(annotation)
        plain = {"int", "float", "bool", "str"} >= {wanted} or " | " in wanted
        message = reason(error.errors()[0], key) if plain else f"does not fit (wanted: {wanted})"
        raise BadOption(message, section=section, key=key, value=value) from None
