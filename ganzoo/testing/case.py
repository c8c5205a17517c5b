"""One component under check: what must hold of it, the
message when it does not, and the samples that it is tried on.
"""

from __future__ import annotations

import copy
import inspect
import re
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..components.isolation import contained, off_stdout
from ..components.kinds import KINDS
from ..components.loading import zoo
from ..components.registry import Component, Registry
from ..contracts import Column, Discriminator, Spec
from ..engine.randomness import reseed
from ..errors import BadData, BrokenPlugin, GanzooError, Incompatible, one_line
from ..nn import straight_through, table_rows

BATCH = 4
REASON = 240  # letters of an error
COLUMNS = (
    Column("number", (), 10.0, 2.5),
    Column("category", ("one", "two", "three")),
    Column("count", (), 4.0, 1.5, True),
)
# Grey, RGB, RGBA, rectangular and odd images, points, signals; videos, tokens, a table, maps.
SPECS = (
    Spec((1, 16, 16), 3),
    Spec((3, 32, 32), 3),
    Spec((4, 16, 16), 3),
    Spec((3, 16, 24), 3),
    Spec((1, 17, 12), 3),
    Spec((2,), 3),
    Spec((5,), 3),
    Spec((1, 64), 3),
    Spec((2, 256), 3),
    Spec((1, 4, 8, 8), 3),
    Spec((6, 5), 3, alphabet=("", "a", "b", "c", " ")),
    Spec((5,), 3, columns=COLUMNS),
    Spec((4, 8, 8), 3, unbounded=True),
)
Outcome = Literal["holds", "does not hold", "does not apply", "noted"]


class Wrong(AssertionError):
    """Something does not hold: what, and how to fix it."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what, fix)
        self.what, self.fix = what, fix


class DoesNotApply(Exception):
    """A check has nothing to look at; the message says why."""


class Noted(str):
    """What a check found where there is no right and wrong."""


@dataclass(frozen=True)
class Finding:
    """What one check found of one component."""

    component: Component
    check: str
    outcome: Outcome
    found: str
    fix: str = ""
    error: BaseException | None = None

    def __str__(self) -> str:
        return f"{self.component}: {self.found}" + (f"; {self.fix}" if self.fix else "")


class Case:
    """A component, the options to build it with, and where and on what to try it.

    registry: where companions are looked for (default: what is installed). device: "cpu" or "cuda".
        budget: how much slower than the reference it may be, None for no limit. data, layer: what
        to lay over a recipe. against: the reference's name.
    """

    def __init__(
        self,
        component: Component,
        options: Mapping[str, Any],
        *,
        specs: Sequence[Spec] = SPECS,
        registry: Registry | None = None,
        data: Mapping[str, Any] | None = None,
        device: str = "cpu",
        budget: float | None = None,
        against: str | None = None,
    ) -> None:
        self.component, self.options, self.specs, self.data = component, options, specs, data
        self.given, self.device, self.budget, self.against = (
            registry,
            torch.device(device),
            budget,
            against,
        )
        self._made: dict[Spec | None, Any] = {}
        self.companions: dict[Any, Any] = {}  # how nets that a part needs are made, once found

    @property
    def registry(self) -> Registry:
        return self.given or zoo().registry

    @property
    def kind(self) -> str:
        return self.component.kind

    @property
    def takes_spec(self) -> bool:
        """Whether its constructor is given a spec first."""
        return KINDS[self.kind].takes == "spec"

    def with_options(self, options: Mapping[str, Any]) -> Case:
        """The same case with some options more."""
        return Case(
            self.component, {**self.options, **options}, specs=self.specs, registry=self.given,
            device=str(self.device), budget=self.budget, against=self.against,
        )  # fmt: skip

    def require(self, holds: object, wrong: str, fix: str) -> None:
        """Raise Wrong unless it holds."""
        if not holds:
            raise Wrong(wrong, fix)

    def attempt(self, what: str, fix: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """What the function returns; an error of it becomes
        Wrong, but for Incompatible, by which a part refuses.
        """
        try:
            return function(*arguments)
        except Incompatible:
            raise
        except Exception as error:
            raise Wrong(f"{what} fails: {self.reason(error)}", fix) from error

    def reason(self, error: BaseException) -> str:
        """An error in a line of bearable length, and the line
        of the component's own source that it comes from.
        """
        text = one_line(error)
        text = text if len(text) <= REASON else f"{text[:REASON]} ..."
        own = _own_lines(self.component, error)
        return f"{text} ({Path(own[-1][0]).name}, line {own[-1][1]})" if own else text

    def build(self, *arguments: Any, seed: int = 0) -> Any:
        """A new instance, its random numbers drawn from the seed."""
        reseed(seed)
        return self.component.create(*arguments, **self.options)

    def made(self, spec: Spec | None = None) -> Any:
        """An instance of the contract's class, built once; whoever changes it works on a copy."""
        if spec not in self._made:
            try:
                built = self.build() if spec is None else self.fresh(spec)
            except BrokenPlugin as error:
                what = "building it" + (f" for {describe(spec)}" if spec else "")
                fix = (
                    "its constructor must run with its options; refuse what it cannot do with "
                    "ganzoo.errors.Incompatible"
                )
                raise Wrong(f"{what} fails: {error}", fix) from error
            contract = KINDS[self.kind].load_base()
            fix = f"derive it from {contract.__module__}.{contract.__name__}"
            self.require(isinstance(built, contract), f"is no {contract.__name__}", fix)
            self._made[spec] = built
        return self._made[spec]

    def fresh(self, spec: Spec, seed: int = 0) -> Any:
        """An instance for a spec; one that reads what is given gets what is always the same."""
        reads = getattr(self.component.load(), "reads", ())
        given = {name: Spec(spec.shape) for name in reads}
        built = self.build(replace(spec, given=given), seed=seed)
        if given and self.kind in ("generator", "discriminator"):
            built.__class__ = _with_given(type(built))
        return built

    def copy(self, spec: Spec | None = None) -> Any:
        """A copy of that instance, to change."""
        return copy.deepcopy(self.made(spec))

    def moved(self, spec: Spec | None = None) -> Any:
        """A copy whose weights are moved a little: some
        rightly begin at zero and block what others do.
        """
        net = self.copy(spec)
        reseed(5)
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.add_(0.02 * torch.randn_like(parameter))
        return net

    @cached_property
    def taken(self) -> list[Spec]:
        """The specs that it takes; it may refuse some with a
        GanzooError, but not all of a modality that it claims.
        """
        modalities = getattr(self.component.load(), "modalities", None) or tuple(
            dict.fromkeys(spec.modality for spec in self.specs)
        )
        taken, refused = [], {}
        for spec in self.specs:
            if spec.modality in modalities:
                try:
                    self.made(spec)
                    taken.append(spec)
                except BadData:  # its files are not here, whatever the samples are
                    raise
                except GanzooError as error:
                    refused[spec.modality] = error
        for modality in {spec.modality for spec in self.specs} & set(modalities):
            why = f" ({refused[modality]})" if modality in refused else ""
            fix = "leave the modality out of `modalities`, or give specs that it takes to the check"
            claimed = any(spec.modality == modality for spec in taken)
            self.require(
                claimed,
                f"its modalities claim {modality}, and it takes none of those tried{why}",
                fix,
            )
        return taken

    @property
    def one_of_each(self) -> list[Spec]:
        """the first spec of each modality that it takes."""
        return firsts(self.taken)


