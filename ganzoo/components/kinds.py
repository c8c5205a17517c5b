"""The kinds of components: one table that everything else reads.

A new kind is a row here, a base class in ganzoo.contracts and a template for `ganzoo new-plugin`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Kind:
    """One kind of component."""

    name: str
    offers: str  # what its hook offers, with an example, for whoever writes a plugin
    base: str = ""  # dotted name of the class that an instance has
    plural: str = ""
    section: str = ""  # where a configuration names a component of it
    flag: str = ""  # of `ganzoo train`
    help: str = ""  # of the flag
    metavar: str = "NAME"  # of the flag
    many: bool = False  # whether a configuration may name several, each a section of its own
    role: bool = False  # whether it fills a role of a game
    takes: str = ""  # what its constructor is given before the options: "spec", "params" or nothing
    net: bool = False  # whether it may be large, so that it is counted before it is built
    maker: str = ""  # where its factory is a function: how the function's name begins

    @property
    def hook(self) -> str:
        """The function that a plugin implements."""
        return f"register_{self.plural}"

    @property
    def options(self) -> str:
        """The settings of a component, up to the option, with {name} for its name."""
        return f"{self.section}.{{name}}." if self.many else f"{self.section}."

    def load_base(self) -> Any:
        """The class that an instance has; None for kinds that have none. Imports it."""
        from pkgutil import resolve_name

        return resolve_name(self.base) if self.base else None


_ROWS = (
    Kind(
        "generator",
        'generators, `cls(spec, *, options)`: register("dcgan", DCGANGenerator)',
        base="ganzoo.contracts:Generator",
        section="gen",
        flag="gen",
        help="Generator.",
        takes="spec",
        role=True,
        net=True,
    ),
    Kind(
        "discriminator",
        'discriminators, `cls(spec, *, options)`: register("dcgan", DCGANDiscriminator)',
        base="ganzoo.contracts:Discriminator",
        section="disc",
        flag="disc",
        help="Discriminator; the generator's partner by default.",
        takes="spec",
        role=True,
        net=True,
    ),
    Kind(
        "loss",
        'adversarial losses, `cls(*, options)`: register("hinge", Hinge)',
        base="ganzoo.contracts:Loss",
        plural="losses",
        section="loss",
        flag="loss",
        help="Adversarial loss.",
        net=True,
    ),
    Kind(
        "regularizer",
        'penalties and constraints, `cls(*, options)`: register("r1", R1)',
        base="ganzoo.contracts:Regularizer",
        section="reg",
        flag="reg",
        help="Regularizer; may repeat; 'none' drops a recipe's.",
        many=True,
        net=True,
    ),
    Kind(
        "encoder",
        'encoders, `cls(spec, *, options)`: register("dcgan", DCGANEncoder)',
        base="ganzoo.contracts:Encoder",
        section="enc",
        flag="enc",
        help="Encoder, in games that have one; the generator's namesake by default.",
        takes="spec",
        role=True,
        net=True,
    ),
    Kind(
        "game",
        'who plays and how, `cls(spec, *, options)`: register("cyclegan", CycleGAN)',
        base="ganzoo.contracts:Game",
        section="game",
        flag="game",
        help="Game: who plays, on what; a generator against a discriminator by default.",
        takes="spec",
        net=True,
    ),
    Kind(
        "condition",
        "what nets are given, made from the samples, `cls(spec, *, options)`: "
        'register("mask", Mask)',
        base="ganzoo.contracts:Condition",
        section="given",
        flag="given",
        help="What nets are given, made from the samples; may repeat; 'none' drops a recipe's.",
        many=True,
        takes="spec",
        net=True,
    ),
    Kind(
        "dataset",
        'data, a function `f(*, root, resolution, options) -> Dataset`: register("mnist", mnist)',
        base="ganzoo.contracts:Dataset",
        section="data",
        flag="data",
        help="Data set by name, or pictures.",
        metavar="NAME|FOLDER|ZIP",
        maker="load_",
    ),
    Kind(
        "augmentation",
        "changes to what the discriminator sees, `cls(spec, *, options)`: "
        'register("ada", AdaptiveAugmentation)',
        base="ganzoo.contracts:Augmentation",
        section="aug",
        flag="aug",
        help="Augmentation; may repeat; 'none' drops a recipe's.",
        many=True,
        takes="spec",
        net=True,
    ),
    Kind(
        "optimizer",
        "optimizers, a function `f(params, *, lr, options) -> torch.optim.Optimizer`: "
        'register("adam", adam)',
        base="torch.optim:Optimizer",
        section="optim.gen",
        takes="params",
        maker="make_",
    ),
    Kind(
        "metric",
        'measures of a generator, `cls(spec, *, options)`: register("modes", Modes)',
        base="ganzoo.contracts:Metric",
        section="metric",
        flag="metric",
        help="Metric; may repeat; 'none' drops a recipe's.",
        many=True,
        takes="spec",
    ),
    Kind(
        "tracker",
        'listeners to a training, `cls(*, options)`: register("tensorboard", TensorBoard)',
        base="ganzoo.contracts:Tracker",
        section="tracker",
        flag="tracker",
        help="Tracker; may repeat; 'none' drops a recipe's.",
        many=True,
    ),
    Kind(
        "recipe",
        "complete configurations, TOML files given as a path: "
        'register("wgan-gp", HERE / "wgan-gp.toml")',
        flag="recipe",
        help="A complete published configuration to start from.",
    ),
)
KINDS = {kind.name: replace(kind, plural=kind.plural or f"{kind.name}s") for kind in _ROWS}
FAMILIES = {kind.section: kind.name for kind in KINDS.values() if kind.many}
ROLES = {kind.name: kind.section for kind in KINDS.values() if kind.role}
SINGLE = {kind.section: kind.name for kind in KINDS.values() if kind.section and not kind.many}


def called(text: str) -> str:
    """The kind that a person means by its singular, plural or flag; else the text itself."""
    for kind in KINDS.values():
        if text in (kind.name, kind.plural, kind.flag):
            return kind.name
    return text
