"""A resumed training gives the same state, bit for bit, as
one that was never stopped: every recipe, cut once or three times.
"""

import random

import narrow
import pytest
import torch

from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.contracts import Dataset
from ganzoo.engine.optimizer_state import optimizer_state, restore_optimizer
from ganzoo.io import checkpoints as checkpoint
from ganzoo.training import log_file as logbook
from ganzoo.training import run_folder as runs
from ganzoo.training.loop import Interrupted, Training

# But for rungs of the ladder, whose parts are those of others, and whose data may not be here.
RECIPES = [c for c in zoo().registry.components("recipe") if "rung" not in c.recipe()]
BATCH, ITERATIONS = 8, 36
SAMPLES = 80  # digits, so that borders of epochs lie within a training, also of a third as many
# State of every sort: buffers that change, noise, lazy
# penalties, mirrored pictures, a schedule that ends
ALL_AT_ONCE = {
    "gen": {"width": 8},
    "disc": {"width": 8, "norm": "none"},
    "reg": {
        "r1": {"every": 3, "weight": {"from": 10.0, "to": 1.0}},
        "gp": {},
        "noise": {},
        "sn": {"side": "both"},
    },
    "optim": {
        "gen": {"schedule": "cosine", "clip_norm": 1.0},
        "disc": {"name": "rmsprop", "schedule": "linear"},
    },
    "data": {"flip": True},
}


