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


def require(holds: bool, component: object, wrong: str, mend: str) -> None:
    """Raise AssertionError saying what is wrong and how to mend it, unless it holds."""
    if not holds:
        raise AssertionError(f"{component}: {wrong}; {mend}")


def attempt(component: object, what: str, function: Callable[[], Any], mend: str) -> Any:
    """What the function returns; any error of it becomes an AssertionError that says what was tried."""
    try:
        return function()
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"{component}: {what} fails: {one_line(error)}; {mend}") from error


def check_described(component: Component, given: Mapping[str, Any] | None = None) -> None:
    """A one-sentence summary; at most six options, each with a type, a help line and a default that fits (or given)."""
    summary = attempt(component, "reading its summary", lambda: component.summary, "register something that can be imported")
    require(bool(summary.strip()), component, "has no summary", "begin its docstring with one sentence that says what it is")
    require("\n" not in summary and len(summary) <= 160, component, f"its summary has {len(summary)} characters", "keep to 160")
    sentence = "end the docstring's first sentence with a full stop, followed by an empty line"
    require(not re.search(r"[.!?] [A-Z]\w+ \w+ \w+", summary), component, "its summary is more than one sentence", sentence)
    options = attempt(component, "reading its options", component.options, "annotate them with types that can be resolved")
    require(len(options) <= MOST_OPTIONS, component, f"has {len(options)} options", f"leave at most {MOST_OPTIONS} to choose")
    for name, option in options.items():
        require(option.annotation is not Any, component, f"option {name!r} has no type", "annotate the parameter")
        require(bool(option.help), component, f"option {name!r} has no help", f"add a line `{name}: what it is` to the docstring")
        if option.default is REQUIRED:
            mend = "give it a default, or give a value to the check"
            require(name in (given or {}), component, f"option {name!r} must be given", mend)
        elif option.default is not None:
            attempt(
                component,
                f"checking the default of option {name!r}",
                lambda option=option: convert(option.default, option.annotation, option.name),  # type: ignore[misc]
                "make the default fit its type",
            )


def build(component: Component, *arguments: Any, seed: int = 0, **options: Any) -> Any:
    """An instance, its random numbers drawn from the seed."""
    torch.manual_seed(seed)
    return component.create(*arguments, **options)


def fitting(component: Component, specs: Sequence[Spec], options: Mapping[str, Any]) -> list[Spec]:
    """The specs that the component takes; it may refuse some with a GanzooError, but not all of a sort that it claims."""
    sorts = getattr(component.load(), "sorts", None) or ("image", "signal", "points")
    taken, refused = [], {}
    for spec in specs:
        if spec.sort in sorts:
            try:
                build(component, spec, **options)
                taken.append(spec)
            except BrokenPlugin as error:
                mend = "refuse what it cannot do with ganzoo.errors.Incompatible"
                raise AssertionError(f"{component}: building it for {describe(spec)} fails: {error}; {mend}") from error
            except GanzooError as error:
                refused[spec.sort] = error
    for sort in sorts:
        if not any(spec.sort == sort for spec in taken) and any(spec.sort == sort for spec in specs):
            why = f" ({refused[sort]})" if sort in refused else ""
            mend = "leave the sort out of `sorts`, or give specs that it takes to the check"
            raise AssertionError(f"{component}: its sorts claim {sort}, and it takes none of those tried{why}; {mend}")
    return taken


def describe(spec: Spec) -> str:
    """`image [3, 16, 24]`."""
    return f"{spec.sort} {list(spec.shape)}"


def labels_for(net: nn.Module, spec: Spec, shift: int = 0) -> Tensor | None:
    """Labels [BATCH] when the net reads them."""
    return (torch.arange(BATCH) + shift) % spec.classes if getattr(net, "conditional", False) and spec.classes else None


def gradients(value: Tensor, net: nn.Module) -> Tensor:
    """The gradient of a scalar in all parameters of a net, as one vector, zero where there is none."""
    found = torch.autograd.grad(value, [p for p in net.parameters() if p.requires_grad], allow_unused=True)
    parameters = [p for p in net.parameters() if p.requires_grad]
    return torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for p, g in zip(parameters, found, strict=True)])


def plain_state(module: Any) -> dict[str, Any]:
    """What a module holds beside parameters and buffers: state that would be lost."""
    kept = {k: v for k, v in vars(module).items() if not k.startswith("_") and k != "training" and not isinstance(v, nn.Module)}
    return copy.deepcopy(kept)


def require_no_hidden_state(component: Component, module: nn.Module, before: Mapping[str, Any]) -> None:
    """Nothing outside parameters and buffers may change: it would neither be saved nor compiled."""
    for key, value in plain_state(module).items():
        mend = f"hold it in a buffer: self.register_buffer({key!r}, torch.zeros(()))"
        require(not isinstance(value, Tensor), component, f"its tensor {key!r} is no buffer, and so not saved", mend)
        same = key in before and bool(before[key] == value)
        require(same, component, f"its attribute {key!r} changes in use, and is not saved", mend)


def require_round_trip(component: Component, one: nn.Module, other: nn.Module) -> None:
    """One module's state must go into another of the same options, whole."""
    mend = "keep all state in parameters and buffers whose shapes follow from spec and options"
    attempt(component, "loading its state into a second instance", lambda: other.load_state_dict(one.state_dict()), mend)
    same = all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))
    require(same, component, "its state is not the same after state_dict and load_state_dict", mend)


def require_compiles(component: Component, function: Callable[[], Any], what: str) -> None:
    """Must run as one graph; compares nothing but that it does."""
    torch._dynamo.reset()
    mend = "no .item(), no branch on a tensor's value, no unsupported call in what runs in an update"
    attempt(component, f"compiling {what} as one graph", torch.compile(function, fullgraph=True, backend="eager"), mend)
    torch._dynamo.reset()


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
