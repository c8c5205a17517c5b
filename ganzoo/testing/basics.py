"""What every check needs: samples of every sort, small nets that stand in for the other parts, one form of message."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..contracts import Discriminator, Generator, Loss, Spec, Step
from ..errors import BrokenPlugin, GanzooError, one_line
from ..options import REQUIRED, convert
from ..registry import Component

BATCH = 4
MOST_OPTIONS = 6
LONGEST = 160  # characters in a summary, which is shown on one line
SPECS = (  # grey, RGB, RGBA, rectangular and odd images, points, signals
    Spec((1, 16, 16), 3),
    Spec((3, 32, 32), 3),
    Spec((4, 16, 16), 3),
    Spec((3, 16, 24), 3),
    Spec((1, 17, 12), 3),
    Spec((2,), 3),
    Spec((5,), 3),
    Spec((1, 64), 3),
    Spec((2, 256), 3),
)


class Case:
    """A component under check, built with some options: what must hold of it, and the message when it does not."""

    def __init__(self, component: Component, options: Mapping[str, Any]) -> None:
        self.component, self.options = component, options

    def require(self, holds: object, wrong: str, mend: str) -> None:
        """Raise AssertionError saying what is wrong and how to mend it, unless it holds."""
        if not holds:
            raise AssertionError(f"{self.component}: {wrong}; {mend}")

    def attempt(self, what: str, mend: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """What the function returns; an error of it becomes an AssertionError that says what was tried."""
        try:
            return function(*arguments)
        except Exception as error:
            raise AssertionError(f"{self.component}: {what} fails: {one_line(error)}; {mend}") from error

    def build(self, *arguments: Any, seed: int = 0) -> Any:
        """An instance, its random numbers drawn from the seed."""
        torch.manual_seed(seed)
        return self.component.create(*arguments, **self.options)

    def build_as(self, kind: type, *arguments: Any) -> Any:
        """An instance that must be of a contract's class."""
        mend = "its constructor must run with its options; refuse what it cannot do with ganzoo.errors.Incompatible"
        built = self.attempt("building it", mend, self.build, *arguments)
        self.require(isinstance(built, kind), f"is no {kind.__name__}", f"derive it from {kind.__module__}.{kind.__name__}")
        return built

    def fitting(self, specs: Sequence[Spec]) -> list[Spec]:
        """The specs that the component takes; it may refuse some with a GanzooError, but not all of a sort that it claims."""
        sorts = getattr(self.component.load(), "sorts", None) or tuple(dict.fromkeys(spec.sort for spec in specs))
        taken, refused = [], {}
        for spec in specs:
            if spec.sort in sorts:
                try:
                    self.build(spec)
                    taken.append(spec)
                except BrokenPlugin as error:
                    mend = "refuse what it cannot do with ganzoo.errors.Incompatible"
                    raise AssertionError(f"{self.component}: building it for {describe(spec)} fails: {error}; {mend}") from error
                except GanzooError as error:
                    refused[spec.sort] = error
        for sort in {spec.sort for spec in specs} & set(sorts):
            why = f" ({refused[sort]})" if sort in refused else ""
            mend = "leave the sort out of `sorts`, or give specs that it takes to the check"
            claimed = any(spec.sort == sort for spec in taken)
            self.require(claimed, f"its sorts claim {sort}, and it takes none of those tried{why}", mend)
        return taken

    def require_no_hidden_state(self, module: nn.Module, before: Mapping[str, Any]) -> None:
        """Nothing outside parameters and buffers may change: it would neither be saved nor compiled."""
        for key, value in plain_state(module).items():
            mend = f"hold it in a buffer: self.register_buffer({key!r}, torch.zeros(()))"
            self.require(not isinstance(value, Tensor), f"its tensor {key!r} is no buffer, and so not saved", mend)
            same = key in before and bool(before[key] == value)
            self.require(same, f"its attribute {key!r} changes in use, and is not saved", mend)

    def require_no_parameters(self, module: nn.Module) -> None:
        """No optimizer would update them."""
        names = ", ".join(name for name, _ in module.named_parameters())
        mend = "no optimizer updates those: hold them as buffers, or add them to a net in `prepare`"
        self.require(not names, f"has parameters of its own ({names})", mend)

    def require_round_trip(self, one: nn.Module, other: nn.Module) -> None:
        """One module's state must go into another of the same options, whole."""
        mend = "keep all state in parameters and buffers whose shapes follow from spec and options"
        self.attempt("loading its state into a second instance", mend, other.load_state_dict, one.state_dict())
        same = all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))
        self.require(same, "its state is not the same after state_dict and load_state_dict", mend)

    def require_compiles(self, what: str, function: Callable[..., Any], *arguments: Any) -> None:
        """It must run as one graph, since updates are compiled whole."""
        torch._dynamo.reset()
        mend = "no .item(), no branch on a tensor's value, no unsupported call in what runs in an update"
        compiled = torch.compile(function, fullgraph=True, backend="eager")
        self.attempt(f"compiling {what} as one graph", mend, compiled, *arguments)
        torch._dynamo.reset()


