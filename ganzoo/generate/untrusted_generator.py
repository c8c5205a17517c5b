"""Building a generator as a stranger's file asks: from
registered parts only, and never larger than the file itself.

A file of a few kilobytes may ask for a width of a billion. So the net is first built on torch's
meta device, where tensors have shapes and no memory, and compared with what the file lists; and
while it is built, whatever the device, its weights are counted against the file.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from ..components.registry import Component
from ..engine.sizes import Ceiling, TooLarge
from ..errors import BadFile, BrokenPlugin, DeviceError, GanzooError, shown
from ..io.device_memory import VARIABLE, planned_memory

Listed = Mapping[
    str, tuple[torch.dtype, tuple[int, ...]]
]  # what a file lists: name -> type and shape of a tensor
# Weights may be registered anew while a net is built
# (normalised weights, copies), so many times in all
SPARE = 4
SPARE_BUFFERS = (
    256 << 20
)  # bytes of buffers that a net may make for itself beside what the file lists


def build(
    component: Component,
    arguments: Sequence[Any],
    options: Mapping[str, Any],
    listed: Listed,
    where: str,
) -> nn.Module:
    """A net whose state is exactly what the file lists;
    raises BadFile before it takes memory for another.
    """
    component.load()  # a plugin that cannot be imported is not the file's fault
    _check_memory(listed, where)
    try:
        with torch.random.fork_rng(devices=[]), _counted(listed, where):
            try:
                with torch.device("meta"):
                    _compare(component.build(arguments, options, where), listed, where)
            # A constructor that looks at its numbers cannot
            # run without; they are counted all the same
            except BrokenPlugin:
                pass
            with Ceiling(SPARE * _size(listed) + SPARE_BUFFERS):
                net: nn.Module = component.build(arguments, options, where)
    except TooLarge:
        raise BadFile(f"{where}: its options ask for a larger net than the file holds") from None
    except BadFile:
        raise
    except GanzooError as error:
        raise BadFile(
            f"{where}: {component.name} {component.version} cannot be built as this file asks: "
            f"{error}"
        ) from None
    _compare(net, listed, where)
    return net


@contextmanager
def _counted(listed: Listed, where: str) -> Iterator[None]:
    """Within it, modules of this thread may register no
    more weights than the file lists, several times over.
    """
    count = SPARE * len(listed) + 64
    numbers = SPARE * sum(_numel(shape) for _, shape in listed.values()) + 4096
    thread = threading.get_ident()

    def hook(module: nn.Module, name: str, weight: Tensor | None) -> None:
        nonlocal count, numbers
        if weight is None or threading.get_ident() != thread:
            return
        count, numbers = count - 1, numbers - weight.numel()
        if count < 0 or numbers < 0:
            raise BadFile(f"{where}: its options ask for a larger net than the file holds")

    handle = register_module_parameter_registration_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _size(listed: Listed) -> int:
    """Bytes of all that a file lists."""
    return sum(_numel(shape) * dtype.itemsize for dtype, shape in listed.values())


def _check_memory(listed: Listed, where: str) -> None:
    """Raises DeviceError when net and file together do not fit in memory."""
    need, free = 2 * _size(listed), planned_memory(torch.device("cpu"))
    if free is not None and need > free:
        raise DeviceError(
            f"{where}: reading it takes {need / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are "
            f"free",
            remedy=f"{VARIABLE} sets the memory to plan with, as in 64G",
        )


def _numel(shape: tuple[int, ...]) -> int:
    return torch.Size(shape).numel()


def _compare(net: nn.Module, listed: Listed, where: str) -> None:
    """Raises BadFile naming the first difference between the net's state and the file's list."""
    own = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in net.state_dict().items()}
    misfit = f"{where}: its weights do not fit the net that it names: "
    for name in sorted(own.keys() ^ listed.keys()):
        raise BadFile(
            f"{misfit}{shown(name)} is {'missing' if name in own else 'not one of its tensors'}"
        )
    for name, (dtype, shape) in own.items():
        if (dtype, shape) != listed[name]:
            there = listed[name]
            raise BadFile(
                f"{misfit}{shown(name)} is {shown(list(there[1]))} of {there[0]}, not "
                f"{list(shape)} of {dtype}"
            )
    spare = sum(
        b.numel() * b.element_size() for name, b in net.named_buffers() if name not in listed
    )
    if spare > SPARE_BUFFERS:
        raise BadFile(
            f"{where}: its net would make {spare >> 20:,} MiB of buffers beside its weights"
        )
