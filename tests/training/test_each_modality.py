"""Trainings on videos, tokens, tables and signals: pictures, resumes, generator files, samples in
the form of the data, and the helpers by which nets choose symbols.
"""

import csv
import io
import json
import wave

import numpy as np
import pytest
import recorded
import torch
from one_graph import check_one_graph
from PIL import Image
from test_resume import check_equal

import ganzoo
from ganzoo import config as configuration
from ganzoo import nn as layers
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.components.registry import Component, Registry
from ganzoo.contracts import MODALITIES, Column, Dataset, Spec
from ganzoo.data import from_torch
from ganzoo.engine import capture
from ganzoo.errors import BadFile
from ganzoo.generate import generator_file, pictures, sounds
from ganzoo.io import checkpoints as checkpoint
from ganzoo.training.loop import Interrupted, Training

COUNT = 48
PARTS = {
    "gen": {"name": "mlp", "width": 8, "depth": 2, "latent_dim": 4},
    "disc": {"name": "mlp", "width": 8, "depth": 2},
    "loss": {"name": "rpgan"},
    "reg": {"r1": {}},
    "train": {"batch_size": 8, "images": 48, "device": "cpu", "engine": "eager"},
    "samples": {"images": 24, "count": 9},
    "checkpoint": {"images": 0, "minutes": 0},
}


def made(folder, modality):
    """(path of data of a modality, options of the data)."""
    chance = np.random.default_rng(0)
    if modality == "video":
        np.save(folder / "v.npy", chance.integers(0, 256, (COUNT, 1, 3, 8, 8), np.uint8))
        return folder / "v.npy", {}
    if modality == "signal":
        np.save(folder / "s.npy", chance.normal(size=(COUNT, 2, 64)).clip(-1, 1))
        return folder / "s.npy", {"rate": 8000}
    if modality == "map":
        np.save(folder / "m.npy", chance.normal(size=(COUNT, 4, 8, 8)).astype(np.float16))
        np.save(folder / "m.labels.npy", np.arange(COUNT) % 3)
        return folder / "m.npy", {}
    if modality == "tokens":
        names = ["".join(chance.choice([*"abc "], 5)) + "x" for _ in range(COUNT)]
        (folder / "t.txt").write_text("\n".join(names))
        return folder / "t.txt", {}
    rows = [f"{n},{n % 7 * 0.25},{'xyz'[n % 3]},{n % 2}" for n in range(COUNT)]
    (folder / "t.csv").write_text("\n".join(["count,size,sort,kind", *rows]))
    return folder / "t.csv", {"label": "kind"}


NEW = ("video", "signal", "tokens", "table", "map")


@pytest.fixture(scope="module", params=NEW)
def run(request, tmp_path_factory):
    """(modality, run folder, the configuration, the state after the training)."""
    folder = tmp_path_factory.mktemp(request.param)
    path, options = made(folder, request.param)
    tree = configuration.merge(configuration.defaults(), PARTS)
    tree = configuration.merge(tree, {"data": {"name": str(path), **options}})
    config = configuration.check(tree)
    training = Training(assemble(config, zoo().registry), folder / "run")
    (folder / "run").mkdir()
    training.run()
    return request.param, folder / "run", config, training.state_dict()


def test_a_training_resumes_as_if_never_stopped(run, tmp_path):
    modality, _, config, whole = run
    training = Training(assemble(config, zoo().registry), tmp_path)
    assert training.pipeline.spec.modality == modality

    def tick(images):
        training.stop = 15 if images >= 24 else None

    training.tick = tick
    with pytest.raises(Interrupted):
        training.run()
    training = Training(assemble(config, zoo().registry), tmp_path)
    training.load_state_dict(checkpoint.newest(tmp_path, print)[0])
    training.run()
    check_equal(whole, training.state_dict())


