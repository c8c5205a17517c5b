"""Switches of the process: which kernels are chosen, and whether the same ones always."""

import os
import subprocess
import sys

import pytest
import torch

from ganzoo.engine import devices
from ganzoo.errors import DeviceError

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(autouse=True)
def as_it_was():
    benchmark = torch.backends.cudnn.benchmark
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = benchmark


def test_importing_ganzoo_settles_how_cublas_works():
    """It is read once in a process, at the first product; importing stays light."""
    found = {}
    for given in (None, ":16:8"):
        environment = {k: v for k, v in os.environ.items() if k != "CUBLAS_WORKSPACE_CONFIG"}
        environment |= {} if given is None else {"CUBLAS_WORKSPACE_CONFIG": given}
        code = (
            "import os, sys, ganzoo; print(os.environ['CUBLAS_WORKSPACE_CONFIG'], 'torch' in "
            "sys.modules)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )
        found[given] = done.stdout.split()
    assert found == {None: [":4096:8", "False"], ":16:8": [":16:8", "False"]}


def test_too_late_for_deterministic_is_one_line(monkeypatch):
    def refused(device):
        raise RuntimeError(
            "Deterministic behavior was enabled ... set CUBLAS_WORKSPACE_CONFIG=:4096:8 or ..."
        )

    monkeypatch.setattr(devices, "_product", refused)
    with pytest.raises(DeviceError, match=r"^train.deterministic = True: .*import ganzoo first"):
        devices.settle(CUDA, deterministic=True)
    assert not torch.are_deterministic_algorithms_enabled()


def test_kernels_are_tried_unless_they_must_be_the_same(monkeypatch):
    monkeypatch.setattr(devices, "_product", lambda device: None)
    devices.settle(CUDA, deterministic=False)
    assert torch.backends.cudnn.benchmark
    devices.settle(CPU, deterministic=False)
    assert not torch.backends.cudnn.benchmark
    devices.settle(CUDA, deterministic=False)
    devices.settle(CUDA, deterministic=True)
    assert not torch.backends.cudnn.benchmark and torch.are_deterministic_algorithms_enabled()
