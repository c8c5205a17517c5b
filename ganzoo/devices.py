"""Which device, precision and engine a training runs with."""

from __future__ import annotations

import os

import torch

from .errors import DeviceError, UsageError


def choose_device(name: str) -> torch.device:
    """The device of that name, or the best there is; raises DeviceError when it is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(
            f"--device {name}: no such device; write auto, cpu, cuda or cuda:1"
        ) from None
    if device.type == "cuda" and (
        not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()
    ):
        raise DeviceError(
            f"--device {name}: PyTorch sees {torch.cuda.device_count()} CUDA devices here; use --device cpu"
        )
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"--device {name}: ganzoo trains on cpu and cuda")
    return device


def choose_precision(name: str, device: torch.device) -> str:
    """fp32 on CPUs; on GPUs bf16 where there is, else tf32."""
    if name == "auto":
        name = (
            "fp32"
            if device.type == "cpu"
            else "bf16"
            if torch.cuda.get_device_capability(device) >= (8, 0)
            else "tf32"
        )
    if device.type == "cuda":
        torch.set_float32_matmul_precision("highest" if name == "fp32" else "high")
        torch.backends.cudnn.allow_tf32 = name != "fp32"
    return name


def be_deterministic() -> None:
    """From here on in this process: no sums in whatever order the hardware likes, no kernels chosen by how long they took.

    An operation that has no such form raises an error that names it.
    """
    import torch._inductor.config as inductor

    os.environ.setdefault(
        "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
    )  # without it PyTorch refuses matrix products
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    if hasattr(inductor, "deterministic"):  # not in older versions
        inductor.deterministic = True


def choose_engine(name: str, device: torch.device) -> tuple[str, str]:
    """(how updates run, why)."""
    if name == "captured" and device.type != "cuda":
        raise DeviceError(
            "--engine captured: CUDA graphs need a CUDA device; use compiled or eager"
        )
    if name != "auto":
        return name, "as asked"
    return (
        ("captured", "fastest on a GPU")
        if device.type == "cuda"
        else ("eager", "on a CPU compiling seldom pays")
    )