BESIDE = {
    "video": {".png", ".gif"},
    "signal": {".png", ".wav", ".spectrogram.png"},
    "tokens": {".png", ".txt"},
    "table": {".png"},
    "map": {".png"},
}


def test_a_run_shows_its_samples_in_their_own_form(run):
    modality, folder, config, _ = run
    for place, name in ((folder, "real"), (folder / "samples", "000000048")):
        files = {p.name.removeprefix(name): p for p in place.glob(f"{name}*")}
        assert files.keys() == BESIDE[modality]
        with Image.open(files[".png"]) as picture:
            picture.load()
            spec = assemble(config, zoo().registry).spec
            shown = 2000 if modality == "table" else 9
            assert picture.size == pictures.sheet_of(shown, spec)[0]
            assert len(set(picture.convert("L").tobytes())) > 1
    if modality == "video":
        with Image.open(folder / "real.gif") as moving:
            assert moving.n_frames == 3
    if modality == "tokens":
        lines = (folder / "samples" / "000000048.txt").read_text().splitlines()
        assert len(lines) == 9 and set("".join(lines)) <= set("abcx ")
    with Image.open(folder / "progress.gif") as progress:
        assert progress.n_frames > 1


def test_the_generator_file_knows_what_its_samples_mean(run):
    modality, folder, config, _ = run
    loaded = ganzoo.load(folder)
    spec = assemble(config, zoo().registry).spec
    assert loaded.header.format == (2 if modality == "signal" else 4)
    assert loaded.spec.modality == modality
    assert (loaded.spec.shape, loaded.spec.alphabet, loaded.spec.columns) == (
        spec.shape,
        spec.alphabet,
        spec.columns,
    )
    samples = loaded.sample(5, seed=3)
    assert samples.shape == (5, *spec.shape) and samples.isfinite().all()
    if modality == "tokens":
        assert torch.equal(samples.sort(2).values[..., -1], torch.ones(5, spec.shape[0]))


OUT = {"video": "gif", "signal": "wav", "tokens": "txt", "table": "csv", "map": "npy"}


def test_samples_are_written_in_the_form_of_the_data(run, ran, cli, tmp_path):
    modality, folder, _, _ = run
    out = tmp_path / f"o.{OUT[modality]}"
    ran("generate", folder, "--count", 6, "--out", out)
    if modality == "video":
        with Image.open(out) as moving:
            assert moving.n_frames == 3
    elif modality == "signal":
        with wave.open(str(out)) as heard:
            assert (heard.getnchannels(), heard.getframerate()) == (2, 8000)
            assert heard.getnframes() == 6 * (64 + 800)
    elif modality == "tokens":
        assert len(out.read_text().splitlines()) == 6
    elif modality == "map":
        assert np.load(out).shape == (6, 4, 8, 8)
    else:
        rows = list(csv.reader(io.StringIO(out.read_text())))
        assert rows[0] == ["count", "size", "sort"] and len(rows) == 7
        assert all(row[0].lstrip("-").isdigit() and row[2] in "xyz" for row in rows[1:])
    for ending in ("npy", "png"):
        ran("generate", folder, "--count", 6, "--out", tmp_path / f"o.{ending}")
    drawn = np.load(tmp_path / "o.npy")
    assert np.array_equal(drawn, ganzoo.load(folder).sample(6).numpy())
    ran("generate", folder, "--count", 2, "--out", tmp_path / "each")
    assert len(list((tmp_path / "each").iterdir())) == {"video": 2, "signal": 3}.get(modality, 1)
    other = next(e for m, e in OUT.items() if m != modality and e != "csv")
    done = cli("generate", folder, "--out", tmp_path / f"x.{other}")
    assert done.code == 2 and "write .png or .npy" in done.err


def test_what_no_metric_measures_is_said(run, cli):
    modality, folder = run[0], run[1]
    assert not (folder / "scores.jsonl").exists(), "nothing was measured"
    done = cli("evaluate", folder, "--count", 20, "--print-only")
    if modality in ("signal", "map"):
        assert done.code == 0
    else:
        assert done.code == 2 and f"no metric measures {modality} samples by default" in done.err