Check = Callable[[Case], str]


def find(case: Case, name: str, check: Check) -> Finding:
    """The finding of one check, whatever happens in it; torch's random state is left as it was."""
    about = case.component, name
    with torch.random.fork_rng(devices=[]):
        try:
            with contained(), off_stdout():
                found = check(case)
            return Finding(*about, "noted" if isinstance(found, Noted) else "holds", found)
        except Wrong as error:
            return Finding(*about, "does not hold", error.what, error.fix, error.__cause__ or error)
        except DoesNotApply as error:
            return Finding(*about, "does not apply", str(error))
        except BadData as error:
            return Finding(
                *about, "does not apply", f"its files are not here: {error}", error=error
            )
        except Exception as error:
            return Finding(
                *about,
                "does not hold",
                f"{name}: {case.reason(error)}",
                "fix what raises it",
                error,
            )


def depending(finding: Finding, failed: Sequence[Finding]) -> Finding:
    """The finding, or that it depends on one which
    failed before it, so that one cause is told once.

    It does when both come from the same place, or when what it is about is not of the right shape.
    """
    if finding.outcome != "does not hold":
        return finding
    for earlier in failed:
        place = _place(earlier)
        if earlier.check == "shapes" or (place is not None and place == _place(finding)):
            found = f"depends on {earlier.check}, which does not hold"
            return replace(finding, outcome="does not apply", found=found, fix="")
    return finding


def _place(finding: Finding) -> tuple[str, int] | None:
    """The file and line that an error comes from: the component's own, else the innermost."""
    error = finding.error
    while error is not None and error.__cause__ is not None:
        error = error.__cause__
    if error is None or isinstance(error, Wrong):
        return None
    frames = traceback.extract_tb(error.__traceback__)
    own = _own_lines(finding.component, error)
    if own:
        return own[-1]
    return (frames[-1].filename, frames[-1].lineno or 0) if frames else None


