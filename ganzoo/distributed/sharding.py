"""Nets that no rank holds whole: weights, gradients and optimizer state spread over the ranks, by
PyTorch's own `fully_shard`.
"""

from __future__ import annotations

import contextlib
import inspect
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

UNIT = 0.01  # of a net's weights: what holds less is gathered with the rest of the net
LISTS = (nn.Sequential, nn.ModuleList)
WEIGHTLESS = ("draw_latents",)  # methods of nets that read no weights


def spread(
    net: nn.Module, units: Iterable[str], device: torch.device, ranks: int, reduce: torch.dtype
) -> None:
    """Shard a net over the ranks, and move it to the device.

    units: names of modules that are gathered when they are called and let go after it; all else of
    the net is whole from its first call in an update until `rest`. reduce: the numbers that
    gradients are summed in.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    # A view that is changed in place loses its gradient. Whether one is, is found out before a
    # training begins, by comparing gradients.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module", category=UserWarning)
    policy = MixedPrecisionPolicy(reduce_dtype=torch.bfloat16 if reduce == torch.bfloat16 else None)
    about: dict[str, Any] = {
        "mesh": init_device_mesh(device.type, (ranks,)),
        "mp_policy": policy,
        "ignored_params": {p for p in net.parameters() if p.dim() == 0},  # nothing to divide
    }
    for unit in units:
        fully_shard(net.get_submodule(unit), **about)
    fully_shard(net, **about)
    net.to(device)  # what is not sharded
    _gather_in_calls(net)


def units(net: nn.Module, called: Collection[str]) -> tuple[str, ...]:
    """The modules of a net that can be gathered by themselves: the outermost members of its lists
    of modules that are called, unless they are small or share weights with others.

    called: names of the modules that an update calls
    """
    least = UNIT * _numel(net)
    holders: dict[int, int] = {}
    for module in net.modules():
        for parameter in module._parameters.values():
            holders[id(parameter)] = holders.get(id(parameter), 0) + 1
    return tuple(
        name
        for name, member in _members(net, "", called)
        if _numel(member) >= least and all(holders[id(p)] == 1 for p in member.parameters())
    )


def _members(
    module: nn.Module, before: str, called: Collection[str]
) -> Iterator[tuple[str, nn.Module]]:
    """The outermost modules in lists that are called, with their names."""
    for key, child in module.named_children():
        name = f"{before}{key}"
        if isinstance(module, LISTS) and name in called:
            yield name, child
        else:
            yield from _members(child, f"{name}.", called)


def _numel(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _gather_in_calls(net: nn.Module) -> None:
    """Let all public methods of a net gather its weights, as calling it does; once, where one of
    them calls another.
    """
    from torch.distributed.fsdp import register_fsdp_forward_method

    inside = [0]
    names = [
        name
        for kind in type(net).__mro__
        if kind.__module__.partition(".")[0] != "torch"
        for name, value in vars(kind).items()
        if inspect.isfunction(value) and not name.startswith("_") and name not in WEIGHTLESS
    ]
    for name in dict.fromkeys(names):
        own = getattr(net, name)
        if name == "forward":  # torch's hooks gather before it
            net.forward = _entering(own, own, inside)
            continue
        register_fsdp_forward_method(net, name)
        setattr(net, name, _entering(own, getattr(net, name), inside))


def _entering(
    own: Callable[..., Any], gathering: Callable[..., Any], inside: list[int]
) -> Callable[..., Any]:
    """A method: as it gathers, from outside of the net; as it is, from within."""

    def call(*args: Any, **given: Any) -> Any:
        method = own if inside[0] else gathering
        inside[0] += 1
        try:
            return method(*args, **given)
        finally:
            inside[0] -= 1

    return call


def rest(nets: Iterable[nn.Module]) -> None:
    """Let go of all weights that were gathered."""
    for module in _sharded(nets):
        module.reshard()


def settle(nets: Iterable[nn.Module]) -> None:
    """Gather all weights once and let go of them, unit by unit, so that PyTorch notes which of them
    get gradients; within a slope that is taken it cannot.
    """
    for module in _sharded(nets):
        module.unshard()
        module.reshard()


@contextlib.contextmanager
def whole_weights(nets: Collection[nn.Module]) -> Iterator[None]:
    """Within, nets have all their weights on every rank, and what is changed in them stays."""
    spread = [*_sharded(nets)]
    for module in spread:
        module.unshard()
    yield
    if not spread:
        return
    changed = [[parameter.detach().clone() for parameter in net.parameters()] for net in nets]
    rest(nets)
    for net, whole in zip(nets, changed, strict=True):
        for parameter, value in zip(net.parameters(), whole, strict=True):
            own_part(parameter.detach()).copy_(own_part(part_like(value, parameter)))


def _sharded(nets: Iterable[nn.Module]) -> Iterator[Any]:
    """The modules of nets that gather their weights."""
    for net in nets:
        for module in net.modules() if hasattr(net, "reshard") else ():
            if hasattr(module, "reshard"):
                yield module


def is_spread(tensor: object) -> bool:
    """Whether a tensor is one of which each rank has a part."""
    return hasattr(tensor, "full_tensor")


def own_part(tensor: Any) -> Tensor:
    """This rank's part of a tensor, in its memory; all of one that is not spread."""
    part: Tensor = tensor.to_local() if is_spread(tensor) else tensor
    return part


def whole_of(tensor: Any) -> Tensor:
    """All of a tensor; of one that is spread, on every rank at once, the parts of all."""
    full: Tensor = tensor.full_tensor() if is_spread(tensor) else tensor
    return full


def part_like(tensor: Tensor, like: Tensor) -> Tensor:
    """A tensor that every rank has, spread as another of its shape is; as it is where that is not
    spread. No rank waits for another.
    """
    if not is_spread(like) or is_spread(tensor) or tensor.shape != like.shape:
        return tensor
    from torch.distributed.tensor import distribute_tensor

    there: Any = like
    whole = tensor.to(there.to_local().device)
    return distribute_tensor(whole, there.device_mesh, there.placements, src_data_rank=None)


def gathered(group: Mapping[str, Any]) -> dict[str, Any]:
    """A group of a state with all tensors whole, those that were spread on the host; one at a
    time, on every rank at once.
    """
    # By name, since the order of an optimizer's state is that of the file it came from.
    whole = {
        key: whole_of(group[key].detach()).cpu() for key in sorted(group) if is_spread(group[key])
    }
    return {key: whole.get(key, value) for key, value in group.items()}


def spread_state(optimizer: torch.optim.Optimizer, now: Mapping[Tensor, Tensor]) -> None:
    """Let an optimizer go on with other parameters in the place of those it has."""
    for group in optimizer.param_groups:
        group["params"] = [now[parameter] for parameter in group["params"]]
        if group.get("fused"):  # PyTorch's kernels for all parameters take no parts but Adam's
            group["fused"], group["foreach"] = False, True
    for parameter, entry in [*optimizer.state.items()]:
        del optimizer.state[parameter]
        new = now[parameter]
        optimizer.state[new] = {
            key: part_like(value, new) if isinstance(value, Tensor) else value
            for key, value in entry.items()
        }
