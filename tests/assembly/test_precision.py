"""Precision on a CPU: when bf16 is taken, that a
run keeps it, and what stays in float32 under it.
"""

import copy
import json
import tomllib

import pytest
import torch
from torch import nn

from ganzoo import config as configuration
from ganzoo.assembly import assembling as assembly
from ganzoo.assembly import precision_trial as trial
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.contracts import Loss
from ganzoo.engine import devices
from ganzoo.engine.engine import SIDES, only
from ganzoo.engine.losses import losses
from ganzoo.engine.simulation import inputs

NARROW = {"gen": {"width": 8}, "disc": {"width": 8}, "train": {"batch_size": 16, "device": "cpu"}}


def assembled(**sections):
    tree = configuration.merge(configuration.defaults(), NARROW)
    return assemble(configuration.check(configuration.merge(tree, sections)), zoo().registry)


@pytest.fixture
def gain(monkeypatch):
    """`gain(1.5)`: a processor with bf16 on which trials find this."""

    def find(value):
        monkeypatch.setattr(assembly, "computes_in_bf16", lambda: True)
        monkeypatch.setattr(assembly, "settled_gain", lambda *given: value)

    return find


@pytest.mark.parametrize(
    ("found", "precision"), [(1.7, "bf16"), (1.05, "fp32"), (0.4, "fp32"), (0.0, "fp32")]
)
def test_bf16_is_taken_where_a_trial_finds_it_quicker_and_is_said(gain, found, precision):
    gain(found)
    built = assembled()
    assert built.parts.precision == built.config.train.precision == precision
    notes = [note for note in built.notes if note.startswith(f"precision {precision}: ")]
    assert len(notes) == 1
    assert (f"{found:.1f} times" if found else "fail") in notes[0]


@pytest.mark.parametrize(
    "sections",
    [
        {"train": {"precision": "fp32"}},
        {"train": {"deterministic": True}},
        {"gen": {"name": "mlp"}, "disc": {"name": "mlp"}, "data": {"name": "ring"}},
    ],
    ids=["asked for", "deterministic", "points"],
)
def test_no_trial(gain, monkeypatch, sections):
    gain(9.0)
    monkeypatch.setattr(torch, "use_deterministic_algorithms", lambda on: None)
    assert assembled(**sections).parts.precision == "fp32"


def precisions(folder):
    """What a run's description and its newest checkpoint say."""
    newest = max((folder / "checkpoints").iterdir())
    manifest = json.loads((newest / "manifest.json").read_text())
    return (
        tomllib.loads((folder / "run.toml").read_text())["train"]["precision"],
        manifest["config"]["train"]["precision"],
    )


def test_a_run_keeps_its_precision(gain, cli, tmp_path, small):
    gain(2.0)
    done = cli("train", "--reg", "r1", *small, "--out", tmp_path)
    assert done.code == 0, done.err
    (folder,) = tmp_path.iterdir()
    assert precisions(folder) == ("bf16", "bf16")
    gain(0.5)
    done = cli("train", "--resume", folder, "--images", "320")
    assert done.code == 0, done.err
    assert precisions(folder) == ("bf16", "bf16")
    done = cli("train", "--resume", folder, "--images", "384", "--precision", "fp32")
    assert done.code == 0, done.err
    assert precisions(folder)[1] == "fp32"


def test_bf16_without_the_instructions_is_said():
    notes = assembled(train={"precision": "bf16"}).notes
    assert [note for note in notes if "imitates" in note]


def test_finding_out_never_fails(monkeypatch):
    assert devices.computes_in_bf16() in (True, False)
    monkeypatch.setattr(devices.platform, "machine", lambda: "AMD64")
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    assert devices.computes_in_bf16() is False
    monkeypatch.setattr(devices.platform, "machine", lambda: "arm64")
    assert devices.computes_in_bf16() in (True, False)