def small(tree):
    """The configuration of a recipe, cut down to what a test can train."""
    tree = configuration.merge(configuration.defaults(), configuration.settings(tree))
    width = {"width": 8}
    critic = tree["train"]["n_critic"]
    small = {
        "gen": width,
        "disc": width,
        "train": {"batch_size": BATCH, "images": BATCH * ITERATIONS},
    }
    if tree["data"]["name"] != "ring":
        small["data"] = {"resolution": 8}
    small |= {
        "average": {"half_life": 100},
        "samples": {"images": 10**6},
        "log": {"images": 80},
    }
    small |= {"checkpoint": {"images": 0, "minutes": 0}}
    iterations = ITERATIONS if tree["gen"]["name"] in narrow.SMALL else ITERATIONS // 3
    small["train"]["images"] = BATCH * critic * (iterations // critic)
    return configuration.check(configuration.merge(tree, small))


def assembled(config):
    """The pipeline of a configuration, on the first of the digits."""
    pipeline = assemble(config, zoo().registry)
    whole = pipeline.dataset
    labels = None if whole.labels is None else whole.labels[:SAMPLES]
    pipeline.dataset = Dataset(whole.samples[:SAMPLES], labels, whole.classes)
    return pipeline


def trained(config, folder, cuts=()):
    """The state after training in `folder`, stopped and resumed
    in a fresh pipeline after so many updates each time.
    """
    folder.mkdir(exist_ok=True)
    training = Training(assembled(config), folder)
    for cut in cuts:

        def stop(images, training=training, cut=cut):
            if training.updates + 1 > cut:
                training.stop = 15

        training.tick = stop
        with pytest.raises(Interrupted):
            training.run()
        torch.manual_seed(random.getrandbits(31))  # whatever the next process would start with
        training = Training(assembled(config), folder)
        state, _ = checkpoint.newest(folder, print)
        training.load_state_dict(state)
        assert training.updates == cut
    training.run()
    return training.state_dict()


def check_equal(one, other):
    assert one.keys() == other.keys()
    for group in one:
        assert one[group].keys() == other[group].keys(), group
        for name, value in one[group].items():
            if name == "seconds":
                continue
            if isinstance(value, torch.Tensor):
                assert torch.equal(value, other[group][name]), f"{group}: {name}"
            else:
                assert value == other[group][name], f"{group}: {name}"


def narrowed(name):
    """The tree of a recipe whose nets are narrow."""
    recipe = zoo().registry.get("recipe", name)
    return configuration.merge(recipe.recipe(), narrow.layer(recipe))


QUICK = ("began", "dcgan", "rpgan-points", None)  # one that keeps something, images, points, all


def case(recipe):
    """By default every net and part is resumed by tests/engine/test_every_part.py."""
    return pytest.param(recipe, marks=[] if recipe in QUICK else [pytest.mark.slow])


@pytest.mark.parametrize("recipe", [*(case(recipe.name) for recipe in RECIPES), case(None)])
def test_resume_is_exact(recipe, tmp_path):
    config = small(narrowed(recipe) if recipe else ALL_AT_ONCE)
    whole = trained(config, tmp_path / "whole")
    updates = whole["counters"]["updates"]
    count = 3 if recipe in QUICK else 1
    cuts = sorted(random.Random(recipe).sample(range(1, updates), min(count, updates - 1)))
    check_equal(whole, trained(config, tmp_path / "cut", cuts))


@pytest.mark.parametrize("name", ["adam", "rmsprop"])
def test_optimizer_state_gets_its_parameters_layout(name):
    """One kernel for all parameters pairs numbers by their place
    in memory: a state laid out otherwise goes to other weights.
    """
    build = zoo().registry.get("optimizer", name).load()
    nets = [torch.nn.Conv2d(4, 6, 3).to(memory_format=torch.channels_last) for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    optimizers = [build(list(net.parameters())) for net in nets]
    gradients = [[torch.randn_like(p) for p in nets[0].parameters()] for _ in range(3)]

    def update(net, optimizer, gradient):
        for parameter, value in zip(net.parameters(), gradient, strict=True):
            parameter.grad = value.clone()
        optimizer.step()

    update(nets[0], optimizers[0], gradients[0])
    update(nets[0], optimizers[0], gradients[1])
    flat = optimizer_state(optimizers[0])
    flat = {
        k: v.clone().contiguous() if isinstance(v, torch.Tensor) else v for k, v in flat.items()
    }  # as from a file
    restore_optimizer(optimizers[1], flat)
    nets[1].load_state_dict(nets[0].state_dict())
    for net, optimizer in zip(nets, optimizers, strict=True):
        update(net, optimizer, gradients[2])
    assert torch.equal(nets[0].weight, nets[1].weight)


def test_deterministic_is_asked_of_torch():
    """On a CPU it changes nothing; that a GPU's runs are equal, tests/engine/test_cuda.py holds."""
    import torch._inductor.config as inductor

    config = small({"gen": {"name": "mlp"}})
    train = config.train.model_copy(update={"deterministic": True})
    with inductor.patch(deterministic=False):
        assembled(config)
        assert not torch.are_deterministic_algorithms_enabled()
        try:
            assemble(config.model_copy(update={"train": train}), zoo().registry)
            assert torch.are_deterministic_algorithms_enabled() and inductor.deterministic
        finally:
            torch.use_deterministic_algorithms(False)


def test_extended_run_continues(tmp_path):
    """More images than first asked for: the run goes on from its end and does not begin again."""
    config = small({"gen": {"name": "mlp"}})
    first = trained(config, tmp_path)
    longer = config.model_copy(
        update={"train": config.train.model_copy(update={"images": config.train.images * 2})}
    )
    runs.check_same(config, longer, tmp_path)
    training = Training(assemble(longer, zoo().registry), tmp_path)
    training.load_state_dict(checkpoint.newest(tmp_path, print)[0])
    assert training.images == first["counters"]["images"]
    training.run()
    assert training.images >= longer.train.images


def test_resume_on_another_sort_of_device(tmp_path):
    """A GPU's generators have states of 16 bytes, which mean nothing
    here: new numbers from the seed and the images, and a note.
    """
    config = small({"gen": {"name": "mlp"}, "reg": {"noise": {}}})
    state = trained(config, tmp_path)
    state["streams"] |= {"latents": torch.zeros(16, dtype=torch.uint8)}
    state["streams"] |= {"updates_cuda": torch.zeros(16, dtype=torch.uint8)}
    found, told = [], []
    for images in (48, 48, 96):
        state["counters"]["images"] = images
        torch.manual_seed(random.getrandbits(31))
        training = Training(assemble(config, zoo().registry), tell=told.append)
        before = training.streams.latents.get_state()
        training.load_state_dict(state)
        assert not torch.equal(before, training.streams.latents.get_state())
        found.append(
            torch.cat(
                [
                    training.pipeline.parts.draw_latents(16, training.streams.latents).flatten(),
                    torch.randn(4),
                ]
            )
        )
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])
    assert len(told) == 3 and all("another sort of device" in line for line in told)


def test_log_is_one_story_after_a_crash(tmp_path):
    """Lines written after the checkpoint that a run resumes
    from are dropped, for those updates happen again.
    """
    (tmp_path / "log.jsonl").write_text('{"images": 500}\n{"images": 1500}\n{"images": 17')
    logbook.forget_after(tmp_path, 1000)
    assert (tmp_path / "log.jsonl").read_text() == '{"images": 500}\n'


def test_seed_decides_everything(tmp_path):
    config = small({"gen": {"name": "mlp"}})
    one = trained(config, tmp_path / "one")
    torch.manual_seed(12345)
    check_equal(one, trained(config, tmp_path / "two"))
    other = config.model_copy(update={"train": config.train.model_copy(update={"seed": 1})})
    assert not torch.equal(
        next(iter(one["generator"].values())),
        next(iter(trained(other, tmp_path / "three")["generator"].values())),
    )
