"""`torchrun ... -m ganzoo generate`: several ranks draw what one process draws, or nothing."""

import pytest
import torch
from launched import errors_in, finished, torchrun

import ganzoo
from ganzoo.generate.sampling import CHUNK, rows_of, sample
from ganzoo.spec import Spec

COUNT = 2 * CHUNK + 88  # three chunks
SPEC = Spec((1, 8, 8), classes=3)


@pytest.mark.parametrize("ranks", [2, 3, 5])
def test_shares_one_after_another_are_what_one_draws(ranks):
    """Of a net that draws noise of its own, and of classes in turn."""
    torch.manual_seed(0)
    net = ganzoo.create("generator", "stylegan2", SPEC, width=4, latent_dim=4)
    for name, weight in net.named_parameters():
        if "noise" in name:
            torch.nn.init.ones_(weight)
    whole = sample(net, COUNT, 7, spec=SPEC)
    shares = [(rank, ranks) for rank in range(ranks)]
    parts = [sample(net, COUNT, 7, spec=SPEC, share=share) for share in shares]
    assert torch.equal(torch.cat(parts), whole)
    assert [len(part) for part in parts] == [len(rows_of(COUNT, SPEC, s)) for s in shares]
    noise = [part for part in whole.split(CHUNK) if len(part) == CHUNK]
    assert not torch.equal(*noise), "chunks are drawn with noise of their own"


def drawn(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def generate(folder, run, *flags, **about):
    flags = [run, "--count", COUNT, "--seed", 3, *flags]
    return finished(torchrun(folder, *flags, command="generate", **about))


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_two_ranks_write_the_files_of_one_process(tmp_path, trained, ran):
    ran("generate", trained, "--count", COUNT, "--seed", 3, "--out", tmp_path / "one")
    code, text = generate(tmp_path, trained, "--out", "two")
    assert code == 0, text
    assert f"two  ({COUNT} samples, seed 3)" in text and text.count("samples, seed 3") == 1
    assert drawn(tmp_path / "two") == drawn(tmp_path / "one")
    ran("generate", trained, "--count", COUNT, "--seed", 3, "--out", tmp_path / "one.npy")
    walk = ("--out", "two.npy", "--interpolate", "walk.gif")
    code, text = generate(tmp_path, trained, *walk, ranks=3)
    assert code == 0, text
    assert (tmp_path / "two.npy").read_bytes() == (tmp_path / "one.npy").read_bytes()
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"one", "two", "one.npy", "two.npy", "walk.gif"}


KILLED = """
import os, signal
if os.environ.get("RANK") == "{victim}":
    from ganzoo.generate import pictures
    sound, calls = pictures.png, iter(range(10**9))

    def deadly(picture):
        if next(calls) == 20:
            os.kill(os.getpid(), signal.SIGKILL)
        return sound(picture)

    pictures.png = deadly
"""


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_rank_that_is_killed_leaves_no_half_of_a_folder(tmp_path, trained, victim):
    (tmp_path / "sitecustomize.py").write_text(KILLED.format(victim=victim))
    code, text = generate(tmp_path, trained, "--out", "drawn", PYTHONPATH=str(tmp_path))
    assert code != 0 and "Signal 9" in text
    left = {path.name for path in tmp_path.iterdir()} - {"sitecustomize.py", "__pycache__"}
    if victim:
        assert errors_in(text) == 1, text
        assert not left
    else:  # which alone could have cleaned up: what is left has another name, and is hidden
        (name,) = left
        assert name.startswith(".drawn.") and name.endswith(".tmp")


WRONG = {
    "a folder with something in it": (["--out", "taken"], "holds files already"),
    "a file in the place of the folder": (["--out", "file"], "is a file"),
    "a class that there is not": (["--label", "33"], "has classes 0 to 9"),
    "no count": (["--seed", "x"], "give a whole number"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(WRONG))
def test_what_is_wrong_is_said_once(tmp_path, trained, name):
    flags, words = WRONG[name]
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "other.txt").touch()
    (tmp_path / "file").touch()
    command = [trained, "--count", COUNT, *flags]
    code, text = finished(torchrun(tmp_path, *command, command="generate"))
    assert code != 0
    assert errors_in(text) == 1 and words in text, text
    assert {path.name for path in tmp_path.iterdir()} == {"taken", "file"}