def _own_lines(component: Component, error: BaseException) -> list[tuple[str, int]]:
    """The lines of a component's own source that an error passed, or names in its text."""
    try:
        source = inspect.getsourcefile(component.load())
    except (TypeError, OSError, GanzooError):
        return []
    passed = [(f.filename, f.lineno or 0) for f in traceback.extract_tb(error.__traceback__)]
    named = re.findall(r'File "([^"]+)", line (\d+)', str(error))
    lines = passed + [(file, int(number)) for file, number in named]
    return [(file, number) for file, number in lines if file == source]


# What several checks read.


def describe(spec: Spec) -> str:
    """`image [3, 16, 24]`."""
    return f"{spec.modality} {list(spec.shape)}"


def firsts(specs: Sequence[Spec]) -> list[Spec]:
    """the first spec of each modality."""
    return list({spec.modality: spec for spec in reversed(specs)}.values())[::-1]


def on(specs: Sequence[Spec]) -> str:
    """`on 3 shapes of image and points`."""
    modalities = " and ".join(dict.fromkeys(spec.modality for spec in specs))
    return f"on {len(specs)} shape{'s' * (len(specs) > 1)} of {modalities}"


def samples_of(spec: Spec, count: int = BATCH, seed: int = 2) -> Tensor:
    """Samples that are always the same, in a generator's range."""
    reseed(seed)
    return _meant(torch.randn(count, *spec.shape).clamp(-1, 1), spec)


def _meant(numbers: Tensor, spec: Spec) -> Tensor:
    """Numbers as samples, symbols and categories chosen."""
    if spec.modality == "tokens":
        return straight_through(numbers)
    return table_rows(numbers, spec.columns) if spec.columns else numbers


def grouped(spec: Spec, count: int, seed: int = 3) -> Tensor:
    """Samples in two groups far apart, in a generator's range: some metrics count the groups."""
    reseed(seed)
    sides = torch.arange(count).remainder(2).mul(1.5).sub(0.75)
    numbers = sides.view(-1, *[1] * len(spec.shape)) + 0.05 * torch.randn(count, *spec.shape)
    return _meant(numbers, spec)


def _with_given(base: Any) -> type:
    """A class whose own method gets given pictures, that differ by sample, if it got none."""
    where = "features" if issubclass(base, Discriminator) else "forward"

    def called(self: Any, first: Tensor, *more: Any, **given: Tensor) -> Any:
        return getattr(base, where)(self, first, *more, **(given or standing(first, self.spec)))

    return type(base.__name__, (base,), {where: called})


def standing(like: Tensor, spec: Spec) -> dict[str, Tensor]:
    """What a spec says is given, in [-1, 1], always the same, for each of as many samples."""
    return {name: _standing(like, each) for name, each in spec.given.items()}


def _standing(like: Tensor, spec: Spec) -> Tensor:
    steps = torch.arange(len(like) * spec.numel, device=like.device, dtype=like.dtype)
    return steps.sin().view(len(like), *spec.shape)


def labels_for(net: nn.Module, spec: Spec, shift: int = 0) -> Tensor | None:
    """Labels [BATCH] when the net reads them."""
    return (
        (torch.arange(BATCH) + shift) % spec.classes
        if getattr(net, "conditional", False) and spec.classes
        else None
    )


def judging(net: Callable[..., Any]) -> Callable[..., Tensor]:
    """The net with one tensor for an outcome: maps flattened, those of several judges joined."""

    def call(*arguments: Any) -> Tensor:
        found = net(*arguments)
        if isinstance(found, Tensor):
            return found if found.dim() == 1 else found.flatten(1)
        return torch.cat([logits.view(len(logits), -1) for logits in found], 1)

    return call


def seeded(net: Callable[..., Any], *arguments: Any) -> Tensor:
    """A call whose random numbers are always the same."""
    reseed(7)
    result: Tensor = net(*arguments)
    return result


def gradients(value: Tensor, net: nn.Module) -> Tensor:
    """The gradient of a scalar in all parameters of
    a net, as one vector, zero where there is none.
    """
    parameters = [p for p in net.parameters() if p.requires_grad]
    if not value.requires_grad:
        return torch.cat([torch.zeros_like(p).flatten() for p in parameters])
    found = torch.autograd.grad(value, parameters, allow_unused=True, materialize_grads=True)
    return torch.cat([g.flatten() for g in found])
