"""Nets that are spread over the ranks train as whole ones of one process do, and their checkpoints
are those of any number of ranks.
"""

import json
import signal

import pytest
from launched import (
    TINY,
    errors_in,
    finished,
    lines,
    only_run,
    saved,
    torchrun,
    wait_for,
)
from ranked import differences, run_ranks
from safetensors.torch import load_file
from test_ranks import PICTURES
from test_ranks import TINY as NETS
from test_ranks_of_parts import ROUNDING, cases
from torch import nn

from ganzoo.config import merge
from ganzoo.distributed.sharding import units

SHARD = {"train": {"shard": True}}
SLOW = {"optim": {"gen": {"lr": 1e-4}, "disc": {"lr": 1e-4}}}  # the penalties are steep here
ADAM = {"optim": {"gen": {"name": "adam", "lr": 0.002}, "disc": {"name": "adam", "lr": 0.002}}}
DIFFERENCES = {"loss": {"name": "rpgan"}, "reg": {"approx-r1": {}, "approx-r2": {}}}
GAT = {
    "gen": {"name": "gat", "width": 64, "depth": 2, "latent_dim": 4},
    "disc": {"name": "gat", "width": 64, "depth": 2},
    "data": {"name": "digits", "resolution": 8},
    "game": {"name": "mng", "levels": 2},
}
STYLEGAN2 = {
    "gen": {"name": "stylegan2", "width": 8, "latent_dim": 8, "mapping": 2},
    "disc": {"name": "stylegan2", "width": 8},
    "data": {"name": "digits", "resolution": 16},
    "loss": {"name": "nonsat"},
}
FEW = {
    "adam": {"loss": {"name": "nonsat"}, **ADAM},
    "differences of logits": DIFFERENCES,
    "batch norm, clipping": {
        "gen": {"norm": "batch"},
        "optim": {"gen": {"clip_norm": 0.01}, "disc": {"clip_value": 0.001}},
    },
    "weights that are read and moved": {"reg": {"l2": {}, "clip": {}, "sn": {}}},
    "a slope's slope": {"loss": {"name": "rpgan"}, "reg": {"r1": {"every": 2}, "r2": {}}},
    "averages of chosen length": {"average": {"snapshots": 32}},
}
MORE = {
    "gat": {**GAT, **DIFFERENCES, **SLOW},
    "stylegan2": {**STYLEGAN2, "reg": {"approx-r1": {}}, **SLOW},
    "stylegan2, r1, pathlen": {**STYLEGAN2, "reg": {"r1": {}, "pathlen": {}}, **SLOW},
    "in parts": {"train": {"accumulate": 2}},
    "at once": {"train": {"updates": "simultaneous"}},
    "several critics": {"train": {"n_critic": 2}},
    "pictures": PICTURES,
}
# What cannot train so, and the words that say why.
REFUSED = {"regularizer unrolled"}


def apart(settings, folder, ranks=2, **how):
    """What differs between one process and ranks that nets are spread over, by name."""
    whole = run_ranks([*settings.values()], 1, folder / "one", **how)
    spread = [merge(each, SHARD) for each in settings.values()]
    parts = run_ranks(spread, ranks, folder / "parts", **how)
    tolerance = ROUNDING if how.get("exact") else 2e-5
    return {
        name: found
        for name, one, other in zip(settings, whole, parts, strict=True)
        if (found := differences(one, other, tolerance))
    }


@pytest.mark.parametrize(
    ("settings", "ranks"),
    [
        pytest.param(FEW, 2, id="few"),
        pytest.param(MORE, 2, id="more", marks=pytest.mark.slow),
        pytest.param(FEW, 4, id="four", marks=pytest.mark.slow),
    ],
)
def test_spread_nets_train_as_whole_ones_do(tmp_path, settings, ranks):
    """In float64, where all but rounding shows."""
    trees = {name: merge(NETS, each) for name, each in settings.items()}
    assert not apart(trees, tmp_path, ranks, exact=True)


@pytest.mark.slow
def test_every_part_trains_alike_in_nets_that_are_spread(tmp_path):
    settings = {name: tree for name, tree in cases().items() if name not in REFUSED}
    assert not apart(settings, tmp_path, timeout=900, exact=True)


def test_units_are_what_is_called_in_lists_and_not_small():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.base = nn.Linear(4, 4)
            self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(4, 4), nn.ReLU()) for _ in "ab")
            self.inner = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
            self.tied = nn.ModuleList([nn.Linear(4, 4)])
            self.tied[0].weight = self.base.weight
            self.scale = nn.ModuleList([nn.BatchNorm1d(1), nn.Linear(64, 64)])

    called = {"base", "blocks.0", "blocks.0.0", "blocks.1.0", "inner.0", "inner", "tied.0"}
    called |= {"scale.0", "scale.1"}
    net = Net()
    assert units(net, called) == ("scale.1",), "what holds less than a hundredth is small"
    net.scale = nn.ModuleList()
    assert units(net, called) == ("blocks.0", "blocks.1.0", "inner.0")


def test_a_rank_keeps_its_part(tmp_path):
    """Of weights and of what Adam keeps of them."""
    tree = merge(NETS, {**ADAM, **SHARD})
    kept = {}
    for ranks in (1, 2):
        run_ranks([tree], ranks, tmp_path / str(ranks))
        kept[ranks] = int((tmp_path / str(ranks) / "0.kept").read_text())
    # counts of steps, and what does not divide, are with the first rank
    assert kept[1] / 2 <= kept[2] < 0.6 * kept[1], kept


