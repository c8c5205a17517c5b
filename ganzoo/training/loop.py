"""The training loop: the one place that calls backward and
step (through the engine), and the state that it goes on from.
"""

from __future__ import annotations

import contextlib
import functools
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..assembly.pipeline import SIDES, Pipeline, set_learning_rate
from ..contracts import Batch, Side, Tracker
from ..data import Order
from ..data.loader import Feed, budget_bytes
from ..distributed.sharding import gathered, whole_of
from ..engine.engine import Engine
from ..engine.losses import Report
from ..engine.optimizer_state import optimizer_state, restore_optimizer
from ..engine.randomness import Streams, derive
from ..engine.threads import fitting_threads
from ..errors import BadFile, GanzooError, one_line
from ..generate import generator_file
from ..io import checkpoints as checkpoint
from ..io.background_writer import Writer
from ..io.checkpoints import State
from ..io.device_memory import on
from ..measure import Score, scores_file
from . import average_files
from . import log_file as logbook
from .gallery import Gallery
from .meters import Meters, NotFinite, Reading, record
from .scoring import Scores
from .spacing import Spacing
from .trackers import Forgiven

JUDGED = 256  # real images that the signs of a log line are taken of, at least
PICTURES = 8  # of a run, at least, beside the one at its start


Line = tuple[Reading, dict[str, Any]]  # what was measured, and what is known already


class Verdict(IntEnum):
    """What the first rank found beside the updates, or wants; the larger one counts."""

    GO_ON = 0
    ENOUGH = 1
    NOT_FINITE = 2
    # What the others do for the first rank before they hear one of the above.
    AVERAGE = 3  # make the averages whole
    STATE = 4  # and all of the state


class Interrupted(GanzooError):
    """The person or the machine asked for a stop; the run was saved."""

    def __init__(self, signal: int, message: str) -> None:
        super().__init__(message)
        self.signal = signal


def feed_of(pipeline: Pipeline) -> Feed:
    """The batches of a training, or a rank's shares of them, in the order of its seed."""
    config, dataset = pipeline.config, pipeline.dataset
    batch, seed = config.train.batch_size, config.train.seed
    order = Order(len(dataset), batch, derive(seed, "order"), config.data.flip, dataset.runs)
    others = {
        name: Order(len(other), batch, derive(seed, name)) for name, other in dataset.others.items()
    }
    budget = budget_bytes(config.data.budget, pipeline.device)
    share = functools.partial(pipeline.ranks.share, parts=config.train.accumulate)
    return Feed(dataset, order, pipeline.device, config.data.resident, budget, others, share)


def sized(batch: Batch, size: int) -> Batch:
    """A batch of another size: the first of its samples, or all of them over and over."""
    count = len(batch.samples)
    if count == size:
        return batch
    again = torch.arange(size, device=batch.samples.device) % count
    return batch.each(lambda tensor: tensor[again])