@pytest.mark.parametrize("reg", [{}, {"gp": {}, "noise": {}}], ids=["none", "gp+noise"])
def test_a_trial_leaves_everything_as_it_was(reg):
    built = assembled(reg=reg)
    before = {s: copy.deepcopy(m.state_dict()) for s, m in built.parts.sections().items()}
    state = torch.get_rng_state()
    found = trial.bf16_gain(built.parts, built.spec, 16, seconds=0.05)
    assert found > 0 and torch.equal(torch.get_rng_state(), state)
    assert built.parts.precision == "fp32"
    for section, module in built.parts.sections().items():
        assert all(p.grad is None for p in module.parameters())
        for name, value in module.state_dict().items():
            assert torch.equal(value, before[section][name])


# What a trial found is remembered.


@pytest.fixture
def trials(monkeypatch, tmp_path):
    """On a processor that is quick in bf16: `trials(1.5)` is what trials find from here on; what
    was tried is listed in `trials.made`.
    """
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(trial, "product_gain", lambda: 2.0)

    def find(value):
        monkeypatch.setattr(trial, "bf16_gain", lambda *given: find.made.append(value) or value)

    find.made = []
    return find


def settled(built, batch=16):
    return trial.settled_gain(built.parts, built.spec, batch)


def test_the_same_command_computes_alike_whatever_a_later_trial_would_find(trials):
    trials(1.6)
    assert settled(assembled()) == 1.6
    trials(0.7)
    assert settled(assembled(train={"seed": 5})) == 1.6 and trials.made == [1.6]


@pytest.mark.parametrize(
    "other",
    [{"reg": {"gp": {}}}, {"gen": {"width": 12}}, {"data": {"resolution": 16}}],
    ids=["penalty", "width", "size"],
)
def test_another_pipeline_is_tried_anew(trials, other):
    trials(1.6)
    settled(assembled())
    trials(0.7)
    assert settled(assembled(**other)) == 0.7
    assert settled(assembled(), batch=32) == 0.7


def test_the_first_of_two_processes_is_believed_by_both(trials, monkeypatch):
    """The other one remembers while this one tries."""
    built = assembled()

    def slow(*given):
        trials(0.0)
        settled(built)
        return 1.6

    monkeypatch.setattr(trial, "bf16_gain", slow)
    assert settled(built) == 0.0 and settled(built) == 0.0


@pytest.mark.parametrize(
    "content", ["", "[]", '{"gain": "x"}', '{"gain": NaN}', '{"gain": -1}', "0" * 5000]
)
def test_a_damaged_memory_is_written_anew(trials, tmp_path, content):
    built = assembled()
    trials(1.6)
    settled(built)
    (file,) = (tmp_path / "cache" / "precision").iterdir()
    file.write_text(content)
    trials(0.7)
    assert settled(built) == settled(built) == 0.7 and trials.made == [1.6, 0.7]
    assert [*file.parent.iterdir()] == [file]


def test_without_a_folder_for_it_nothing_is_remembered(trials, tmp_path):
    built = assembled()
    (tmp_path / "cache").write_text("a file")
    trials(1.6)
    assert settled(built) == 1.6
    trials(0.7)
    assert settled(built) == 0.7


def test_no_trial_where_a_plain_product_is_no_faster(trials, monkeypatch):
    trials(1.6)
    monkeypatch.setattr(trial, "product_gain", lambda: 0.6)
    assert settled(assembled()) == 0.6 and not trials.made


def test_a_plain_product_is_measured_on_one_thread_and_leaves_the_others(monkeypatch):
    before = torch.get_num_threads()
    threads = set()
    real = torch.mm
    monkeypatch.setattr(torch, "mm", lambda *g: (threads.add(torch.get_num_threads()), real(*g)))
    assert 0 < trial.product_gain() < 100
    assert threads == {1} and torch.get_num_threads() == before


class FullOnly(nn.Module):
    def forward(self, x):
        if x.dtype != torch.float32:
            raise RuntimeError("no such kernel")
        return x


