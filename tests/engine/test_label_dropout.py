"""Labels that an option leaves out, all of them or a share in each update."""

import copy

import pytest
import torch

from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.engine.losses import losses
from ganzoo.errors import Incompatible
from ganzoo.generate.generator_file import make_header
from ganzoo.spec import Batch
from ganzoo.training.loop import Training

NETS = {"gen": {"width": 4, "labels": True}, "disc": {"width": 4, "labels": True}}
SMALL = {"data": {"resolution": 8}, "train": {"batch_size": 8, "images": 64, "device": "cpu"}}


def pipeline(*layers):
    tree = configuration.defaults()
    for layer in (NETS, SMALL, *layers):
        tree = configuration.merge(tree, layer)
    return assemble(configuration.check(tree), zoo().registry)


def dropping(share, **sections):
    return pipeline({"train": {"label_dropout": share}}, sections)


def seen(parts, side, batch, seed=0):
    """The labels that each net is told in an update."""
    found, handles = {}, []

    def hook(name):
        return lambda module, args: found.setdefault(name, args[0])

    for name, each in (("gen", parts.generator), ("disc", parts.discriminator)):
        handles.append(each.classes.register_forward_pre_hook(hook(name)))
    torch.manual_seed(seed)
    losses(parts, side)(batch, parts.draw_latents(len(batch.samples)), torch.zeros(()), ())
    for handle in handles:
        handle.remove()
    return found


def test_no_labels_at_all():
    """Nets that could read labels are built as ones that do not."""
    without = pipeline({"train": {"conditional": False}})
    assert without.spec.classes == 0
    for net in (without.parts.generator, without.parts.discriminator):
        assert not net.conditional and not hasattr(net, "classes")
    plain = pipeline({"gen": {"labels": False}, "disc": {"labels": False}})
    assert plain.parts.generator.state_dict().keys() == without.parts.generator.state_dict().keys()


@pytest.mark.parametrize("side", ["discriminator", "generator"])
def test_a_share_of_the_labels_is_another_class_in_both_nets(side):
    parts = dropping(0.25).parts
    assert len(parts.generator.classes.weight) == len(parts.discriminator.classes.weight) == 11
    batch = Batch(torch.rand(400, 1, 8, 8) * 2 - 1, torch.arange(400) % 10)
    found = seen(parts, side, batch)
    assert torch.equal(found["gen"], found["disc"])
    dropped = found["gen"] == 10
    assert 60 <= dropped.sum() <= 140
    assert torch.equal(found["gen"][~dropped], batch.labels[~dropped])
    assert not torch.equal(seen(parts, side, batch, seed=1)["gen"], found["gen"])
    assert torch.equal(seen(parts, side, batch)["gen"], found["gen"])


def test_the_class_has_a_name_and_samples():
    built = dropping(0.1)
    header = make_header(built, 0, {})
    assert built.spec.classes == header.classes == 11
    assert header.class_names == [*map(str, range(10)), "any"]


def test_a_resumed_run_is_equal_bit_for_bit():
    whole = Training(dropping(0.3))
    whole.goal = 32
    whole.run()
    state = copy.deepcopy(whole.state_dict())
    whole.goal = 64
    whole.run()
    resumed = Training(dropping(0.3))
    resumed.load_state_dict(state)
    resumed.run()
    pairs = zip(
        whole.pipeline.parts.generator.parameters(),
        resumed.pipeline.parts.generator.parameters(),
        strict=True,
    )
    assert all(torch.equal(one, other) for one, other in pairs)


def test_it_compiles_as_one_graph():
    parts = dropping(0.5).parts
    function = losses(parts, "generator")
    compiled = torch.compile(function, fullgraph=True, dynamic=False, backend="aot_eager")
    batch = Batch(torch.rand(8, 1, 8, 8) * 2 - 1, torch.arange(8))
    latents, found = parts.draw_latents(8), []
    for run in (function, compiled):
        torch.manual_seed(2)
        found.append(run(batch, latents, torch.zeros(()), ())[0])
    torch.testing.assert_close(*found)


def test_what_has_no_labels_to_drop_is_one_line():
    for off in (
        {"train": {"conditional": False}},
        {"gen": {"labels": False}, "disc": {"labels": False}},
    ):
        with pytest.raises(Incompatible, match=r"train.label_dropout = 0.5: labels are not in use"):
            dropping(0.5, **off)
    with pytest.raises(Incompatible, match="AuxiliaryClassifier tells samples by their class"):
        dropping(0.5, reg={"acgan": {}})
