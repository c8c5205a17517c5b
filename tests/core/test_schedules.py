"""Numbers that move: the way between two numbers, options of parts and optimizers, warm-up, lazy
rates, the average; what cannot move is one line.
"""

import math

import fitting
import pytest
import torch

from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.config.schedules import Schedule, is_schedule
from ganzoo.engine.losses import losses
from ganzoo.errors import Incompatible, UsageError
from ganzoo.generate.generator_file import make_header
from ganzoo.training.loop import Training

REGISTRY = zoo().registry
TINY = {
    "data": {"resolution": 8},
    "gen": {"width": 8},
    "disc": {"width": 8, "norm": "none"},
    "train": {"images": 8 * 12, "batch_size": 8, "device": "cpu"},
    "log": {"images": 16},
    "average": {"half_life": 100},
}
FREE = ("loss", "regularizer")  # kinds whose parts fit what `fitting` chooses for them


def pipeline(*layers, engine="eager"):
    tree = configuration.defaults()
    for layer in (TINY, *layers):
        tree = configuration.merge(tree, layer)
    built = assemble(configuration.check(tree), REGISTRY)
    built.engine = engine
    return built


def table(first, last, **more):
    return {"from": first, "to": last, **more}


def test_a_way_has_a_shape_a_length_and_a_start():
    def at(images, **more):
        return Schedule.model_validate(table(8.0, 2.0, **more)).at(images, 1000)

    assert [at(i) for i in (0, 250, 1000, 2000)] == pytest.approx([8.0, 6.5, 2.0, 2.0])
    assert [at(i, over="100", after=50) for i in (0, 50, 100, 150, 900)] == [8, 8, 5, 2, 2]
    assert at(500, shape="exponential") == pytest.approx(4.0)
    assert at(250, shape="cosine") == pytest.approx(2 + 6 * (1 + math.cos(math.pi / 4)) / 2)
    assert at(600, after="0.2k") == pytest.approx(5.0), "the rest of the training"
    assert is_schedule(table(1, 2, shape="linear")) and not is_schedule({"to": 1})


def floats(component):
    return [name for name, option in component.options().items() if "float" in option.type]


@pytest.mark.parametrize(
    ("component", "option"),
    [
        pytest.param(c, option, id=f"{c.name}-{option}")
        for kind in FREE
        for c in REGISTRY.components(kind)
        for option in floats(c)
    ],
)
def test_an_option_that_moves_is_the_number_of_its_moment(component, option):
    """The same loss as with that number from the start, and the gradient with it."""
    chosen = (component.name,)
    names = ("nonsat", chosen) if component.kind == "regularizer" else (component.name, ())
    section = "reg" if component.kind == "regularizer" else "loss"
    # a slope of one sample means nothing behind dcgan's batch norm; decoders have few
    drawing = {"pathlen": "mlp", "reconstruct": "fastgan"}.get(component.name, "dcgan")
    base = fitting.layer(REGISTRY, drawing, *names)
    default = component.options()[option].default
    least, most = 0.6 * (default or 1.0), 0.8 * (default or 1.0)
    middle = (least + most) / 2
    found = []
    for value in (table(least, most), middle):
        own = {component.name: {option: value}} if section == "reg" else {option: value}
        torch.manual_seed(0)
        built = pipeline(base, {section: own})
        built.move(48)
        found.append(totals(built))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


def totals(built):
    """Both sides' losses and gradients at one batch."""
    data = built.dataset.gather(torch.arange(8))
    data = data._replace(labels=data.labels if built.spec.classes else None)
    latents = built.parts.draw_latents(8, torch.Generator().manual_seed(1))
    seen = []
    for side in ("discriminator", "generator"):
        torch.manual_seed(2)
        net = built.parts.net(side)
        total, *_ = losses(built.parts, side)(
            data, latents, torch.tensor(0.5), built.parts.due(side, 0)
        )
        total.backward()
        seen += [total.detach(), *(p.grad.clone() for p in net.parameters() if p.grad is not None)]
        for p in (*built.parts.generator.parameters(), *built.parts.discriminator.parameters()):
            p.grad = None
    return seen


def test_compiled_updates_follow_in_one_graph(monkeypatch):
    """Recorded ones do in tests/engine/test_capture.py."""
    graphs, compile_ = [], torch.compile

    def keep(graph, inputs):
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", lambda f, **k: compile_(f, **{**k, "backend": keep}))
    moving = {"loss": {"name": "hinge"}, "reg": {"r1": {"weight": table(10.0, 0.1)}}}
    runs = [Training(pipeline(moving, engine=kind)) for kind in ("eager", "compiled")]
    for run in runs:
        torch.manual_seed(5)
        run.run()
    assert runs[1].engine.mode == "compiled" and len(graphs) == 2, "one a side"
    ends = [run.pipeline.parts.discriminator.state_dict() for run in runs]
    for name, value in ends[0].items():
        torch.testing.assert_close(ends[1][name], value, rtol=1e-3, atol=1e-5)