def test_data_inspect_tells_what_training_would_do(run, ran):
    modality, _, config, _ = run
    options = [f"data.{k}={v}" for k, v in config.data.options.items()]
    given = [word for option in options for word in ("--set", option)]
    found = json.loads(ran("data", "inspect", config.data.name, *given, "--json"))
    assert found["modality"] == modality and found["samples"] == COUNT
    assert found["training"]["notes"]
    said = ran("data", "inspect", config.data.name, *given)
    if modality == "table":
        assert [c["name"] for c in found["columns"]] == ["count", "size", "sort"]
        assert found["columns"][0]["min"] == pytest.approx(0, abs=1e-5)
        assert found["columns"][2]["values"] == {"x": 16, "y": 16, "z": 16}
        assert "whole numbers from" in said and "2: 0 24, 1 24" in said
    if modality == "tokens":
        assert "5: ' abcx'" in said and len(found["examples"]) == 5


def test_inspect_takes_options_of_the_data_alone(run, cli):
    _, _, config, _ = run
    done = cli("data", "inspect", config.data.name, "--set", "gen.width=3")
    assert done.code == 2 and "options of the data" in done.err
    done = cli("data", "inspect", config.data.name, "--set", "data.other=3")
    assert done.code == 2 and "no option 'other'" in done.err


# Nets.

SPECS = (
    Spec((1, 3, 4, 4)),
    Spec((5, 4), alphabet=("", "a", "b", "c")),
    Spec((5,), columns=(Column("n"), Column("c", ("x", "y", "z")), Column("m"))),
)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.modality)
def test_an_update_of_mlp_is_one_graph(spec, tmp_path):
    path, options = made(tmp_path, spec.modality)
    tree = configuration.merge(configuration.defaults(), {**PARTS, "reg": {}})
    tree = configuration.merge(tree, {"data": {"name": str(path), **options}})
    pipeline = assemble(configuration.check(tree), zoo().registry)
    batch = pipeline.dataset.gather(torch.arange(8))._replace(labels=None)
    assert batch.samples.dtype != torch.float32 or spec.modality == "table"
    latents = pipeline.parts.draw_latents(8)
    check_one_graph(pipeline, batch, latents)


def test_mlp_takes_every_modality_and_dcgan_images_alone():
    assert set(MODALITIES) == {"image", "video", "signal", "points", "tokens", "table", "map"}
    for kind in ("generator", "discriminator", "encoder"):
        assert zoo().registry.get(kind, "mlp").load().modalities == MODALITIES
    for kind in ("generator", "discriminator"):
        assert zoo().registry.get(kind, "dcgan").load().modalities == ("image",)


