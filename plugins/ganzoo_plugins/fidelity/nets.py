"""The feature nets of torch-fidelity, from files that are there and are what they should be.

torch-fidelity reads weights by unpickling, which may run what a file holds: so a .pth is given to
it only where its SHA-256 is that of the published file. Weights of one's own are safetensors.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ganzoo.errors import BadData

# As torch-fidelity 0.4 names them. Its dinov2 nets take no file: it fetches code and weights anew.
Name = Literal[
    "inception-v3-compat",
    "vgg16",
    "clip-rn50",
    "clip-rn101",
    "clip-rn50x4",
    "clip-rn50x16",
    "clip-rn50x64",
    "clip-vit-b-32",
    "clip-vit-b-16",
    "clip-vit-l-14",
    "clip-vit-l-14-336px",
]
PACKAGE = "torch-fidelity"
BATCH = 64  # torch-fidelity's own
BLOCK = 1 << 20  # bytes that are summed at once


@dataclass(frozen=True)
class Net:
    """A feature net by torch-fidelity's name, with the file of its weights as it is published.

    side: pixels that it makes of any picture; 0 where its weights say that
    kept: the name under which torch keeps the file, where it is another than the published one
    archive: whether the file is a TorchScript archive
    """

    name: str
    url: str
    sha256: str
    side: int
    kept: str = ""
    archive: bool = False

    @property
    def file(self) -> str:
        """The name of the file."""
        return self.kept or self.url.rpartition("/")[2]


# torch-fidelity's sources name the files; their names end in the first digits of the sums.
INCEPTION = Net(
    "inception-v3-compat",
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
    "weights-inception-2015-12-05-6726825d.pth",
    "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    299,
)
VGG = Net(
    "vgg16",
    "https://download.pytorch.org/models/vgg16-397923af.pth",
    "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
    224,
)
LPIPS = Net(
    "lpips-vgg16",
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-vgg16-lpips.pth",
    "",
    64,
)


def check_installed(metric: str) -> None:
    """Raises BadData where torch-fidelity is missing."""
    if importlib.util.find_spec("torch_fidelity") is None:
        raise BadData(
            f"is measured by {PACKAGE}, which is not installed: pip install 'ganzoo[metrics]'",
            section=f"metric.{metric}",
        )


def net_of(metric: str, name: str) -> Net:
    """The net of a name; addresses and sums of CLIP's files are those in torch-fidelity's sources.
    Raises BadData where torch-fidelity is missing.
    """
    check_installed(metric)
    if known := {net.name: net for net in (INCEPTION, VGG)}.get(name):
        return known
    from torch_fidelity import feature_extractor_clip as clip

    sum_ = clip.MODEL_METADATA[name]["hash"]
    return Net(name, clip.MODEL_URLS[name], sum_, 0, f"{name}-{sum_}.pt", archive=True)


def find_weights(
    metric: str, net: Net, given: Path | None, key: str = "weights_file"
) -> tuple[Path, str]:
    """The file of a net's weights and its SHA-256: the one given, else where torch keeps files.

    Raises BadData where it or torch-fidelity is missing, or where it is another than the published
    one; a file without a published sum is read as safetensors alone.
    """
    check_installed(metric)
    about: dict[str, Any] = {"section": f"metric.{metric}", "key": key, "value": given}
    path = given or Path(torch.hub.get_dir()) / "checkpoints" / net.file
    sum_ = f"SHA-256 {net.sha256}" if net.sha256 else "without a sum: give it as .safetensors"
    published = f"{net.file} is published at {net.url} ({sum_})"
    if not path.is_file():
        raise BadData(f"{path}: no such file; {published}", **about)
    found = sum_of(path)
    if path.suffix != ".safetensors" and found != net.sha256:
        raise BadData(
            f"{path}: its SHA-256 is {found}, and reading another {Path(net.file).suffix} than the "
            f"published one may run what it holds; {published}, and weights of your own are "
            ".safetensors",
            **about,
        )
    return path, found


def sum_of(path: Path) -> str:
    """The SHA-256 of a file."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            found.update(block)
    return found.hexdigest()


