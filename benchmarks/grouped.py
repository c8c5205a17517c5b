"""Which form of a grouped 3x3 convolution is fastest on this machine, for what training does with
it: `python -m benchmarks.grouped`, on a GPU if there is one, else on the CPU.

The default is the one of R3GAN at 16x16: 1536 channels in 96 groups, on a CPU with a fourth of the
channels and as large groups. Every form gives the same numbers, which is checked first. `backward`
is forward and both gradients. `double` is the slope's square in the samples, and its gradient in
the weights, by double backward; `dual` the same by forward mode. Times are medians.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import grad, jvp

from ganzoo.bench.machine_limits import machine
from ganzoo.bench.timing import Laps

from . import tables

Form = Callable[[Tensor, Tensor, int], Tensor]  # maps, weight [out, in / groups, 3, 3], groups
WARM_UP = 3
MERGED = 64  # channels of a group after several were put together
OUT_OF_REACH = "-"  # where an operation cannot be differentiated in this way


def native(x: Tensor, weight: Tensor, groups: int) -> Tensor:
    """PyTorch's own."""
    return F.conv2d(x, weight, padding=1, groups=groups)


def dense(x: Tensor, weight: Tensor, groups: int) -> Tensor:
    """One convolution of all channels, zeros between the groups."""
    return merged(x, weight, groups, size=x.shape[1])


def merged(x: Tensor, weight: Tensor, groups: int, size: int = MERGED) -> Tensor:
    """Several groups together as one, zeros between them."""
    inputs = weight.shape[1]
    together = max(1, min(groups, size // inputs))
    parts = weight.view(groups // together, together, -1, inputs, 3, 3)
    whole = torch.eye(together, device=x.device, dtype=x.dtype)
    # [merged, group, out, in, 3, 3] -> [merged, group, out, other group, in, 3, 3]
    spread = parts[:, :, :, None] * whole[None, :, None, :, None, None, None]
    return F.conv2d(
        x, spread.reshape(-1, together * inputs, 3, 3), padding=1, groups=groups // together
    )


def shifts(x: Tensor, weight: Tensor, groups: int) -> Tensor:
    """Nine products of shifted maps, batched over groups."""
    n, _, h, w = x.shape
    padded = F.pad(x, (1, 1, 1, 1)).unflatten(1, (groups, -1))
    matrices = weight.unflatten(0, (groups, -1))
    total = x.new_zeros(())
    for row in range(3):
        for column in range(3):
            shifted = padded[..., row : row + h, column : column + w].flatten(3)
            total = total + torch.matmul(matrices[..., row, column], shifted)
    return total.reshape(n, -1, h, w)


def unfolded(x: Tensor, weight: Tensor, groups: int) -> Tensor:
    """Every pixel's surroundings as a vector, then one product, batched over groups."""
    columns = F.unfold(x, 3, padding=1).unflatten(1, (groups, -1))
    matrices = weight.flatten(1).unflatten(0, (groups, -1))
    return torch.matmul(matrices, columns).reshape(x.shape[0], -1, *x.shape[2:])


FORMS: dict[str, Form] = {
    "native": native,
    "merged": merged,
    "dense": dense,
    "shifts": shifts,
    "unfolded": unfolded,
}


def forward(form: Form, x: Tensor, weight: Tensor, groups: int) -> None:
    with torch.no_grad():
        form(x, weight, groups)


def backward(form: Form, x: Tensor, weight: Tensor, groups: int) -> None:
    torch.autograd.grad(form(x, weight, groups).square().sum(), (x, weight))


def double(form: Form, x: Tensor, weight: Tensor, groups: int) -> None:
    slope = grad(lambda x: form(x, weight, groups).square().sum())(x.detach())
    torch.autograd.grad(slope.square().sum(), weight)


def dual(form: Form, x: Tensor, weight: Tensor, groups: int) -> None:
    def height(x: Tensor) -> Tensor:
        return form(x, weight, groups).square().sum()

    with torch.no_grad():
        slope = grad(height)(x.detach())
    _, tangent = jvp(height, (x.detach(),), (2 * slope,))
    torch.autograd.grad(tangent, weight)


WORK = {"forward": forward, "backward": backward, "double": double, "dual": dual}


def check(groups: int, size: int) -> None:
    """Raise ValueError unless all forms give what PyTorch's own does."""
    x = torch.randn(2, groups * size, 5, 6, dtype=torch.float64)
    weight = torch.randn(groups * size, size, 3, 3, dtype=torch.float64)
    wanted = native(x, weight, groups)
    for name, form in FORMS.items():
        if not torch.allclose(form(x, weight, groups), wanted):
            raise ValueError(f"{name} is another function")


def timed(work: Callable[[], None], device: torch.device, rounds: int) -> float:
    """The median time of a call, in milliseconds."""
    for _ in range(WARM_UP):
        work()
    laps = Laps(device)
    laps.start()
    for _ in range(rounds):
        work()
        laps.lap()
    return 1e3 * statistics.median(laps.runs()[0])


def row(name: str, layout: str, given: argparse.Namespace, device: torch.device) -> list[str]:
    """The times of one form in one layout of memory."""
    memory = torch.channels_last if layout == "channels last" else torch.contiguous_format
    dtype = torch.bfloat16 if given.bf16 else torch.float32
    shape = (given.batch, given.channels, given.side, given.side)
    x = torch.randn(shape, device=device, dtype=dtype).to(memory_format=memory)
    inputs = given.channels // given.groups
    weight = torch.randn(given.channels, inputs, 3, 3, device=device, dtype=dtype)
    weight = (0.1 * weight).to(memory_format=memory)
    x.requires_grad_()
    weight.requires_grad_()
    form: Any = torch.compile(FORMS[name]) if given.compile else FORMS[name]
    cells = []
    for work in WORK.values():
        try:
            found = timed(
                lambda work=work: work(form, x, weight, given.groups), device, given.rounds
            )
            cells.append(f"{found:.2f}")
        except (NotImplementedError, RuntimeError):
            cells.append(OUT_OF_REACH)
    return [name, layout, *cells]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cuda = torch.cuda.is_available()
    parser.add_argument("--device", default="cuda" if cuda else "cpu")
    parser.add_argument("--batch", type=int, default=128 if cuda else 8)
    parser.add_argument("--channels", type=int, default=1536 if cuda else 384)
    parser.add_argument("--groups", type=int, default=96 if cuda else 24)
    parser.add_argument("--side", type=int, default=16)
    parser.add_argument("--bf16", action="store_true", help="bfloat16 instead of float32")
    parser.add_argument("--compile", action="store_true", help="each form by torch.compile")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--forms", default=",".join(FORMS), help="which of %(default)s")
    given = parser.parse_args()
    if given.channels % given.groups:
        parser.error("--groups must divide --channels")
    device = torch.device(given.device)
    check(4, 3)
    layouts = ("as it is", "channels last")
    chosen = given.forms.split(",")
    with torch.backends.cudnn.flags(benchmark=True) if device.type == "cuda" else nullcontext():
        rows = [row(name, layout, given, device) for name in chosen for layout in layouts]
    about = tables.measured_on([{"machine": machine(device)}])
    print(
        f"{given.channels} channels in {given.groups} groups, {given.side}x{given.side}, batch "
        f"{given.batch}, {'bfloat16' if given.bf16 else 'float32'}"
        f"{', compiled' if given.compile else ''}; milliseconds.\n\n"
        f"{tables.table(['form', 'layout', *WORK], rows)}\n\n{about}"
    )


if __name__ == "__main__":
    main()