def check_described(component: Component, **options: Any) -> Case:
    """A one-sentence summary; at most six options, each with a type, a help line and a default that fits (or given)."""
    case = Case(component, options)
    summary = case.attempt("reading its summary", "register something that can be imported", getattr, component, "summary")
    case.require(summary.strip(), "has no summary", "begin its docstring with one sentence that says what it is")
    case.require(len(summary) <= LONGEST, f"its summary has {len(summary)} characters", f"keep to {LONGEST}")
    mend = "say one thing, and the rest after an empty line of the docstring"
    case.require(not re.search(r"[.!?] [A-Z]", summary), "its summary is more than one sentence", mend)
    found = case.attempt("reading its options", "annotate them with types that can be resolved", component.options)
    case.require(len(found) <= MOST_OPTIONS, f"has {len(found)} options", f"leave at most {MOST_OPTIONS} to choose")
    for name, option in found.items():
        case.require(option.annotation is not Any, f"option {name!r} has no type", "annotate the parameter")
        case.require(option.help, f"option {name!r} has no help", f"add a line `{name}: what it is` to the docstring")
        if option.default is REQUIRED:
            case.require(name in options, f"option {name!r} must be given", "give it a default, or a value to the check")
        elif option.default is not None:
            what = f"checking the default of option {name!r}"
            case.attempt(what, "make the default fit its type", convert, option.default, option.annotation, name)
    return case


def describe(spec: Spec) -> str:
    """`image [3, 16, 24]`."""
    return f"{spec.sort} {list(spec.shape)}"


def labels_for(net: nn.Module, spec: Spec, shift: int = 0) -> Tensor | None:
    """Labels [BATCH] when the net reads them."""
    return (torch.arange(BATCH) + shift) % spec.classes if getattr(net, "conditional", False) and spec.classes else None


def gradients(value: Tensor, net: nn.Module) -> Tensor:
    """The gradient of a scalar in all parameters of a net, as one vector, zero where there is none."""
    parameters = [p for p in net.parameters() if p.requires_grad]
    if not value.requires_grad:
        return torch.cat([torch.zeros_like(p).flatten() for p in parameters])
    found = torch.autograd.grad(value, parameters, allow_unused=True, materialize_grads=True)
    return torch.cat([g.flatten() for g in found])


def plain_state(module: nn.Module) -> dict[str, Any]:
    """What a module holds beside parameters and buffers."""
    kept = {k: v for k, v in vars(module).items() if not k.startswith("_") and k != "training"}
    return copy.deepcopy(kept)


class PlainGenerator(Generator):
    """Two layers, any sample."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec, latent_dim=8)
        self.inner, self.outer = nn.Linear(8, 16), nn.Linear(16, spec.numel)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        samples: Tensor = self.outer(self.inner(latents).tanh()).tanh()
        return samples.view(-1, *self.spec.shape)


class PlainDiscriminator(Discriminator):
    """Two layers with a bend in the middle, any sample."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.inner, self.outer = nn.Linear(spec.numel, 16), nn.Linear(16, 1)

    def features(self, samples: Tensor) -> Tensor:
        return torch.as_tensor(self.inner(samples.flatten(1))).tanh()

    def score(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        return torch.as_tensor(self.outer(features)).squeeze(1)


class PlainLoss(Loss):
    """The difference of logits."""

    def discriminator(self, step: Step) -> Tensor:
        return (step.fake_logits - step.real_logits).mean()

    def generator(self, step: Step) -> Tensor:
        return -step.fake_logits.mean()
