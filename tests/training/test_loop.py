"""What the loop does, against arithmetic written here: which samples and labels an update sees,
when things are due, what stops it, and what is never saved.
"""

import json
import math
from dataclasses import replace
from typing import ClassVar

import by_hand
import pytest
import torch
from parts.conditional import LabelledGenerator, ProjectionDiscriminator

from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.components.registry import Component, Registry
from ganzoo.contracts import Augmentation, Dataset, Generator, Metric, Regularizer, Spec, Tracker
from ganzoo.engine.losses import Report
from ganzoo.errors import BrokenPlugin
from ganzoo.generate.sampling import sample
from ganzoo.io import checkpoints as checkpoint
from ganzoo.spec import as_samples
from ganzoo.training import rollback as recovery
from ganzoo.training.loop import Training, feed_of
from ganzoo.training.meters import Meters, NotFinite

SIDE = 4


def numbered(n=12):
    """Pictures of which no two are alike, nor their
    mirror images; the label is the number modulo 3.
    """
    pixels = torch.arange(SIDE * SIDE, dtype=torch.uint8).view(1, 1, SIDE, SIDE)
    first = torch.arange(n, dtype=torch.uint8).view(n, 1, 1, 1) * 20
    return Dataset(pixels + first, torch.arange(n) % 3, ("a", "b", "c"))


class Witness(Regularizer):
    """Keeps what the updates of both sides were given."""

    side = "both"

    def __init__(self):
        super().__init__()
        self.seen = []

    def penalty(self, step):
        labels = None if step.labels is None else step.labels.clone()
        self.seen.append((step.side, step.data.clone(), labels, step.latents.clone()))


class Spoilt(Regularizer):
    """Adds a value to the discriminator's loss from an update on."""

    def __init__(self, after, value):
        super().__init__()
        self.after, self.value, self.calls = after, value, 0

    def penalty(self, step):
        self.calls += 1
        if self.calls <= self.after:
            return None
        return step.real_logits.mean() * 0 + self.value


def registry():
    found = numbered()
    own = [
        Component("dataset", "numbered", lambda: found, "tests", "tests", "0"),
        Component("generator", "labelled", LabelledGenerator, "tests", "tests", "0"),
        Component("discriminator", "projection", ProjectionDiscriminator, "tests", "tests", "0"),
    ]
    return Registry([*zoo().registry.components(), *own])


def training(folder=None, part=None, *, known=None, **sections):
    """A training of the numbered pictures with one more regularizer."""
    tree = {
        "gen": {"name": "labelled", "width": 8, "latent_dim": 4},
        "disc": {"name": "projection", "width": 8},
        "loss": {"name": "nonsat"},
        "data": {"name": "numbered"},
        "train": {"images": 96, "batch_size": 4, "device": "cpu", "precision": "fp32"},
        "samples": {"count": 4},
    }
    whole = configuration.merge(configuration.merge(configuration.defaults(), tree), sections)
    pipeline = assemble(configuration.check(whole), known or registry())
    if part is not None:
        pipeline.parts.regularizers = {**pipeline.parts.regularizers, "part": part}
    return Training(pipeline, folder)


# What an update sees.


def test_samples_are_scaled_mirrored_and_keep_their_labels():
    witness = Witness()
    training(part=witness, data={"flip": True}, train={"images": 480}).run()
    pictures = numbered()
    mirrored = dict.fromkeys(range(12), 0)
    shown = dict(mirrored)
    for _, data, labels, _ in witness.seen:
        assert data.dtype == torch.float32
        for picture, label in zip(
            (data * 127.5 + 127.5).round().to(torch.uint8), labels, strict=True
        ):
            plain = (pictures.samples == picture).flatten(1).all(1).nonzero().flatten().tolist()
            turned = (pictures.samples == picture.flip(-1)).flatten(1).all(1).nonzero().flatten()
            (number,) = plain or turned.tolist()
            assert label == number % 3, "a label of another sample"
            shown[number] += 1
            mirrored[number] += not plain
    assert all(0 < mirrored[number] < shown[number] for number in shown)
    share = sum(mirrored.values()) / sum(shown.values())
    assert 0.4 < share < 0.6, "half of the samples are mirrored, and not all or none of a batch"


