"""`ganzoo generate`: the same bytes twice and from
the file alone, folders, walks, points and signals.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import ganzoo
from ganzoo.components.loading import zoo
from ganzoo.components.registry import Component
from ganzoo.contracts import Dataset, Generator, Spec
from ganzoo.errors import BadOption, UsageError
from ganzoo.generate.sampling import LoadedGenerator

Run = Callable[..., str]
MAIN = "from ganzoo.cli import main; main()"


# Pictures from a trained generator.


def test_generate_gives_the_same_bytes_twice_and_from_the_file_alone(
    tmp_path: Path, ran: Run, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(2):
        ran("generate", trained, "--count", 64, "--seed", 1, "--out", tmp_path / f"{i}.png")
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(trained / "generator.safetensors", alone / "copy.safetensors")
    monkeypatch.chdir(alone)
    text = ran("generate", "copy.safetensors", "--count", 64, "--seed", 1, "--out", "grid.png")
    assert text == "grid.png  (64 samples, seed 1)\n"
    assert (
        (alone / "grid.png").read_bytes()
        == (tmp_path / "0.png").read_bytes()
        == (tmp_path / "1.png").read_bytes()
    )
    assert sorted(p.name for p in alone.iterdir()) == ["copy.safetensors", "grid.png"]
    ran("generate", "copy.safetensors", "--count", 64, "--seed", 2, "--out", "other.png")
    assert (alone / "grid.png").read_bytes() != (alone / "other.png").read_bytes()


def test_the_seed_is_fixed_unless_given_and_said(tmp_path: Path, ran: Run, trained: Path) -> None:
    text = ran("generate", trained, "--count", 1, "--out", tmp_path / "a.png")
    assert text == f"{tmp_path / 'a.png'}  (1 sample, seed 0)\n"
    ran("generate", trained, "--count", 1, "--seed", 0, "--out", tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_generate_writes_a_folder_and_a_walk(tmp_path: Path, ran: Run, trained: Path) -> None:
    walk = tmp_path / "deep" / "walk.gif"
    ran(
        "generate",
        trained,
        "--count",
        3,
        "--seed",
        1,
        "--out",
        tmp_path / "many",
        "--interpolate",
        walk,
    )
    names = sorted(p.name for p in (tmp_path / "many").iterdir())
    assert names == ["000000.png", "000001.png", "000002.png"]
    with Image.open(tmp_path / "many" / "000000.png") as image:
        assert (image.size, image.mode) == ((16, 16), "L")
    with Image.open(walk) as gif:
        frames = []
        for i in range(gif.n_frames):
            gif.seek(i)
            frames.append(np.asarray(gif.convert("L"), dtype=np.float32))
    steps = [np.abs(a - b).mean() for a, b in zip(frames, [*frames[1:], frames[0]], strict=True)]
    apart = np.abs(frames[0] - frames[len(frames) // 2]).mean()
    assert len(frames) >= 30 and 0 < max(steps) < apart, (
        "small steps, and the last leads back to the first"
    )
    again = tmp_path / "again.gif"
    ran(
        "generate",
        trained,
        "--count",
        3,
        "--seed",
        1,
        "--out",
        tmp_path / "x.png",
        "--interpolate",
        again,
    )
    assert again.read_bytes() == walk.read_bytes()


def tones(*, count: int = 64) -> Dataset:
    """Sine waves of random pitch.

    count: how many
    """
    pitch = torch.rand(count, 1, 1, generator=torch.Generator().manual_seed(0))
    return Dataset(torch.sin(torch.linspace(0, 1, 200) * pitch * 50))


@pytest.mark.parametrize(("data", "shape"), [("ring", (2,)), ("tones", (1, 200))])
def test_points_and_signals_go_all_the_way(
    data: str,
    shape: tuple[int, ...],
    tmp_path: Path,
    ran: Run,
    small: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry = zoo().registry
    extra = Component("dataset", "tones", tones, "tones", "ganzoo-tones", "1.0")
    monkeypatch.setattr(registry, "_all", [*registry._all, extra])
    flags = ("--gen", "mlp", *small, "--set", "data.resolution=auto")
    ran("train", "--data", data, *flags, "--out", tmp_path / "runs")
    (folder,) = (tmp_path / "runs").iterdir()
    assert (folder / "real.png").is_file() and (folder / "samples/000000256.png").is_file()
    flags = ("--seed", 1, "--count", 5)
    ran(
        "generate", folder, *flags, "--out", tmp_path / "a.png", "--interpolate", tmp_path / "a.gif"
    )
    ran("generate", folder, *flags, "--out", tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    ran("generate", folder, *flags, "--out", tmp_path / "numbers")
    assert load_file(tmp_path / "numbers" / "samples.safetensors")["samples"].shape == (5, *shape)


class Noisy(Generator):
    """Its latents, and beside them noise that is drawn anew each time."""

    def forward(self, latents: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        noise = torch.randn(len(latents), 3)
        return torch.cat([latents, noise], 1)


def test_what_a_net_draws_by_chance_stays_the_same_along_a_walk() -> None:
    spec = Spec((5,))
    header = SimpleNamespace(spec=lambda: spec)
    net = Noisy(spec, latent_dim=2)
    walk = LoadedGenerator(net, header).walk(3, 4, seed=7)  # type: ignore[arg-type]
    assert walk.shape == (12, 5)
    torch.testing.assert_close(walk[:, 2:], walk[:1, 2:].expand(12, 3))
    corners = torch.randn(3, 2, generator=torch.Generator().manual_seed(7))
    torch.testing.assert_close(walk[::4, :2], corners)
    half = (corners + corners.roll(-1, 0)) * 0.5**0.5
    torch.testing.assert_close(walk[2::4, :2], half)


def test_a_label_that_the_generator_has_is_drawn_and_another_refused(trained: Path) -> None:
    loaded = ganzoo.load(trained)
    last = loaded.spec.classes - 1
    drawn = [loaded.sample(2, seed=1, label=label) for label in (0, last, None)]
    assert not torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[1], drawn[2])
    with pytest.raises(UsageError, match=f"has classes 0 to {last}"):
        loaded.sample(2, label=last + 1)


def test_options_of_sampling_are_those_that_the_generator_lists() -> None:
    net = Noisy(Spec((5,)), latent_dim=2)
    header = SimpleNamespace(component="noisy", spec=lambda: net.spec)
    loaded = LoadedGenerator(net, header)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"noisy has no such option of sampling; it takes none$"):
        loaded.sampling_options({"cut": 1})
    net.sampling = {"cut": float, "seed": int}  # type: ignore[misc]
    assert loaded.sampling_options({"cut": "0.5", "seed": None}) == {"cut": 0.5}
    with pytest.raises(UsageError, match=r"it takes cut, seed$") as caught:
        loaded.sampling_options({"psi": 1})
    assert (caught.value.key, caught.value.value) == ("psi", 1)
    with pytest.raises(BadOption) as bad:
        loaded.sampling_options({"cut": "deep"})
    assert (bad.value.section, bad.value.key, bad.value.value) == ("", "cut", "deep")