class Overflowing(nn.Module):
    def forward(self, x):
        return x * (1.0 if x.dtype == torch.float32 else torch.inf)


@pytest.mark.parametrize("part", [FullOnly(), Overflowing()], ids=["raises", "overflows"])
def test_an_update_that_fails_in_bf16_gains_nothing(part):
    built = assembled()
    built.parts.discriminator.body.append(part)
    assert trial.bf16_gain(built.parts, built.spec, 16, seconds=0.05) == 0


# What stays in float32


def gradient(built, side, precision):
    """The gradient of one update's total, the total and the report."""
    parts = copy.deepcopy(built.parts)
    parts.precision = precision
    torch.manual_seed(1)
    batch, latents = inputs(parts, built.spec, 32)
    batch = batch._replace(samples=torch.rand(32, *built.spec.shape) * 2 - 1)
    torch.manual_seed(2)
    with only(parts.net(side), parts.rival(side)):
        due = parts.due(side, 0)
        given = batch, latents, torch.zeros(()), due
        total, names, report, _ = losses(parts, side)(*given)
        total.backward()
    found = [p.grad for p in parts.net(side).parameters()]
    assert all(g.dtype == torch.float32 for g in found)
    return torch.cat([g.flatten() for g in found]), total, dict(zip(names, report, strict=True))


SLOPES = [("gp",), ("dragan",), ("r1", "r2")]
REGS = [(regs, way) for regs in SLOPES for way in ("double_backward", "forward_over_reverse")]
REGS += [((), "double_backward"), (("sn",), "double_backward")]  # no slope, no other way


@pytest.mark.parametrize("norm", ["layer", "instance", "none"])
@pytest.mark.parametrize(("regs", "way"), REGS, ids=str)
def test_gradient_in_bf16_is_that_of_fp32(regs, norm, way):
    """To bf16's 8 bits a number: at most a tenth of the gradient's length away."""
    built = assembled(
        reg={name: {} for name in regs},
        disc={"norm": norm},
        data={"resolution": 16},
    )
    built.parts.differentiation = way
    with torch.no_grad():  # DCGAN's small weights make slopes too small to tell anything
        for p in built.parts.discriminator.parameters():
            p.mul_(3 if p.dim() > 1 else 1)
    for module in built.parts.discriminator.modules():
        if way == "forward_over_reverse" and hasattr(module, "native"):
            module.native = False  # as assembly does
    for side in SIDES:
        wanted, total, terms_of = gradient(built, side, "fp32")
        found, rounded, others = gradient(built, side, "bf16")
        assert total.dtype == rounded.dtype == torch.float32
        assert torch.dist(found, wanted) < 0.1 * wanted.norm()
        for name in (*regs, "adversarial"):
            if name in terms_of:
                assert others[name].item() == pytest.approx(terms_of[name].item(), rel=0.03)


class Watching(Loss):
    def __init__(self):
        super().__init__()
        self.seen = []

    def discriminator(self, step):
        self.seen += [step.real_logits.dtype, step.fake_logits.dtype, step.drawn.dtype]
        return step.fake_logits.mean() - step.real_logits.mean()

    generator = discriminator


@pytest.mark.parametrize("way", ["double_backward", "forward_over_reverse"])
def test_losses_and_penalties_are_given_float32(way, monkeypatch):
    built = assembled(reg={"gp": {}, "r1": {}}, data={"resolution": 16})
    built.parts.differentiation, built.parts.loss, slopes = way, Watching(), []
    for penalty in built.parts.regularizers.values():
        of = penalty.of
        monkeypatch.setattr(penalty, "of", lambda g, of=of: (slopes.append(g.dtype), of(g))[1])
    for side in SIDES:
        gradient(built, side, "bf16")
        assert all(p.dtype == torch.float32 for p in built.parts.net(side).parameters())
    assert {*built.parts.loss.seen} <= {torch.float32} and {*slopes} == {torch.float32}