def test_black_is_minus_one_and_white_is_one():
    witness, white = Witness(), torch.full((8, 1, SIDE, SIDE), 255, dtype=torch.uint8)
    white[::2] = 0
    found = Dataset(white, torch.zeros(8, dtype=torch.long), ("a",))
    known = Registry(
        [
            *registry().components(),
            Component("dataset", "flat", lambda: found, "tests", "tests", "0"),
        ]
    )
    training(part=witness, known=known, data={"name": "flat"}, train={"images": 8}).run()
    values = torch.cat([data.flatten() for _, data, _, _ in witness.seen])
    assert values.unique().tolist() == [-1.0, 1.0]


def test_other_data_are_shown_in_an_order_of_the_seed():
    def shown(seed):
        pipeline = training(train={"seed": seed}).pipeline
        pipeline.dataset = replace(numbered(), others={"other": numbered(50)})
        return feed_of(pipeline).next().given["other"]

    assert torch.equal(shown(1), shown(1))
    assert not torch.equal(shown(1), shown(2))


def test_rates_that_were_lost_are_written_again_for_both_sides():
    run = training(optim={"gen": {"lr": 0.5}, "disc": {"lr": 0.25}})
    run._set_schedules()
    groups = [optimizer.param_groups[0] for optimizer in run.pipeline.optimizers.values()]
    before = [group["lr"] for group in groups]
    for group in groups:
        group["lr"] = 0.0
    run._write_rates()
    assert [group["lr"] for group in groups] == before and 0.0 not in before


@pytest.mark.parametrize("engine", ["eager", "compiled"])
def test_who_waits_for_a_compiler_is_told(engine):
    told = []
    run = training()
    run.engine.mode, run.tell = engine, told.append
    run._begin()
    assert [line.startswith("compiling") for line in told] == [True] * (engine == "compiled")


def test_an_augmentation_is_given_labels_and_the_logits_of_real_samples():
    class Telling(Augmentation):
        """Keeps what it is given, and changes nothing."""

        conditional = True

        def forward(self, samples, labels):
            seen.append((samples, labels))
            return samples

        def observe(self, real_logits):
            heard.append(real_logits)

    run, seen, heard = training(), [], []
    run.pipeline.parts.augmentations = {"telling": Telling(run.pipeline.spec)}
    run = Training(run.pipeline)
    judge, batch = run.pipeline.parts.discriminator, run.feed.next()
    batch = batch._replace(flips=None)
    with torch.no_grad():
        wanted = judge(as_samples(batch.samples), batch.labels)
    run.engine.update("discriminator", batch, run.pipeline.parts.generator.draw_latents(4), 0)
    assert len(seen) == 2 and all(labels is batch.labels for _, labels in seen)
    assert any(torch.equal(samples, as_samples(batch.samples)) for samples, _ in seen)
    torch.testing.assert_close(heard, [wanted])


def swapped(kind, name, factory):
    """The registry with another component of that name."""
    others = [c for c in registry().components() if (c.kind, c.name) != (kind, name)]
    return Registry([*others, Component(kind, name, factory, "tests", "ganzoo-tests", "0")])


def test_rank_is_how_often_real_is_above_generated():
    class Lightness(ProjectionDiscriminator):
        """Says how light the first pixel is."""

        def score(self, features, labels=None):
            return features[:, 0]

        def features(self, samples):
            pixels = samples.flatten(1)
            return pixels + 0 * self.hidden(pixels).sum()

    class Black(LabelledGenerator):
        """Draws the darkest sample, whatever it is told."""

        def forward(self, latents, labels=None):
            return super().forward(latents, labels) * 1e-6 - 1

    known = swapped("discriminator", "projection", Lightness)
    known = Registry(
        [
            *[c for c in known.components() if c.name != "labelled"],
            Component("generator", "labelled", Black, "tests", "tests", "0"),
        ]
    )
    lines = []
    found = training(known=known, log={"images": 4}, train={"images": 12})
    found.listeners.append(Lines(lines))
    found.run()
    # Only one of the twelve pictures is as dark as what is generated.
    assert len(lines) == 3 and all(line["rank"] >= 0.75 for line in lines)
    assert all(line["D(real)"] > line["D(fake)"] for line in lines)


