"""Feature nets of timm, by `timm:NAME`, with weights from safetensors files that are there."""

from __future__ import annotations

import dataclasses
import importlib.util
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ganzoo.errors import BadData, BadOption

from .nets import BATCH, check_installed, in_colour, read_safetensors, sum_of

PREFIX = "timm:"
FILE = "model.safetensors"  # as timm publishes them


class TimmNet:
    """A net of timm as a feature net: what it gives before its classifier, pooled [n, d].

    Pictures are made as large as the net's own by its own interpolation, antialiased, none of them
    cut, and scaled by its own mean and deviation.

    name: with the tag of its weights, as in vit_small_patch14_dinov2.lvd142m
    path: of its weights as safetensors; by default where Hugging Face keeps what timm has fetched
    """

    def __init__(self, metric: str, name: str, path: Path | None) -> None:
        check_installed(metric)  # whose functions compare the features
        self.about: dict[str, Any] = {"section": f"metric.{metric}", "key": "weights_file"}
        if importlib.util.find_spec("timm") is None:
            raise BadData(
                "takes a net of timm, which is not installed: pip install 'ganzoo[timm]'",
                section=f"metric.{metric}",
                key="net",
            )
        import timm

        self.name = name
        try:
            found = timm.models.get_pretrained_cfg(name) if timm.is_model(name) else None
        except RuntimeError:  # no weights of that tag
            found = None
        if found is None:
            raise BadOption(
                f"timm {version('timm')} has no net {name!r}",
                section=f"metric.{metric}",
                key="net",
                remedy="timm.list_models(pretrained=True) lists them",
            )
        self.config: dict[str, Any] = dataclasses.asdict(found)
        wanted = found.interpolation
        self.mode = wanted if wanted in ("bilinear", "bicubic") else "bicubic"
        self.path = self._file(path, found.hf_hub_id)
        if self.path.suffix != ".safetensors":
            raise BadData(f"{self.path}: weights of timm are read as .safetensors", **self.about)
        self.sum = sum_of(self.path)
        self._loaded: list[nn.Module] = []

    def _file(self, given: Path | None, repository: str | None) -> Path:
        """The file of the weights; raises BadData where it is not there."""
        from huggingface_hub import try_to_load_from_cache

        kept = try_to_load_from_cache(repository, FILE) if repository else None
        path = given or (Path(kept) if isinstance(kept, str) else None)
        if path is not None and path.is_file():
            return path
        missing = f"{path}: no such file" if path else f"weights of {self.name} are not here"
        where = f"{FILE} is published at https://huggingface.co/{repository}, without a sum"
        if not repository:
            where = "timm publishes none of this net"
        raise BadData(f"{missing}; {where}", value=given, **self.about)

    def features(self, samples: Tensor) -> Tensor:
        """Features [n, d], float32, of images [n, c, h, w] in [-1, 1]."""
        if not self._loaded:
            self._loaded.append(self._load())
        net = self._loaded[0]
        with torch.no_grad():
            parts = [self._seen(part) for part in torch.split(in_colour(samples), BATCH)]
            device = next(net.parameters()).device
            return torch.cat([net(part.to(device)).float().cpu() for part in parts])

    def _load(self) -> nn.Module:
        """The net without its classifier; raises BadData for weights of another net."""
        import timm

        net: Any = timm.create_model(self.name, pretrained=False)
        try:
            net.load_state_dict(read_safetensors(self.path))
        except (RuntimeError, ValueError, OSError) as error:
            first = str(error).splitlines()[0]
            message = f"no weights of {self.name}: {first}"
            raise BadData(message, value=self.path, **self.about) from error
        net.reset_classifier(0)
        made: nn.Module = net.eval().requires_grad_(False)
        return made.cuda() if torch.cuda.is_available() else made

    def _seen(self, images: Tensor) -> Tensor:
        """Pictures in 8 bits [n, 3, h, w] as the net takes them."""
        size = self.config["input_size"][1:]
        scaled = interpolate(images.float() / 255, size, mode=self.mode, antialias=True)
        mean, std = (torch.tensor(self.config[key]).view(3, 1, 1) for key in ("mean", "std"))
        return (scaled.clamp(0, 1) - mean) / std

    def protocol(self) -> dict[str, str | int | float | bool]:
        """The net, the sum of its file, and what it makes of a picture."""
        height, width = self.config["input_size"][1:]
        return {
            "features": f"{PREFIX}{self.name}",
            "weights_file": self.sum[:16],
            "range": "8 bits in colour",
            "resizer": f"{self.mode}, antialiased, to {height}x{width}",
            "net_package": f"timm {version('timm')}",
        }
