"""Parts that cannot train together are one line that names the flag and the way out."""

import pytest

LINES = {
    "--gen dcgan --reg acgan --set gen.labels=false": (
        "--reg acgan: needs a generator with the trait 'conditional', which dcgan has not; set: "
        "--set gen.labels=true"
    ),
    "--gen mlp --loss multihinge": (
        "--loss multihinge: needs a generator with the trait 'conditional', which mlp has not; "
        "use one of"
    ),
    "--gen mlp --loss began": (
        "--loss began: needs a discriminator with the trait 'reconstruct', which mlp has not; use "
        "one of autoencoder"
    ),
    "--gen mlp --disc autoencoder --reg featmatch": (
        "--reg featmatch: needs a discriminator that defines `features`, and MLPAutoencoder does"
    ),
    "--gen mlp --data ring --reg bcr": "--reg bcr: mirrors and moves images, and these are points",
    "--gen dcgan --reg pathlen": (
        "--reg pathlen: takes the slope of single samples, and the generator's BatchNorm2d mixes"
    ),
    "--gen mlp --set disc.classify=true": "--disc mlp: there are no classes to tell apart",
    "--gen mlp --reg topk --set reg.topk.least=0": "--set reg.topk.least=0",
    "--gen mlp --reg mode-seeking --batch-size 1": (
        "--batch-size 1: mode-seeking compares the samples of a batch; take at least 2"
    ),
}


@pytest.mark.parametrize("flags", LINES)
def test_it_is_one_line(flags, cli, tmp_path):
    done = cli("train", *flags.split(), "--images", "64", "--out", tmp_path)
    (line,) = [line for line in done.err.splitlines() if line.startswith("Error: ")]
    assert done.code == 2 and line.startswith(f"Error: {LINES[flags]}"), line
    assert not list(tmp_path.iterdir()), "nothing is written"