class Lines(Tracker):
    """Keeps log lines."""

    def __init__(self, lines):
        self.lines = lines

    def log(self, record):
        self.lines.append(record)


# When things are due.


def test_updates_are_numbered_through_all_discriminator_updates():
    """n_critic 2 and a penalty every 3: due in updates 0, 3, 6, ... of the discriminator."""

    class Every(Regularizer):
        def __init__(self):
            super().__init__(every=3)
            self.images = []

        def penalty(self, step):
            self.images.append(len(counted.seen))

    counted, lazy = Witness(), Every()
    found = training(train={"images": 4 * 2 * 6, "n_critic": 2})
    found.pipeline.parts.regularizers = {"counted": counted, "lazy": lazy}
    found.run()
    sides = [side for side, *_ in counted.seen]
    assert sides == ["discriminator", "discriminator", "generator"] * 6
    discriminators = [i for i, side in enumerate(sides) if side == "discriminator"]
    assert lazy.images == [discriminators[k] + 1 for k in range(0, 12, 3)]


def test_the_generator_plays_against_the_last_real_batch():
    witness = Witness()
    training(part=witness, train={"images": 4 * 2 * 3, "n_critic": 2}).run()
    for at in range(0, len(witness.seen), 3):
        _, (_, second, labels, latents), (side, data, own, others) = witness.seen[at : at + 3]
        assert side == "generator" and torch.equal(data, second) and torch.equal(own, labels)
        assert not torch.equal(latents, others), "fresh latents for every update"


def test_batch_size_does_not_change_a_schedule():
    def rates(batch):
        found, seen = (
            training(optim={"gen": {"schedule": "cosine"}}, train={"batch_size": batch}),
            {},
        )
        step = found.pipeline.optimizers["generator"].step

        def spy(*arguments):
            rate = found.pipeline.optimizers["generator"].param_groups[0]["lr"]
            seen[found.images - batch] = float(rate) / initial
            return step(*arguments)

        initial = found.pipeline.optimizers["generator"].param_groups[0]["lr"]
        found.pipeline.optimizers["generator"].step = spy
        found.run()
        return seen

    small, large = rates(4), rates(8)
    assert large.keys() <= small.keys() and len(large) == 12
    for images, rate in large.items():
        wanted = (1 + math.cos(math.pi * images / 96)) / 2
        assert rate == pytest.approx(wanted) == pytest.approx(small[images])