def test_a_part_whose_gradient_is_another_one_is_named(tmp_path):
    tree = merge(merge(NETS, SHARD), {"reg": {"noise": {}, "fickle": {}}})
    said = (
        "reg.fickle: cannot train with nets that are spread over ranks: the discriminator's "
        "gradient is another one; leave it out, or set: train.shard = False"
    )
    with pytest.raises(AssertionError) as failed:
        run_ranks([tree], 2, tmp_path)
    assert str(failed.value).count(said) >= 2, "all ranks find it"


STEADY = [f"optim.{role}.schedule=constant" for role in ("gen", "disc")]
STEADY += ["average.half_life=200", "average.ramp=0", "checkpoint.images=320", "log.images=160"]
STEADY += ["train.precision=fp32", "train.shard=true"]
RUN = [*TINY, *(word for each in STEADY for word in ("--set", each))]


def trained(folder, images, *flags, ranks=2):
    """The run that a training ends with."""
    folder.mkdir(exist_ok=True)
    flags = flags or RUN
    code, text = finished(torchrun(folder, *flags, "--images", images, ranks=ranks))
    assert code == 0, text
    return only_run(folder)


def files(run):
    """All tensors of a run's last checkpoint, and of its generator file, by file and name."""
    newest = max((run / "checkpoints").iterdir())
    return {
        f"{path.stem}/{name}": value.float()
        for path in (*newest.glob("*.safetensors"), run / "generator.safetensors")
        for name, value in load_file(path).items()
    }


@pytest.mark.slow
def test_checkpoints_are_those_of_any_number_of_ranks(tmp_path):
    whole = files(trained(tmp_path / "whole", 640))
    found = {}
    for before, after in ((2, 2), (2, 1), (1, 2)):
        folder = tmp_path / f"{before}{after}"
        run = trained(folder, 320, ranks=before)
        found[before, after] = files(trained(folder, 640, "--resume", run, ranks=after))
    assert not differences(whole, found[2, 2], 0.0), "bit for bit"
    # The second moments of Adam are of gradients that rounding is amplified in.
    assert not differences(whole, found[2, 1], 1e-4)
    assert not differences(whole, found[1, 2], 1e-4)


@pytest.mark.slow
def test_a_run_of_spread_nets_that_was_stopped_ends_as_one_that_was_not(tmp_path):
    whole = trained(tmp_path / "whole", 1600)
    parts = tmp_path / "parts"
    parts.mkdir()
    process = torchrun(parts, *RUN, "--images", 1600)
    wait_for(lambda: saved(parts))
    process.send_signal(signal.SIGTERM)
    code, text = finished(process, 60)
    assert code != 0 and "continue with: ganzoo train --resume" in text, text
    run = only_run(parts)
    assert max((run / "checkpoints").iterdir()).name < "000001600"
    assert not differences(files(whole), files(trained(parts, 1600, "--resume", run)), 0.0)


SICK = """
from ganzoo.data.loader import Feed
sound, batches = Feed.next, iter(range(10**9))

def sick(feed):
    batch = sound(feed)
    return batch._replace(samples=batch.samples * float("nan" if next(batches) == 50 else 1))

Feed.next = sick
"""


@pytest.mark.slow
def test_spread_nets_go_back_to_a_checkpoint(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(SICK)
    flags = ["--images", 1280, "--set", "train.on_nan=rollback"]
    process = torchrun(tmp_path, *RUN, *flags, PYTHONPATH=str(tmp_path))
    code, text = finished(process)
    assert code == 0 and "went back to 640 images" in text, text
    events = [line for line in lines(only_run(tmp_path)) if line.get("event") == "rollback"]
    assert len(events) == 1


@pytest.mark.slow
def test_pictures_and_scores_are_of_the_averages_of_all_ranks(tmp_path):
    flags = ["--metric", "modes", "--set", "measure.images=320", "--set", "samples.images=160"]
    flags += ["--set", "average.snapshots=320"]
    run = trained(tmp_path / "two", 640, *RUN, *flags)
    one = trained(tmp_path / "one", 640, *RUN, *flags, ranks=1)
    names = [{p.name for p in each.rglob("*") if p.is_file()} for each in (run, one)]
    assert names[0] == names[1]
    for path in (run / "averages").iterdir():
        assert not differences(load_file(path), load_file(one / "averages" / path.name))


@pytest.mark.slow
def test_what_cannot_be_spread_is_refused_before_anything_is_written(tmp_path):
    process = torchrun(tmp_path, *RUN, "--reg", "unrolled", "--images", 64)
    code, text = finished(process)
    assert code != 0
    assert errors_in(text) == 1 and not (tmp_path / "runs").exists(), text
    (line,) = [line for line in text.splitlines() if line.startswith("Error: ")]
    assert "--reg unrolled" in line and "spread over ranks" in line and "train.shard=false" in line


@pytest.mark.slow
def test_a_dry_run_says_what_a_rank_needs(tmp_path):
    flags = [*RUN, "--set", "gen.width=2000", "--images", 64, "--dry-run", "--json"]
    shares = {}
    for ranks in (1, 2):
        process = torchrun(tmp_path, *flags, ranks=ranks)
        code, text = finished(process)
        assert code == 0, text
        shares[ranks] = json.loads(text[text.index("\n{") :])["memory_bytes"]
    for kind in ("gradients", "optimizers"):
        assert shares[2][kind] == pytest.approx(shares[1][kind] / 2, rel=1e-3)
    assert not (tmp_path / "runs").exists()