def test_choices_are_hard_and_their_gradient_is_the_softmaxs():
    logits = torch.randn(3, 4, 5, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(3, 4, 5, dtype=torch.float64)
    hard = layers.straight_through(logits)
    assert torch.equal(hard.detach(), torch.nn.functional.one_hot(logits.argmax(2), 5).double())
    (found,) = torch.autograd.grad((hard * weights).sum(), logits)
    (wanted,) = torch.autograd.grad((logits.softmax(2) * weights).sum(), logits)
    assert torch.allclose(found, wanted)


def test_relaxed_choices_follow_the_distribution_of_the_logits():
    torch.manual_seed(0)
    logits = torch.tensor([0.5, 0.3, 0.2]).log().expand(40_000, 3)
    noise = layers.gumbel_noise(logits)
    assert noise.mean().item() == pytest.approx(0.5772, abs=0.02)  # Euler's constant
    cold = layers.relaxed(logits, 1e-3, noise)
    assert torch.allclose(cold.mean(0), torch.tensor([0.5, 0.3, 0.2]), atol=0.015)
    warm = layers.relaxed(logits[:2], 2.0)
    assert torch.allclose(warm, (logits[:2] / 2).softmax(1))
    leaf = torch.zeros(4, requires_grad=True)
    gradient = torch.autograd.gradcheck(
        lambda x: layers.relaxed(x, 0.7), leaf.double().detach().requires_grad_()
    )
    assert gradient
    torch.manual_seed(1)
    first = layers.gumbel_noise(leaf)
    torch.manual_seed(1)
    assert torch.equal(first, layers.gumbel_noise(leaf))


def test_images_are_scaled_and_mirrored_as_before():
    data = Dataset(torch.arange(24, dtype=torch.uint8).view(2, 1, 3, 4))
    batch, _ = data.batch(torch.tensor([1]))
    wanted = torch.arange(12, 24).view(1, 1, 3, 4) / 127.5 - 1
    assert torch.allclose(batch, wanted)


# Generator files of others.

COLUMN = {"name": "n", "values": [], "offset": 0.0, "scale": 1.0, "whole": False}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"alphabet": ["a"] * 5}, "symbols make"),
        ({"alphabet": ["", "a"], "shape": [3, 3]}, "2 symbols make"),
        ({"alphabet": ["a", "a"], "shape": [3, 2]}, "stands twice"),
        ({"alphabet": [str(i) for i in range(5000)], "shape": [3, 5000]}, "at most 4096"),
        ({"alphabet": ["x" * 201, ""], "shape": [3, 2]}, "at most 200"),
        ({"columns": [COLUMN], "shape": [2]}, "columns of 1 numbers"),
        ({"columns": [COLUMN | {"scale": float("inf")}], "shape": [1]}, "finite"),
        ({"columns": [COLUMN | {"more": 1}], "shape": [1]}, "Extra"),
        ({"columns": [COLUMN] * 2000, "shape": [2000]}, "at most 1024"),
        ({"shape": [1, 1, 1, 1, 1]}, "at most 4"),
        ({"format": 2, "shape": [1, 1, 1, 1]}, "does not fit"),
    ],
)
def test_meanings_that_cannot_be_are_refused(change, says):
    header = {
        "format": 4,
        "component": "mlp",
        "plugin": "vanilla",
        "distribution": "ganzoo",
        "version": "1",
        "shape": [2],
        "classes": 0,
        "class_names": [],
        "options": {},
        "training": {},
        "scores": {},
    }
    with pytest.raises(ValueError, match=says):
        generator_file.Header.model_validate(header | change)


def test_symbols_and_names_of_a_file_are_cleaned(run, tmp_path):
    modality, folder, _, _ = run
    loaded = ganzoo.load(folder)
    values = loaded.header.model_dump()
    if modality == "tokens":
        values["alphabet"][1] = "\x1b[2J"
    if modality == "table":
        values["columns"][0]["name"] = "\x1b[2J"
    spec = generator_file.Header.model_validate(values).spec()
    assert "\x1b" not in "".join([*spec.alphabet, *(column.name for column in spec.columns)])
    path = tmp_path / "g.safetensors"
    header = loaded.header.model_copy(update={"format": 9})
    path.write_bytes(generator_file.generator_bytes(header, loaded.net.state_dict()))
    with pytest.raises(BadFile, match="this ganzoo reads 2 to 5"):
        ganzoo.load(path)


# Sounds.


def test_a_sound_holds_the_signals_and_pauses():
    signals = torch.stack([torch.full((1, 10), 0.5), torch.full((1, 10), -1.0)])
    with wave.open(io.BytesIO(sounds.wav_of(signals, 100))) as heard:
        numbers = np.frombuffer(heard.readframes(heard.getnframes()), "<i2")
        assert heard.getframerate() == 100 and heard.getsampwidth() == 2
    assert numbers.tolist() == [16384] * 10 + [0] * 10 + [-32767] * 10 + [0] * 10
    loud = sounds.wav_of(4 * signals, 100)
    with wave.open(io.BytesIO(loud)) as heard:
        numbers = np.frombuffer(heard.readframes(40), "<i2")
    assert abs(numbers).max() == 32767 and numbers[0] == 16384