class FidelityNet:
    """A feature net of torch-fidelity: what one of its layers gives, [n, d].

    layer: by torch-fidelity's name; its own choice for its metric `theirs` by default
    """

    def __init__(
        self, metric: str, name: str, path: Path | None, layer: str | None, theirs: str
    ) -> None:
        self.metric, self.net = metric, net_of(metric, name)
        self.path, self.sum = find_weights(metric, self.net, path)
        self.layer = layer or _layer(name, theirs)
        self._loaded: list[nn.Module] = []  # large, and no part of a metric's state

    def features(self, samples: Tensor) -> Tensor:
        """Features [n, d] of images [n, c, h, w] in [-1, 1]."""
        if not self._loaded:
            self._loaded.append(load_net(self.metric, self.net, self.layer, self.path))
        return features_of(self._loaded[0], samples)

    def protocol(self) -> dict[str, str | int | float | bool]:
        """The net and its file, and what it makes of a picture."""
        side = f"{self.net.side}x{self.net.side}" if self.net.side else "its own size"
        return {
            "features": f"{self.net.name} {self.layer}",
            "weights_file": self.sum[:16],
            "range": "8 bits in colour",
            "resizer": f"bilinear as in TensorFlow 1, to {side}",
        }


def _layer(name: str, theirs: str) -> str:
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

    net = FEATURE_EXTRACTORS_REGISTRY[name]
    layer: str = net.get_default_feature_layer_for_metric(theirs)
    return layer


def load_net(metric: str, net: Net, layer: str, path: Path) -> nn.Module:
    """The net with its weights, giving one layer; raises BadData for weights of another net."""
    from torch_fidelity.utils import create_feature_extractor

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch 2.15 says that torch.jit will go one day
        try:
            made: nn.Module = create_feature_extractor(
                net.name,
                [layer],
                cuda=torch.cuda.is_available(),
                feature_extractor_weights_path=str(_as_read(path, net, Path(folder))),
                verbose=False,
            )
        except (RuntimeError, KeyError, ValueError, OSError) as error:
            first = str(error).splitlines()[0]
            raise BadData(
                f"no weights of {net.name}: {first}",
                section=f"metric.{metric}",
                key="weights_file",
                value=path,
            ) from error
    return made


@contextlib.contextmanager
def similarity_at(
    metric: str, files: Mapping[Net, Path], loaded: Callable[[], bool]
) -> Iterator[None]:
    """Within, torch keeps files where these weights are, under their published names: the nets of
    torch-fidelity's similarity take no path, and would download what is missing there.

    loaded: whether the weights were read, so that an error is not theirs and is raised as it is.
    Raises BadData for weights of another net.
    """
    before = torch.hub._hub_dir
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "checkpoints"
        kept.mkdir()
        torch.hub.set_dir(folder)
        try:
            for net, path in files.items():
                made = _as_read(path, net, Path(folder))
                if made == path:
                    (kept / net.file).symlink_to(path.absolute())
                else:
                    made.rename(kept / net.file)
            yield
        except (RuntimeError, KeyError, ValueError, OSError) as error:
            if loaded() or isinstance(error, torch.OutOfMemoryError):
                raise
            first = str(error).splitlines()[0]
            message = f"no weights of {' and '.join(net.name for net in files)}: {first}"
            raise BadData(message, section=f"metric.{metric}") from error
        finally:
            torch.hub._hub_dir = before


def _as_read(path: Path, net: Net, folder: Path) -> Path:
    """The weights in the form that torch-fidelity reads: safetensors written anew."""
    if path.suffix != ".safetensors":
        return path
    weights = read_safetensors(path)
    copy = folder / "weights.pth"
    if net.archive:
        _write_archive(weights, copy)
    else:
        torch.save(weights, copy)
    return copy


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file; raises ValueError for what is none."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from None


def _write_archive(weights: Mapping[str, Tensor], path: Path) -> None:
    """Weights as a TorchScript archive without any code, which is what CLIP is published as."""
    root = nn.Module()
    for name, tensor in weights.items():
        *way, last = name.split(".")
        at = root
        for step in way:
            if step not in at._modules:
                at.add_module(step, nn.Module())
            at = at.get_submodule(step)
        at.register_buffer(last, tensor)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch 2.15 says that torch.jit will go one day
        torch.jit.save(torch.jit.script(root), path)


def features_of(net: nn.Module, samples: Tensor) -> Tensor:
    """Features [n, d], float32, of images [n, c, h, w] in [-1, 1], which are shown in 8 bits and
    in colour, as torch-fidelity sees the files of pictures.
    """
    images = in_colour(samples)
    device = next(net.buffers(), images).device
    return torch.cat(
        [net(part.contiguous().to(device))[0].cpu() for part in torch.split(images, BATCH)]
    )


def in_colour(samples: Tensor) -> Tensor:
    """Images [n, c, h, w] in [-1, 1] in 8 bits and three channels."""
    images = samples.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images[:, :3]
