"""What a plugin can add: a hook for each kind of component.

A plugin implements the hooks it needs with `@ganzoo.hookimpl` and calls `register(name, factory,
**about)` once for each component. `factory` is a class or function, or its dotted name
`"package.module:Name"` when importing it is costly; `about` may hold `summary` (default: the
docstring's first sentence), `paper`, and for data `recipe`: the recipe of the same plugin that a
training on them starts from where none is named.
"""

from collections.abc import Callable
from typing import Protocol

import pluggy

from .kinds import KINDS, Kind

hookspec = pluggy.HookspecMarker("ganzoo")
hookimpl = pluggy.HookimplMarker("ganzoo")


class Register(Protocol):
    """The callback that every hook receives."""

    def __call__(self, name: str, factory: object, **about: str) -> None: ...


def _hook(kind: Kind) -> Callable[[Register], None]:
    """The specification of a kind's hook."""

    def offer(register: Register) -> None: ...

    offer.__name__ = kind.hook
    offer.__doc__ = f"Offer {kind.offers}."
    return hookspec(offer)


Hooks = type("Hooks", (), {kind.hook: staticmethod(_hook(kind)) for kind in KINDS.values()})