def test_a_tone_is_a_line_in_its_spectrogram():
    time = torch.arange(4096)
    tones = torch.stack([(torch.pi * f * time).sin() for f in (0.25, 0.75)])[:, None]
    picture = np.asarray(sounds.spectrograms(tones))
    assert picture.shape[1] == 1024 and picture.dtype == np.uint8
    upper, lower = picture[: sounds.ROW], picture[sounds.ROW + 2 : 2 * sounds.ROW + 2]
    for rows, frequency in ((upper, 0.25), (lower, 0.75)):
        brightest = rows[:, 512].argmax()
        assert abs(1 - brightest / (sounds.ROW - 1) - frequency) < 0.02
    assert sounds.spectrograms(torch.zeros(2, 1, 31)) is None


def test_the_rate_is_what_the_data_say_if_it_can_be():
    assert sounds.rate_of({"rate": 8000}) == 8000
    for wrong in ({}, {"rate": "8000"}, {"rate": 0}, {"rate": 1 << 40}, {"rate": True}):
        assert sounds.rate_of(wrong) == 16_000


class Rows:
    """Samples of a data set as a data set of PyTorch's kind has them."""

    def __init__(self, data):
        self.data = data

    def __len__(self):
        return len(self.data)

    def __getitem__(self, place):
        sample = self.data.samples[place]
        return sample if self.data.labels is None else (sample, int(self.data.labels[place]))


def ended(config, registry, **data):
    """The weights after a training on a run's data or on others, and the training."""
    short = {"train": {"images": 24}}
    tree = configuration.merge(config.tree(), short | {"data": data})
    if "name" in data:
        tree = configuration.merge(configuration.defaults(), PARTS)
        tree = configuration.merge(tree, short | {"data": data})
    training = Training(assemble(configuration.check(tree), registry))
    training.run()
    parts = training.pipeline.parts
    both = (*parts.generator.parameters(), *parts.discriminator.parameters())
    return torch.cat([p.detach().flatten() for p in both]), training


def test_streamed_and_lazy_samples_train_as_those_in_memory(run):
    """The same batches: from memory, sent ahead of need, and read one by one."""
    _, _, config, _ = run
    registry = zoo().registry
    wanted, training = ended(config, registry)
    data = training.pipeline.dataset
    streamed, sent = ended(config, registry, resident="host")
    assert training.feed.resident and not sent.feed.resident
    assert torch.equal(streamed, wanted)
    lazily = from_torch(
        Rows(data),
        classes=data.classes,
        alphabet=data.alphabet,
        columns=data.columns,
        unbounded=data.unbounded,
    )
    assert lazily.spec == data.spec
    own = Component("dataset", "lazily", lambda: lazily, "tests", "tests", "0")
    read, _ = ended(config, Registry([*registry.components(), own]), name="lazily")
    assert torch.equal(read, wanted)


def test_recorded_updates_take_every_modality(run, monkeypatch):
    """By a stand-in for CUDA graphs that runs on the CPU."""
    _, _, config, _ = run
    monkeypatch.setattr(capture, "cuda", recorded.Cuda())
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    back = lambda self, random_state: torch.set_rng_state(random_state)  # noqa: E731
    monkeypatch.setattr(capture.Recorder, "_forget_recording", back)
    tree = configuration.merge(config.tree(), {"train": {"images": 24}})
    built = assemble(configuration.check(tree), zoo().registry)
    built.engine = "captured"
    told = []
    training = Training(built, tell=told.append)
    training.run()
    assert training.engine.mode == "captured", told
    assert training.gallery.samples().isfinite().all()
