"""The generator file of nets whose weights are computed from others."""

import json
import random

import pytest
import torch
from hostile import opened, two_runs, written
from PIL import Image

import ganzoo
from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.errors import BadFile
from ganzoo.generate.generator_file import generator_writer
from ganzoo.training.loop import Training

SMALL = {
    "train": {"images": 64, "batch_size": 16, "device": "cpu", "engine": "eager"},
    "samples": {"count": 4},
    "checkpoint": {"images": 16},
    "disc": {"width": 4},
    "data": {"resolution": 8},
    "reg": {"sn": {"side": "both"}},
}


@pytest.mark.parametrize("name", ["mlp", "dcgan"])
def test_spectral_norm_on_the_generator_is_saved_again_and_again(tmp_path, name):
    tree = configuration.merge(
        configuration.defaults(), SMALL | {"gen": {"name": name, "width": 4, "latent_dim": 4}}
    )
    training = Training(assemble(configuration.check(tree), zoo().registry), tmp_path)
    training.run()  # writes the file four times, and goes on after each
    loaded = ganzoo.load(tmp_path / "generator.safetensors")
    assert torch.equal(
        loaded.sample(5, seed=1),
        ganzoo.generate.sampling.sample(training.pipeline.average.net, 5, 1, spec=loaded.spec),
    )
    assert not any("parametrizations" in key for key in loaded.net.state_dict())
    assert any("parametrizations" in key for key in training.pipeline.average.net.state_dict())


@pytest.mark.parametrize("lies", ["the data", "their root"])
def test_a_file_to_be_given_away_names_no_folder_of_this_machine(tmp_path, lies):
    for number in range(20):
        Image.new("L", (8, 8), 10 * number).save(tmp_path / f"{number}.png")
    data = {"name": str(tmp_path)} if lies == "the data" else {"root": str(tmp_path)}
    own = {"gen": {"name": "mlp", "width": 4}, "data": {"resolution": 8, **data}}
    tree = configuration.merge(configuration.defaults(), SMALL | own)
    path = tmp_path / "generator.safetensors"
    generator_writer(assemble(configuration.check(tree), zoo().registry), 0, {})(path)
    assert ganzoo.load(path) and str(tmp_path).encode() not in path.read_bytes()


def meaning(generator):
    """What a generator file says: its header, and its weights."""
    return generator.header, {k: v.tolist() for k, v in generator.net.state_dict().items()}


@pytest.mark.parametrize("flips", [300, pytest.param(1500, marks=pytest.mark.slow)])
def test_a_flipped_bit_anywhere_is_refused_or_changes_nothing(flips, tmp_path):
    source = two_runs() / "mlp" / "generator.safetensors"
    content, said = source.read_bytes(), meaning(ganzoo.load(source))
    start = 8 + int.from_bytes(content[:8], "little")
    chance = random.Random(0)
    accepted = 0
    for n in range(flips):
        damaged = bytearray(content)
        place = chance.randrange(start if n % 3 else len(content))  # most of them in the header
        damaged[place] ^= 1 << chance.randrange(8)
        (tmp_path / "generator.safetensors").write_bytes(damaged)
        try:
            found = ganzoo.load(tmp_path / "generator.safetensors")
        except BadFile:
            continue
        accepted += 1
        assert meaning(found) == said, f"{content[place - 20 : place + 20]} at {place}"
    assert accepted < flips / 100  # another way to write the same, as in 1e5 and 1E5


def test_a_damaged_name_is_not_offered_to_be_installed(tmp_path):
    content = (two_runs() / "mlp" / "generator.safetensors").read_bytes()
    changed = content.replace(b'distribution\\":\\"ganzoo', b'distribution\\":\\"gamzoo')
    assert changed != content
    (tmp_path / "generator.safetensors").write_bytes(changed)
    with pytest.raises(BadFile, match="damaged") as caught:
        ganzoo.load(tmp_path / "generator.safetensors")
    assert "pip" not in str(caught.value)


def test_the_header_counts_by_its_meaning(tmp_path):
    fields, header, weights = opened(two_runs() / "mlp" / "generator.safetensors")
    fields["__metadata__"]["ganzoo"] = json.dumps(header, indent=3, sort_keys=True)
    ganzoo.load(written(tmp_path / "other.safetensors", fields, weights))
    fields["__metadata__"]["ganzoo"] = json.dumps(header | {"scores": {"fid": 1.0}})
    with pytest.raises(BadFile, match="damaged"):
        ganzoo.load(written(tmp_path / "other.safetensors", fields, weights))


def test_a_flipped_bit_in_the_weights_is_found(trained, tmp_path):
    content = (trained / "generator.safetensors").read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    for place in random.Random(0).sample(range(start, len(content)), 50):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        (tmp_path / "generator.safetensors").write_bytes(damaged)
        with pytest.raises(BadFile, match="damaged"):
            ganzoo.load(tmp_path / "generator.safetensors")
    ganzoo.load(trained / "generator.safetensors")