def test_settings_of_optimizers_move_and_rates_warm_up():
    built = pipeline(
        {
            "optim": {
                "gen": {"lr": table(1e-3, 1e-4), "betas": [0.0, table(0.9, 0.99)], "warmup": 32},
                "disc": {"lr": 3e-4, "schedule": "linear"},
            }
        }
    )
    run, seen = Training(built), []
    original = run.engine.update

    def update(side, *rest):
        group = built.optimizers[side].param_groups[0]
        seen.append((side, float(group["lr"]), group["betas"]))
        return original(side, *rest)

    run.engine.update = update
    run.run()
    drawing = [(rate, betas) for side, rate, betas in seen if side == "generator"]
    for number, (rate, betas) in enumerate(drawing):
        done = 8 * number / 96
        assert rate == pytest.approx((1e-3 - 9e-4 * done) * min((8 * number + 8) / 32, 1))
        assert betas == pytest.approx((0.0, 0.9 + 0.09 * done))
    judging = [rate for side, rate, _ in seen if side == "discriminator"]
    assert judging == pytest.approx([3e-4 * (1 - n / 12) for n in range(12)])


def test_rates_of_lazy_penalties_are_those_of_more_updates():
    """Karras et al. 2020, appendix B: c = k / (k + 1) for the rate, beta^c for the decays."""
    lazy = {"lr": 2e-3, "betas": [0.5, 0.99], "lazy": True}
    built = pipeline({"reg": {"r1": {"every": 16}}, "optim": {"gen": lazy, "disc": lazy}})
    group = built.optimizers["discriminator"].param_groups[0]
    assert group["lr"] == pytest.approx(2e-3 * 16 / 17)
    assert group["betas"] == pytest.approx((0.5 ** (16 / 17), 0.99 ** (16 / 17)))
    assert built.optimizers["generator"].param_groups[0]["lr"] == 2e-3


def test_the_average_moves_by_a_half_life_that_moves():
    built = pipeline({"average": {"half_life": table(10, 1000, shape="exponential"), "ramp": 0}})
    built.move(48)
    assert built.average.half_life == pytest.approx(100)
    assert built.average.keep(8, 8) == pytest.approx(0.5**0.08), "no ramp"


def test_a_generator_file_holds_the_number_of_its_moment():
    built = pipeline()
    config = built.config.tree()
    config["gen"]["slope"] = table(0.2, 0.4)
    built.config = type(built.config).model_validate(config)
    assert make_header(built, 48, {}).options["slope"] == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("layer", "line"),
    [
        ({"reg": {"r1": {"weight": table(10, -1)}}}, "reg.r1.weight"),
        ({"reg": {"r1": {"weight": table(-1, 10)}}}, "reg.r1.weight"),
        ({"reg": {"r1": {"weight": table(10, "x")}}}, "reg.r1.weight.to"),
        ({"reg": {"r1": {"weight": table(10, 1, shape="round")}}}, "'linear', 'cosine'"),
        ({"reg": {"r1": {"weight": table(10, 1, until=3)}}}, "reg.r1.weight.until"),
        ({"reg": {"r1": {"weight": table(10, 0, shape="exponential")}}}, "above zero"),
        ({"reg": {"r1": {"weight": {"to": 3}}}}, "a table with from and to"),
        ({"reg": {"r1": {"wieght": {"to": 3}}}}, "did you mean 'weight'"),
        ({"reg": {"r1": {"every": table(1, 2)}}}, "no number that can move (int)"),
        ({"gen": {"width": table(8, 16)}}, "no number that can move (int)"),
        ({"optim": {"gen": {"name": "sgd", "lr": table(0.1, -0.1)}}}, "optim.gen.lr"),
        ({"average": {"half_life": table(10, -2)}}, "average.half_life"),
        ({"average": {"half_life": table(10, 20, shape="round")}}, "average.half_life"),
        ({"train": {"seed": table(1, 2)}}, "train.seed"),
        ({"optim": {"gen": {"betas": [0.5, table(0.9, 1)], "lazy": True}}}, "optim.gen"),
    ],
    ids=str,
)
def test_what_cannot_move_is_one_line(layer, line):
    with pytest.raises(UsageError) as error:
        pipeline(layer)
    assert line in error.value.line() and "\n" not in error.value.line()


def test_a_part_that_keeps_no_such_number_is_named():
    from ganzoo.components.registry import Component, Registry
    from ganzoo.contracts import Regularizer

    class Squared(Regularizer):
        """Keeps the square of what it is given."""

        def __init__(self, *, strength: float = 1.0):
            super().__init__()
            self.square = strength**2

    registry = Registry(
        [
            *REGISTRY.components(),
            Component("regularizer", "squared", Squared, "tests", "tests", "0"),
        ]
    )
    tree = configuration.merge(configuration.defaults(), TINY)
    tree = configuration.merge(tree, {"reg": {"squared": {"strength": table(1, 2)}}})
    with pytest.raises(Incompatible, match="keeps no such number"):
        assemble(configuration.check(tree), registry)


def test_a_weight_that_chooses_itself_is_the_rules_and_is_said():
    built = pipeline({"reg": {"r1": {"weight": "auto"}, "r2": {"weight": "auto"}}})
    assert built.parts.regularizers["r1"].weight == pytest.approx(2e-4 * 64 / 8)
    assert built.config.reg["r2"]["weight"] == pytest.approx(2e-4 * 64 / 8), "a run keeps it"
    (note,) = (note for note in built.notes if note.startswith("reg.r1.weight"))
    assert "0.0002 x 8 x 8 pixels / batch of 8" in note
    points = {"data": {"name": "ring"}, "gen": {"name": "mlp"}, "disc": {"name": "mlp"}}
    tree = configuration.merge(configuration.defaults(), points)
    for layer in ({"reg": {"r1": {"weight": "auto"}}}, {"reg": {"gp": {"weight": "auto"}}}):
        with pytest.raises(UsageError, match="give a number"):
            assemble(configuration.check(configuration.merge(tree, layer)), REGISTRY)