def test_checkpoints_by_the_clock(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("ganzoo.training.loop.time.monotonic", lambda: now[0])
    found = training(tmp_path, checkpoint={"images": 0, "minutes": 2.0, "keep": 99})

    def tick(images):
        now[0] += 50.0  # seconds an update takes: the third one passes two minutes

    found.tick = tick
    found.run()
    saved = sorted(int(folder.name) for folder in checkpoint.folders(tmp_path))
    assert saved == [12, 24, 36, 48, 60, 72, 84, 96]


# What stops it.


def test_an_infinite_gradient_is_named_though_every_loss_is_finite():
    meters = Meters()
    for gradient in (1.0, math.inf):
        meters.add("discriminator", Report(("total",), torch.ones(1), torch.tensor(gradient)))
        meters.add("generator", Report(("total",), torch.ones(1), torch.tensor(1.0)))
    with pytest.raises(NotFinite, match="the discriminator's gradient is not finite after 10 im"):
        meters.take().means(10)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_value_that_is_not_finite_stops_before_it_is_saved(tmp_path, value):
    found = training(tmp_path, Spoilt(10, value), checkpoint={"images": 8}, log={"images": 4})
    with pytest.raises(NotFinite, match="discriminator's loss term 'part' is not finite after 44"):
        found.run()
    state, manifest = checkpoint.newest(tmp_path, print)
    assert manifest["images"] == 40
    assert all(torch.isfinite(t).all() for t in state["discriminator"].values())


@pytest.mark.parametrize("side", ["generator", "discriminator"])
def test_weights_that_are_not_finite_are_never_saved(tmp_path, side):
    found = training(tmp_path, checkpoint={"images": 8}, log={"images": 96})

    def tick(images):
        if images == 20:
            next(found.pipeline.parts.net(side).parameters()).data.view(-1)[0] = math.inf

    found.tick = tick
    with pytest.raises(NotFinite):
        found.run()
    assert [int(folder.name) for folder in checkpoint.folders(tmp_path)] == [16, 8]


def test_a_rollback_goes_on_with_other_random_numbers(tmp_path):
    witness, spoilt = Witness(), Spoilt(10, math.nan)
    found = training(
        tmp_path, checkpoint={"images": 8}, log={"images": 4}, train={"on_nan": "rollback"}
    )
    found.pipeline.parts.regularizers = {"witness": witness, "spoilt": spoilt}

    said = []

    def told(line):
        said.append(line)
        spoilt.after = 10**6

    recovery.run(found, told)
    assert found.rollbacks == 1 and found.images == 96
    wanted = "loss term 'spoilt' is not finite after 44 images"
    assert len(said) == 1 and wanted in said[0] and said[0].endswith("(rollback 1 of 3)")
    assert "went back to 40 images" in said[0]
    events = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    (event,) = (event for event in events if event.get("event") == "rollback")
    images = event["images"]
    assert wanted in event["reason"] and event["rollbacks"] == 1
    latents = [drawn for side, _, _, drawn in witness.seen if side == "discriminator"]
    before, after = images // 4, 11  # the first update that is done again: then and now
    assert not torch.equal(latents[before], latents[after])
    others = [drawn for drawn in latents[:after] if torch.equal(drawn, latents[after])]
    assert others == []


def test_a_rollback_reads_no_larger_checkpoint_than_it_can_have_written(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(checkpoint, "newest", lambda *given: asked.append(given))
    for folder, on_nan in ((tmp_path / "one", "stop"), (None, "rollback"), (None, "stop")):
        with pytest.raises(NotFinite):  # not asked for, or nowhere to go back to
            recovery.run(training(folder, Spoilt(0, math.nan), train={"on_nan": on_nan}), print)
    assert asked == []
    found = training(tmp_path, Spoilt(0, math.nan), train={"on_nan": "rollback"})
    with pytest.raises(NotFinite, match="no checkpoint to go back to"):
        recovery.run(found, print)
    assert asked == [(tmp_path, print, found.largest_state)]


def test_an_error_of_a_part_names_the_part():
    class Fails(LabelledGenerator):
        """Draws until its time has come."""

        ends: ClassVar = False

        def forward(self, latents, labels=None):
            if self.ends:
                raise KeyError("of its own")
            return super().forward(latents, labels)

    found = training(known=swapped("generator", "labelled", Fails))
    Fails.ends = True
    with pytest.raises(BrokenPlugin, match=r"gen of .*of its own") as caught:
        recovery.run(found, print)
    assert "ganzoo-tests" in str(caught.value) and isinstance(caught.value.__cause__, KeyError)

    found = training()
    found.pipeline.parts.game.terms = lambda update, steps: {"extra": torch.ones(3)}
    with pytest.raises(BrokenPlugin, match=r"game of .*extra for the discriminator has the shape"):
        recovery.run(found, print)

    def tick(images):
        raise KeyError("of the caller")

    found = training()
    found.tick = tick
    with pytest.raises(KeyError, match="of the caller"):
        recovery.run(found, print)


# What is said.


def test_the_clock_of_a_log_line(monkeypatch):
    """Updates take half a second each here, and so does what comes after them."""
    now, lines = [0.0], []

    def clock():
        now[0] += 0.5
        return now[0]

    monkeypatch.setattr("ganzoo.training.loop.time.perf_counter", clock)
    found = training(log={"images": 4}, train={"images": 12})
    found.listeners.append(Lines(lines))
    found.run()
    assert [line["seconds"] for line in lines] == [0.5, 1.5, 2.5]
    assert [line["images_per_second"] for line in lines] == [8.0, 5.3, 4.8]
    assert [(line["images"], line["updates"]) for line in lines] == [(4, 1), (8, 2), (12, 3)]


def test_pictures_and_scores_are_of_their_own_seeds():
    """By streams of the training's seed that go by their use, as docs/how-a-run-flows.md has it."""
    measured = []

    class Keeps(Metric):
        def measure(self, real, fake):
            measured.append((real, fake))
            return {"one": 1.0}

    found = training(train={"images": 8, "seed": 7})
    found.pipeline.metrics = {"keeps": Keeps(found.pipeline.spec, count=5)}
    found.run()
    net, spec = found.pipeline.average.net, found.pipeline.spec
    shown = sample(net, 4, by_hand.seed_for(7, "evaluation"), spec=spec)
    assert torch.equal(found.gallery.samples(), shown)
    ((real, fake),) = measured
    drawn = (sample(net, 5, 0, spec=spec).clamp(-1, 1) + 1).mul(127.5).round() / 127.5 - 1
    chosen = torch.randperm(12, generator=torch.Generator().manual_seed(0))[:5]
    for found_now, wanted in ((fake, drawn), (real, numbered().samples[chosen] / 127.5 - 1)):
        rows = [torch.tensor(sorted(each.flatten(1).tolist())) for each in (found_now, wanted)]
        assert torch.allclose(*rows, atol=1e-6), "in the order of their contents"
    assert found.scores == {"keeps.one": 1.0}


# Sampling.


def test_samples_are_drawn_in_evaluation_mode_and_training_goes_on():
    class Watched(LabelledGenerator):
        """Draws, and keeps the mode it was in."""

        modes: ClassVar = []

        def forward(self, latents, labels=None):
            Watched.modes.append(self.training)
            return super().forward(latents, labels)

    found = training(known=swapped("generator", "labelled", Watched), train={"images": 8})
    Watched.modes.clear()
    found.run()
    assert all(Watched.modes) and len(Watched.modes) == 4
    Watched.modes.clear()
    live = found.pipeline.parts.generator
    sample(live, 4, 0, spec=found.pipeline.spec)
    assert Watched.modes == [False] and live.training


def test_a_label_that_is_asked_for_is_the_one_that_is_drawn():
    class Plain(Generator):
        """Paints the label."""

        conditional = True

        def forward(self, latents, labels=None):
            return labels.float().div(10).view(-1, 1, 1, 1).expand(-1, *self.spec.shape)

    net = Plain(Spec((1, 2, 2), 3))
    every = sample(net, 7, 0, spec=net.spec)[:, 0, 0, 0].mul(10).round().tolist()
    assert every == [0, 1, 2, 0, 1, 2, 0]
    assert sample(net, 5, 0, spec=net.spec, label=2)[:, 0, 0, 0].mul(10).round().tolist() == [2] * 5


@pytest.mark.parametrize("what", ["generator", "discriminator"])
def test_a_net_of_another_shape_is_a_line_before_the_training(what):
    class Wide(LabelledGenerator):
        """Draws a column too many."""

        def forward(self, latents, labels=None):
            drawn = super().forward(latents, labels)
            return torch.cat([drawn, drawn[..., :1]], -1)

    class Column(ProjectionDiscriminator):
        """Gives logits [n, 1]."""

        def score(self, features, labels=None):
            return super().score(features, labels)[:, None]

    own = {"generator": ("labelled", Wide), "discriminator": ("projection", Column)}
    with pytest.raises(BrokenPlugin, match="gives") as caught:
        training(known=swapped(what, *own[what]))
    assert "ganzoo-tests" in str(caught.value) and "\n" not in str(caught.value)
