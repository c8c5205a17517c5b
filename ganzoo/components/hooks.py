"""What a plugin can add: ten hooks, one for each kind of component.

A plugin implements the hooks it needs with `@ganzoo.hookimpl` and calls `register(name, factory,
**about)` once for each component. `factory` is a class or function, or its dotted name
`"package.module:Name"` when importing it is costly; `about` may hold `summary` (default: the
docstring's first sentence), `paper`, and for data `recipe`: the recipe of the same plugin that a
training on them starts from where none is named.
"""

from typing import Protocol

import pluggy

hookspec = pluggy.HookspecMarker("ganzoo")
hookimpl = pluggy.HookimplMarker("ganzoo")


class Register(Protocol):
    """The callback that every hook receives."""

    def __call__(self, name: str, factory: object, **about: str) -> None: ...


@hookspec
def register_generators(register: Register) -> None:
    """Offer generators, `cls(spec, *, options)`: register("dcgan", DCGANGenerator)."""


@hookspec
def register_discriminators(register: Register) -> None:
    """Offer discriminators, `cls(spec, *, options)`: register("dcgan", DCGANDiscriminator)."""


@hookspec
def register_losses(register: Register) -> None:
    """Offer adversarial losses, `cls(*, options)`: register("hinge", Hinge)."""


@hookspec
def register_regularizers(register: Register) -> None:
    """Offer penalties and constraints, `cls(*, options)`: register("r1", R1)."""


@hookspec
def register_datasets(register: Register) -> None:
    """Offer data, a function `f(*, root, resolution,
    options) -> Dataset`: register("mnist", mnist).
    """


@hookspec
def register_augmentations(register: Register) -> None:
    """Offer changes to what the discriminator sees, `cls(spec,
    *, options)`: register("ada", AdaptiveAugmentation).
    """


@hookspec
def register_optimizers(register: Register) -> None:
    """Offer optimizers, a function `f(params, *, lr, options)
    -> torch.optim.Optimizer`: register("adam", adam).
    """


@hookspec
def register_metrics(register: Register) -> None:
    """Offer measures of a generator, `cls(spec, *, options)`: register("modes", Modes)."""


@hookspec
def register_trackers(register: Register) -> None:
    """Offer listeners to a training, `cls(*, options)`: register("tensorboard", TensorBoard)."""


@hookspec
def register_recipes(register: Register) -> None:
    """Offer complete configurations, TOML files given as
    a path: register("wgan-gp", HERE / "wgan-gp.toml").
    """


KINDS = (
    "generator",
    "discriminator",
    "loss",
    "regularizer",
    "dataset",
    "augmentation",
    "optimizer",
    "metric",
    "tracker",
    "recipe",
)
PLURALS = {kind: {"loss": "losses"}.get(kind, kind + "s") for kind in KINDS}
