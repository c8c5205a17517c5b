"""Which device, precision and engine a training runs with."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import DeviceError, UsageError


def choose_device(name: str) -> torch.device:
    """The device of that name, or the best there is; raises DeviceError when it is not there."""
    if name == "auto":
        there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        return torch.device(next((kind for kind, found in there.items() if found), "cpu"))
    place: Any = {"section": "train", "key": "device", "value": name}
    try:
        device = torch.device(name)
    except RuntimeError:
        message = "no such device; write auto, cpu, cuda, cuda:1 or mps"
        raise UsageError(message, **place) from None
    cpu: Any = {"remedy": "use", "change": {"train.device": "cpu"}}
    if device.type == "cuda" and (
        not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()
    ):
        raise DeviceError(
            f"PyTorch sees {torch.cuda.device_count()} CUDA devices here",
            **place,
            **cpu,
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("PyTorch sees no MPS device here", **place, **cpu)
    if device.type not in ("cpu", "cuda", "mps"):
        raise UsageError("a training runs on cpu, cuda or mps", **place)
    return device


def choose_precision(name: str, device: torch.device, modality: str = "image") -> str:
    """What `auto` means: for images and maps on a GPU bf16 where there is, else tf32; otherwise
    fp32.

    Images have 8 bits a number, as bf16 has, and maps stand for such; points and signals need more.
    On a CPU that computes in bf16, assembly tries whether it pays (`assembly/precision_trial.py`).
    """
    if name == "auto":
        name = "fp32"
        if device.type == "cuda" and modality in ("image", "map"):
            name = "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "tf32"
    if device.type == "cuda":
        torch.set_float32_matmul_precision("highest" if name == "fp32" else "high")
        torch.backends.cudnn.allow_tf32 = name != "fp32"
    return name


def processor() -> str:
    """The CPU's name as the system tells it."""
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text("utf-8", errors="replace").splitlines() if listing.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def computes_in_bf16() -> bool:
    """Whether this processor has instructions for bf16 (x86: avx512_bf16, with or without AMX)."""
    try:
        if platform.machine().lower() in ("x86_64", "amd64"):
            return bool(torch.cpu._is_avx512_bf16_supported())
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except (AttributeError, RuntimeError):  # a build of PyTorch that cannot tell
        return False


def settle(device: torch.device, deterministic: bool) -> None:
    """How this process chooses kernels from here on: the
    fastest of several that are tried, or always the same.

    `deterministic`: no sums in whatever order the hardware likes; an
    operation that has no such form raises an error that names it.
    Raises DeviceError when it is too late for that in this process.
    """
    torch.backends.cudnn.benchmark = device.type == "cuda" and not deterministic
    if not deterministic:
        return
    import torch._inductor.config as inductor

    torch.use_deterministic_algorithms(True)
    if hasattr(inductor, "deterministic"):  # not in older versions
        inductor.deterministic = True
    try:
        _product(device)
    except RuntimeError as error:
        if "CUBLAS_WORKSPACE_CONFIG" not in str(error):
            raise
        torch.use_deterministic_algorithms(False)
        raise DeviceError(
            "cuBLAS was at work before ganzoo was imported",
            section="train",
            key="deterministic",
            value=True,
            remedy="import ganzoo first, or set CUBLAS_WORKSPACE_CONFIG=:4096:8 before Python "
            "starts",
        ) from None


def _product(device: torch.device) -> Tensor:
    """A matrix product, which PyTorch refuses if cuBLAS
    began without the setting that makes it deterministic.
    """
    return torch.zeros(2, 2, device=device) @ torch.zeros(2, 2, device=device)


def choose_engine(name: str, device: torch.device) -> tuple[str, str]:
    """(how updates run, why)."""
    if name == "captured" and device.type != "cuda":
        raise DeviceError(
            "CUDA graphs need a CUDA device; use compiled or eager",
            section="train",
            key="engine",
            value=name,
        )
    if name != "auto":
        return name, "as asked"
    if device.type == "mps":
        return "eager", "the others are not tried on MPS"
    return (
        ("captured", "fastest on a GPU")
        if device.type == "cuda"
        else ("eager", "on a CPU compiling seldom pays")
    )