class Training:
    """One training of a pipeline, with or without a run folder.

    listeners hear every log line and picture, and so do the pipeline's trackers, of which a failure
    is told and stops nothing; `tick` is called after every update with the images
    done, and must be quick; `tell` gets lines for the person. Of several ranks the first alone
    has a folder and listeners.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        folder: Path | None = None,
        listeners: Sequence[Tracker] = (),
        tick: Callable[[int], None] = lambda images: None,
        tell: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.pipeline, self.folder, self.tick, self.tell = pipeline, folder, tick, tell
        self.ranks = pipeline.ranks
        trackers = [
            Forgiven(tracker, f"tracker.{name} of {pipeline.owners.get(f'tracker.{name}')}", tell)
            for name, tracker in pipeline.trackers.items()
            if self.ranks.first
        ]
        self.listeners = [*listeners, *trackers]
        config = pipeline.config
        self.config, self.goal = config, config.train.images
        self.images = self.updates = 0
        self.seconds = 0.0
        self.stop: int | None = None  # a signal number: finish the update, save, leave
        self.enough = ""  # why the training ends before its goal, in order
        self.streams = Streams(config.train.seed, pipeline.device)
        self.feed = feed_of(pipeline)
        train = config.train
        self.turns = pipeline.parts.game.turns(train.n_critic, train.n_gen)
        self._times = Counter(turn.player for turn in self.turns)  # in a round
        clips = {side: pipeline.clips(side) for side in SIDES}
        self.progress = torch.zeros((), device=pipeline.device)
        self.engine = Engine(
            pipeline.parts,
            pipeline.optimizers,
            clips,
            pipeline.engine,
            self.progress,
            tell,
            lambda: self.writer.settle(),
            self._write_rates,
            train.accumulate,
            self.ranks,
            {"fp32": torch.float32, "bf16": torch.bfloat16}[train.reduce],
        )
        self.meters = Meters()
        self.writer = Writer()
        self.gallery = Gallery(
            pipeline, folder, self.listeners, lambda job: self.writer.submit(job)
        )
        self.rollbacks = (
            0  # how often the run went back to a checkpoint; each halves the learning rates
        )
        self.scoring = Scores(pipeline)
        self._saved = self._logged = -1  # images at the last of each
        self._written: tuple[int, dict[str, float]] | None = None  # of the generator file
        self._between = min(config.samples.images, max(self.goal // PICTURES, 1))  # two pictures
        fast = pipeline.device.type == "cuda"  # where counting images alone would mean all the time
        self.pictures, self.checkpoints = Spacing(1.0 * fast), Spacing(30.0 * fast)
        self._lines: deque[Line] = deque()  # log lines whose values are on their way
        self._rates: dict[Side, float] = {}
        self._spread = False  # whether each rank has a part of the nets
        self._factors: dict[Side, float] = {}  # of the learning rates, as they were last written

    # State.

    def state_dict(self) -> State:
        """Everything that changes during training."""
        optimizers = {
            f"optim_{side}": optimizer_state(self.pipeline.optimizers[side]) for side in SIDES
        }
        counters = {
            "images": self.images,
            "updates": self.updates,
            "seconds": self.seconds,
            "rollbacks": self.rollbacks,
            "logged": self._logged,
            "order": self.feed.state_dict(),
            "scoring": self.scoring.state_dict(),
        }
        return {
            **self.pipeline.state_dict(),
            **optimizers,
            "meters": self.meters.state_dict(),
            "streams": self.streams.state_dict(),
            "counters": counters,
        }

    @property
    def largest_state(self) -> int:
        """Bytes that no checkpoint of this training has:
        optimizers keep a few numbers a weight, seldom ten.
        """
        groups = self.pipeline.state_dict().values()
        tensors = [v for group in groups for v in group.values() if isinstance(v, Tensor)]
        return 16 * sum(v.numel() * v.element_size() for v in tensors) + (64 << 20)

    def load_state_dict(self, state: State) -> None:
        """Continue from a state; the next update is the one that
        would have come. Raises BadFile when it is another pipeline's.
        """
        try:
            self._restore(state)
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise BadFile(
                f"the checkpoint does not fit this run: {one_line(error)}",
                remedy="go on with the versions that made it, which run.toml names, or begin a new "
                "run",
            ) from error

    def _restore(self, state: State) -> None:
        self.pipeline.load_state_dict(state)
        for side in SIDES:
            restore_optimizer(self.pipeline.optimizers[side], state[f"optim_{side}"])
        counters = state["counters"]
        if not self.streams.load_state_dict(state["streams"], int(counters["images"])):
            self.tell(
                "saved on another sort of device: random numbers go on from a seed, not as they "
                "would have there"
            )
        self.feed.load_state_dict(counters["order"])
        self.scoring.load_state_dict(counters.get("scoring", {}))
        self.images, self.updates, self.rollbacks = (
            int(counters[name]) for name in ("images", "updates", "rollbacks")
        )
        self.seconds = float(counters["seconds"])
        self._saved, self._logged = self.images, int(counters.get("logged", self.images))
        self.meters.load_state_dict(state.get("meters", {}), self.pipeline.device)
        self._written = None
        self._factors = {}
        self._lines.clear()

    def whole_state(self) -> State:
        """As `state_dict`, with all tensors whole, on every rank at once."""
        if not self._spread:
            return self.state_dict()
        self.pipeline.gather_averages()
        return {group: gathered(content) for group, content in self.state_dict().items()}

    def roll_back(self, rollbacks: int, reason: str) -> None:
        """After a state was put back because of what came later:
        other random numbers, lower learning rates, a log line.
        """
        self.rollbacks = rollbacks
        self.streams = Streams(
            derive(self.config.train.seed, "rollback", rollbacks), self.pipeline.device
        )
        if self.folder is not None:
            logbook.forget_after(self.folder, self.images)
            scores_file.forget_after(self.folder, self.images)
            average_files.forget_after(self.folder, self.images)
            logbook.append(
                self.folder,
                {
                    "images": self.images,
                    "event": "rollback",
                    "rollbacks": rollbacks,
                    "reason": reason,
                },
            )

    # The loop.

    def run(self) -> None:
        """As `_run`, with PyTorch's current GPU that of the
        training (else pinned memory would belong to the first), and as many threads as it is worth.
        """
        pipeline = self.pipeline
        batch = self.config.train.part // self.ranks.count
        with on(pipeline.device), contextlib.ExitStack() as stack:
            if not self._spread:  # which later goes by copies of nets, and those have none
                stack.enter_context(fitting_threads(pipeline.parts, pipeline.spec, batch))
            if pipeline.shards and not self._spread:
                pipeline.spread()
                self._spread = True
            self._run()

    def _run(self) -> None:
        """Train until the goal; raises Interrupted after saving
        when `stop` was set, NotFinite before saving bad weights.
        """
        self.writer = Writer()
        for listener in self.listeners:
            listener.start(self.config.tree(), self.folder, self.images)
        self._begin()
        try:
            self.enough = self.enough or self.scoring.verdict
            while self.images < self.goal and not self.enough:
                before, clock = self.images, time.perf_counter()
                self._set_schedules()
                measure = self._measured()
                self._round(measure)
                self.pipeline.average.update(
                    self.pipeline.parts.generator, self.images - before, self.images
                )
                for each in self.pipeline.powers.values():
                    each.update(self.pipeline.parts.generator, self.images - before, self.images)
                self.updates += 1
                self.seconds += time.perf_counter() - clock
                self._score(before)  # before a checkpoint, which holds the best figure
                clock = time.perf_counter()
                self._report(before)
                self.seconds += (
                    time.perf_counter() - clock
                )  # a GPU is waited for here, not where it is given work
                self._stop_if_asked()
            self._end()
        finally:
            self.writer.close()
            self.feed.close()
            for listener in self.listeners:
                listener.finish()

    def _round(self, measure: bool) -> None:
        """The updates of all turns, one by one or at once."""
        done: dict[Side, int] = dict.fromkeys(SIDES, 0)
        waiting = []
        for player, fresh in self.turns:
            if fresh:
                self._batch = self.feed.next()
                self.images += len(self._batch.samples) * self.ranks.count
                if not self.pipeline.spec.classes:
                    self._batch = self._batch._replace(labels=None)
            number = self.updates * self._times[player] + done[player]
            done[player] += 1
            size, latents = self._latents(player)
            batch = sized(self._batch, size)
            if self.config.train.updates == "simultaneous":
                waiting.append((player, batch, latents, number))
            else:
                self._take(player, self.engine.update(player, batch, latents, number, measure))
        if waiting:
            for update, report in zip(waiting, self.engine.together(waiting, measure), strict=True):
                self._take(update[0], report)

    def _take(self, player: Side, report: Report) -> None:
        """Keep what was found for the log, which the first rank writes."""
        if self.ranks.first:
            self.meters.add(player, report)

    def _latents(self, player: Side) -> tuple[int, Tensor]:
        """This rank's samples in an update of a player, and their latents: its share of those that
        are drawn for the whole batch, on every rank alike.
        """
        train = self.config.train
        size = train.batch_of(player)
        latents = self.pipeline.parts.draw_latents(size, self.streams.latents)
        again = max(size // train.batch_size, 1)  # the batch is taken so often
        return size // self.ranks.count, self.ranks.share(latents, train.accumulate * again)

    def _measured(self) -> bool:
        """Whether the next updates take what only log lines want:
        they are among the last before a line that is due by images.
        """
        train = self.config.train
        images = train.batch_size * sum(turn.fresh for turn in self.turns)
        after = self.images + images * math.ceil(JUDGED / images)
        return after >= self.goal or self._crosses(self.config.log.images, after)

    def _set_schedules(self) -> None:
        self.progress.fill_(min(self.images / self.goal, 1.0))
        self.pipeline.move(self.images)
        for side in SIDES:
            factor = self.pipeline.rate_factor(side, self.images) * 0.5**self.rollbacks
            if self._factors.get(side) != factor:
                self._factors[side] = factor
                self._write_rates(side)

    def _write_rates(self, *sides: Side) -> None:
        for side in sides or tuple(self._factors):
            optimizer, factor = self.pipeline.optimizers[side], self._factors[side]
            self._rates[side] = set_learning_rate(optimizer, factor)

    def _crosses(self, every: int, images: int, before: int | None = None) -> bool:
        """Whether the count passes a multiple of `every` on the way to `images`."""
        return every > 0 and images // every > (self.images if before is None else before) // every

    # What happens beside the updates.

    def _begin(self) -> None:
        self._began = time.monotonic()
        if self.engine.mode != "eager":
            self.tell("compiling the updates: about 20 s the first time, cached for the next")
        if self.folder is None or self.images:
            return
        self.gallery.draw_real()
        self.gallery.draw(self.images)

    def _report(self, before: int) -> None:
        """Lines, pictures and checkpoints that are due after an update."""
        config = self.config
        self.tick(self.images)
        if self._crosses(config.log.images, self.images, before):
            self._begin_line()
        self._finish_lines(wait=False)
        crossed = self._crosses(config.average.snapshots, self.images, before)
        if crossed or (config.average.snapshots and self.images >= self.goal):
            self._keep_averages()
        if self.pictures.due(self._crosses(self._between, self.images, before)):
            self._draw()
        minutes = (time.monotonic() - self._began) / 60
        by_time = config.checkpoint.minutes > 0 and minutes >= config.checkpoint.minutes
        crossed = self._crosses(config.checkpoint.images, self.images, before)
        if self.checkpoints.due(crossed) or by_time:
            self.save()

    def _stop_if_asked(self) -> None:
        """Save and raise Interrupted where a rank was told to stop; all ranks take the same way."""
        if self.ranks.count > 1:
            self._agree()
        if self.stop is not None and self.images < self.goal:
            self._draw()
            self.save()
            self.gallery.strip(self.images)
            self.writer.wait()
            self._attend()
            where = " and saved" if self.folder else ""
            raise Interrupted(self.stop, f"stopped after {self.images:,} images{where}")

    def _agree(self) -> None:
        """Go on, stop, or raise NotFinite as another rank has found or was told; until then, bring
        parts of what the first rank wants whole.
        """
        own = Verdict.ENOUGH if self.enough else Verdict.GO_ON
        stop, verdict = self.ranks.agree(self.stop or 0, own)
        while verdict in (Verdict.AVERAGE, Verdict.STATE):
            if verdict == Verdict.AVERAGE:
                self.pipeline.gather_averages()
            else:
                self.whole_state()
            stop, verdict = self.ranks.agree(self.stop or 0, own)
        self.stop = stop or None
        if verdict == Verdict.NOT_FINITE:
            raise NotFinite("rank 0 found a value that is not finite")
        if verdict == Verdict.ENOUGH:
            self.enough = self.enough or "rank 0 found it to be enough"

    def announce(self, verdict: Verdict) -> None:
        """Tell the other ranks, which wait for it after their updates, what the first has found."""
        if self.ranks.count > 1:
            self.ranks.agree(0, verdict)

    def _attend(self) -> None:
        """Where nets are spread, the others wait here for what the first rank wants of them."""
        if self._spread:
            self._agree()

    def _whole_averages(self) -> None:
        """Make the averages whole, on the first rank; the others are within `_agree`."""
        if self._spread and self.ranks.first:
            self.announce(Verdict.AVERAGE)
            self.pipeline.gather_averages()

    def _draw(self) -> None:
        """The picture of this moment, where there is a folder."""
        if self.folder is not None:
            self._whole_averages()
            self.gallery.draw(self.images)

    def _begin_line(self) -> None:
        """Send for the values of a log line."""
        head = {
            "images": self.images,
            "updates": self.updates,
            "seconds": round(self.seconds, 3),
            "images_per_second": round(self.images / max(self.seconds, 1e-9), 1),
            **{f"lr_{side}": rate for side, rate in self._rates.items()},
        }
        self._lines.append((self.meters.take(self._beside()), head))
        self._logged = self.images

    def _beside(self) -> dict[Side, dict[str, Tensor]]:
        """By side, on the device: the norm of its weights, and what its regularizers show."""
        parts = self.pipeline.parts
        found: dict[Side, dict[str, Tensor]] = {side: {} for side in SIDES}
        for side in SIDES:
            if weights := list(parts.net(side).parameters()):
                norm = torch.nn.utils.get_total_norm(weights).detach()
                found[side]["weights"] = whole_of(norm)
        for name, regularizer in parts.regularizers.items():
            side = next(side for side in SIDES if regularizer.on(side))
            found[side] |= {f"{name}.{key}": one for key, one in regularizer.shown().items()}
        return found

    def _finish_lines(self, wait: bool) -> None:
        """Write the lines that were begun, or without `wait`
        those whose values are here; raises NotFinite first.
        """
        while self._lines and (wait or self._lines[0][0].arrived()):
            reading, head = self._lines.popleft()
            line = {**head, **record(reading.means(head["images"]))}
            if self.folder is not None:
                logbook.append(self.folder, line)
            for listener in self.listeners:
                listener.log(line)

    def _log(self) -> None:
        """Write the line of this moment, if it is not begun or written."""
        if self._logged != self.images:
            self._begin_line()
        self._finish_lines(wait=True)

    def save(self) -> None:
        """Write a checkpoint and the generator file, unless this state is saved already; bad
        weights are never written. Adds no line to the log: a run that is stopped has the same one.
        """
        self._finish_lines(wait=True)
        if self.folder is None or self._saved == self.images:
            return
        state = self._finite_state()
        about = {
            "config": self.config.tree(),
            "versions": dict(self.pipeline.versions),
            "plugins": dict(self.pipeline.owners),
            "images": self.images,
        }
        fetch = checkpoint.copied(state, self.pipeline.device)
        write_generator = self._generator()
        self._written = self.images, dict(self.scores)
        folder, name, keep = self.folder, f"{self.images:09d}", self.config.checkpoint.keep
        dataset = self.pipeline.dataset

        def job() -> None:
            data = {"data": dataset.fingerprint()}
            checkpoint.save(folder / "checkpoints" / name, fetch(), about | data)
            # After the commit: a generator file is a sign that there once was a whole checkpoint.
            write_generator()
            checkpoint.prune(folder, keep)

        self.writer.submit(job)
        self._saved, self._began = self.images, time.monotonic()

    def _keep_averages(self) -> None:
        """Write snapshots of the averages from which others can be made."""
        if self.folder is not None:
            self._finite_state()
            self.writer.submit(average_files.writer(self.pipeline, self.folder, self.images))

    def _finite_state(self) -> State:
        """The whole state; raises NotFinite naming what must not be
        saved: a value of the last updates, or weights.
        """
        self.meters.check(self.images)
        if self._spread:
            self.announce(Verdict.STATE)
        state = self.whole_state()
        for side in SIDES:
            names = dict(self.pipeline.parts.net(side).named_parameters())
            weights = [state[side][name] for name in names if name in state[side]]
            if weights and not torch.isfinite(torch.nn.utils.get_total_norm(weights)):
                raise NotFinite(
                    f"the {side}'s weights are not finite after {self.images:,} images; "
                    "nothing was saved since"
                )
        return state

    @property
    def scores(self) -> dict[str, float]:
        """What the metrics found at this moment, if they were asked."""
        return self.scoring.found if self.scoring.images == self.images else {}

    @property
    def measured(self) -> list[Score]:
        """The same with their protocols."""
        return self.scoring.records if self.scoring.images == self.images else []

    def _generator(self, name: str = "generator.safetensors") -> Callable[[], None]:
        """A function that writes the generator file as it is now."""
        assert self.folder is not None
        write = generator_file.generator_writer(
            self.pipeline, self.images, self.scores, self.measured
        )
        path = self.folder / name
        return lambda: write(path)

    def _end(self) -> None:
        early = self.images < self.goal
        if early:  # as at a stop, no line is begun: whoever goes on has the one that is due
            self._finish_lines(wait=True)
            if self.config.average.snapshots:
                self._keep_averages()
        else:
            self._log()
        self.save()  # before a metric can fail
        self._measure()
        self._draw()
        if self.folder is not None and self._written != (self.images, self.scores):
            self.writer.submit(self._generator())
        self.gallery.strip(self.images)
        self.writer.wait()
        if early and self.ranks.first:
            self._say_why()
        if self.ranks.count > 1:
            self._agree()  # the others wait here for what the first rank writes

    def _say_why(self) -> None:
        """Tell, and write into the log, why the training ended before its goal."""
        self.tell(f"ended after {self.images:,} images: {self.enough}")
        if self.folder is not None:
            line = {"images": self.images, "event": logbook.ENDED, "reason": self.enough}
            logbook.append(self.folder, line)

    def _score(self, before: int) -> None:
        """Measure during the training, where that is asked for and due."""
        crossed = self._crosses(self.config.measure.images, self.images, before)
        wanted = self.ranks.first and self.images < self.goal
        if wanted and self.scoring.due(crossed, self.seconds):
            self._measure()
            self.enough = self.enough or self.scoring.verdict
        if self.config.measure.images:
            self._attend()

    def _measure(self) -> None:
        """Score the averaged generator, tell the listeners, and keep it if it is the best."""
        known = self.scoring.images == self.images
        if known or not (self.pipeline.metrics and self.ranks.first):
            return
        self._whole_averages()
        best = self.scoring.measure(self.images)
        scores = {name: round(value, 6) for name, value in self.scores.items()}
        if self.folder is not None and self.config.measure.images:
            line = {"images": self.images, "event": "scores", "scores": scores, "best": best}
            logbook.append(self.folder, line)
        if self.folder is not None and self.measured:
            scores_file.append(self.folder, self.measured)
        if self.folder is not None and best:
            self.writer.submit(self._generator("best.safetensors"))
        for listener in self.listeners:
            listener.score(self.scores, self.images)
