"""r1 and r2 tuned: each limit by figures just beyond it and just short of it, counting by hand,
and trainings that go on, are compiled and recorded as any other.
"""

import copy

import pytest
import torch
from ganzoo_plugins.penalties import tuning
from one_graph import check_one_graph
from recorded import check_close

from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.doctor.balance import shares
from ganzoo.doctor.case import Case
from ganzoo.engine.losses import Parts
from ganzoo.errors import BadOption
from ganzoo.spec import Batch
from ganzoo.training.loop import Training

REGISTRY = zoo().registry


def step(rank, apart, held):
    return tuning.step(*(torch.tensor(float(one)) for one in (rank, apart, held))).item()


@pytest.mark.parametrize(
    ("what", "signs", "wanted"),
    [
        ("well", (0.8, 2.0, 0.1), 1.0),
        ("equilibrium, where a penalty outweighs a small distance", (0.55, 0.01, 0.02), 1.0),
        ("ahead, and nothing holds", (0.96, 4.0, 0.02), 4.0),
        ("ahead, tenfold at most", (0.96, 4.0, 1e-6), 10.0),
        ("not quite ahead", (0.94, 4.0, 1e-6), 1.0),
        ("ahead by little", (0.96, 0.99, 1e-6), 1.0),
        ("ahead, and the penalty holds", (0.96, 4.0, 0.081), 1.0),
        ("flat and right", (0.71, 0.02, 0.01), 0.4),
        ("flat and misled", (0.29, -0.02, 0.01), 0.4),
        ("flat, a tenth at least", (1.0, 1e-4, 1e-4), 0.1),
        ("flat, not told apart", (0.69, 0.02, 0.01), 1.0),
        ("flat, not by the penalty", (0.71, 0.02, 0.0019), 1.0),
        ("not quite flat", (0.71, 0.051, 0.03), 1.0),
        ("heavy", (0.6, 0.3, 1.0), 0.5),
        ("heavy, a tenth at least", (0.1, -0.3, 100.0), 0.1),
        ("heavy against large logits", (0.6, 4.0, 4.0), 0.5),
        ("not quite heavy", (0.6, 0.3, 0.49), 1.0),
        ("both heavy and flat", (1.0, 0.04, 1.0), 0.5),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_move_is_what_the_signs_say(what, signs, wanted):
    assert step(*signs) == pytest.approx(wanted, rel=1e-5)


def test_pairs_and_passes_are_counted_by_hand():
    part = tuning.Tuning().double()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        batches = [(4 + 2 * torch.rand(96).double(), torch.rand(96).double()) for _ in range(3)]
    batches[0][0][:2] = -1.0  # judged wrongly
    held = torch.tensor([0.01, 0.02, 0.03]).double()
    for number, ((real, fake), weighted) in enumerate(zip(batches, held, strict=True)):
        assert part.factor == 1 and part.pairs == 96 * number, "only after 256 pairs"
        part.penalised(weighted)
        part.judged(real, fake)
        part.move()
    apart = torch.cat([real - fake for real, fake in batches]).mean()
    wanted = 0.02 * apart / held.mean()
    assert 1 < wanted < 10
    assert part.factor.item() == pytest.approx(wanted.item(), rel=1e-9)
    assert all(part.get_buffer(name) == 0 for name in tuning.SUMS), "and counts anew"


def test_only_penalties_that_are_tuned_have_a_state():
    for name in ("r1", "r2"):
        plain, tuned = (REGISTRY.create("regularizer", name, tune=tune) for tune in (False, True))
        assert not list(plain.buffers()) and plain.shown() == {}
        tuned.tuning.factor.fill_(0.5)
        assert tuned.shown()["weight"] == 5.0 == tuned.scale(0.0)
    lazy = REGISTRY.create("regularizer", "r1", tune=True, every=4, weight=2.0)
    assert lazy.scale(0.0) == 8.0 and lazy.shown()["weight"] == 2.0


def test_a_weight_of_nothing_is_refused(cli):
    with pytest.raises(BadOption, match="a weight of 0 stays 0"):
        REGISTRY.create("regularizer", "r1", tune=True, weight=0.0)
    REGISTRY.create("regularizer", "r1", weight=0.0)
    done = cli("train", "--reg", "r1", "--set", "reg.r1.tune=true", "--set", "reg.r1.weight=0")
    assert done.code == 2 and done.err.count("\n") == 1, done.err
    assert "weight" in done.err and "a weight of 0 stays 0" in done.err


# Trainings, in which the weight is so high that it moves within a few updates.

TINY = {
    "data": {"name": "digits", "resolution": 8},
    "gen": {"name": "dcgan", "width": 4},
    "disc": {"width": 4, "norm": "none"},
    "loss": {"name": "rpgan"},
    "reg": {"r1": {"weight": 1e4, "tune": True}, "r2": {"weight": 1e4, "tune": True, "every": 2}},
    "optim": {"gen": {"eps": 1e-4}, "disc": {"eps": 1e-4}},
    "train": {"images": 10 * 64, "batch_size": 64, "device": "cpu", "precision": "fp32"},
    "log": {"images": 64},
}


def training(engine="eager", **more):
    tree = configuration.merge(configuration.merge(configuration.defaults(), TINY), more)
    pipeline = assemble(configuration.check(tree), REGISTRY)
    pipeline.engine = engine
    return Training(pipeline)


def test_a_resumed_run_is_equal_bit_for_bit():
    whole = training()
    whole.goal = 6 * 64
    whole.run()
    saved = copy.deepcopy(whole.state_dict())
    assert saved["parts"]["reg.r1:tuning.factor"] < 1, "it moved"
    assert saved["parts"]["reg.r1:tuning.pairs"] == 2 * 64, "and is in the midst of counting"
    whole.goal = 10 * 64
    whole.run()
    resumed = training()
    resumed.load_state_dict(saved)
    resumed.run()
    end, other = whole.state_dict(), resumed.state_dict()
    moved = end["parts"]["reg.r1:tuning.factor"]
    assert moved != saved["parts"]["reg.r1:tuning.factor"]
    for group, content in end.items():
        for key, value in content.items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(value, other[group][key]), f"{group}: {key}"


def test_captured_trains_as_eager(cuda):
    eager, captured = (training(engine) for engine in ("eager", "captured"))
    for run in (eager, captured):
        torch.manual_seed(5)
        run.run()
    assert captured.engine.mode == "captured" and cuda.recordings
    assert eager.state_dict()["parts"]["reg.r1:tuning.factor"] < 1
    check_close(eager.state_dict(), captured.state_dict())


@pytest.mark.parametrize("way", ["double_backward", "forward_over_reverse"])
def test_it_compiles_as_one_graph(way):
    run = training()
    parts: Parts = run.pipeline.parts
    parts.differentiation = way
    for regularizer in parts.regularizers.values():
        regularizer.tuning.factor.fill_(0.01)
    batch = run.feed.next()
    latents = parts.draw_latents(64)
    check_one_graph(run.pipeline, Batch(*batch), latents, sides=("discriminator",))
    assert parts.regularizers["r1"].tuning.pairs == 64
    assert parts.regularizers["r1"].tuning.weighted > 0


def test_the_log_shows_the_weight_and_the_doctor_reads_it():
    lines = []

    class Log:
        def log(self, line):
            lines.append(line)

        def __getattr__(self, name):
            return lambda *given: None

    run = training()
    run.listeners.append(Log())
    run.run()
    weights = [line["discriminator"]["r1.weight"] for line in lines]
    assert weights[0] == 1e4 and weights[-1] < 1e4
    assert "r1.weight" not in lines[0]["generator"]
    figures = {"discriminator.r1": 2.0, "discriminator.adversarial": 1.0}
    told = [{**figures, "discriminator.r1.weight": 0.5}, figures]
    case = Case({"reg.r1.weight": 4.0}, 0, 1, told, [])
    assert shares(case, "r1") == pytest.approx([0.5, 8 / 9]), "else by the setting"


def test_it_holds_back_what_would_die():
    """Weights a million times too high, of nets that learn in seconds: see benchmarks/tuned.py."""
    ends = {}
    for tune in (False, True):
        reg = {name: {"weight": 1e5, "tune": tune, "every": 1} for name in ("r1", "r2")}
        run = training(reg=reg, train={"images": 40 * 64})
        run.run()
        ends[tune] = float(run.pipeline.parts.regularizers["r1"].scale(1.0))
    assert ends[False] == 1e5 and ends[True] < 1e3


def test_the_flag_tunes_every_penalty_that_can_be(cli):
    done = cli(
        "train", "--data", "dirac", "--reg", "gp", "--reg", "r2", "--tune-gamma", "--dry-run"
    )
    assert done.code == 0, done.err
    settings = configuration.parse(done.out.encode(), "stdout")
    assert settings["reg"]["r2"]["tune"] is True and "tune" not in settings["reg"]["gp"]


def test_the_flag_says_what_can_be_tuned_where_nothing_is(cli):
    done = cli("train", "--data", "dirac", "--reg", "none", "--tune-gamma", "--dry-run")
    assert done.code == 2 and done.err.count("\n") == 1
    assert "--tune-gamma: no penalty has a weight that can follow; add --reg r1 or --reg r2" in (
        done.err
    )
