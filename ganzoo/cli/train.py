"""`ganzoo train`: assemble a pipeline from named parts and train it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import config as configuration
from ..errors import UsageError
from ._patience import patience
from ._shared import loaded, plain, print_json

if TYPE_CHECKING:
    from ..pipeline import Pipeline
    from ..training import Training


@click.command("train", short_help="Train a GAN from named parts.")
@click.option("--gen", metavar="NAME", help="Generator.")
@click.option("--disc", metavar="NAME", help="Discriminator; the generator's partner by default.")
@click.option("--loss", metavar="NAME", help="Adversarial loss.")
@click.option(
    "--reg", metavar="NAME", multiple=True, help="Regularizer; may repeat; 'none' drops a recipe's."
)
@click.option(
    "--aug",
    metavar="NAME",
    multiple=True,
    help="Augmentation; may repeat; 'none' drops a recipe's.",
)
@click.option("--data", metavar="NAME|FOLDER|ZIP", help="Data set by name, or pictures.")
@click.option(
    "--data-root", metavar="DIR", help="Where downloaded sets lie; GANZOO_DATA by default."
)
@click.option("--resolution", metavar="N|HxW", help="Resize pictures to this.")
@click.option("--recipe", metavar="NAME", help="A complete published configuration to start from.")
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A run file, over the recipe.",
)
@click.option(
    "--set",
    "settings",
    metavar="SECTION.KEY=VALUE",
    multiple=True,
    help="Any option: --set gen.width=64.",
)
@click.option("--images", metavar="COUNT", help="Real images to show, for instance 200k.")
@click.option("--batch-size", metavar="N", help="Real images in one update.")
@click.option("--seed", metavar="N", help="Of everything random; the same seed gives the same run.")
@click.option("--device", metavar="NAME", help="auto, cpu, cuda, cuda:1, mps.")
@click.option("--precision", metavar="NAME", help="auto, fp32, tf32, bf16.")
@click.option("--engine", metavar="NAME", help="How updates run: auto, eager, compiled, captured.")
@click.option("--keep", metavar="N", help="Checkpoints to keep.")
@click.option(
    "--on-nan",
    metavar="NAME",
    help="When a loss is not finite: stop, or rollback to the last checkpoint.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where the run's folder is made; runs by default.",
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Continue a run in its folder; --images extends it.",
)
@click.option("--dry-run", is_flag=True, help="Print the assembled pipeline and stop.")
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: print JSON.")
def command(
    out: Path | None, resume: Path | None, dry_run: bool, as_json: bool, **given: Any
) -> int:
    """Train a GAN assembled from named parts; `ganzoo list` shows them.

    \b
    ganzoo train --gen dcgan --loss nonsat --reg gp
    ganzoo train --data photos.zip --recipe rpgan-r1r2 --images 2M
    """
    if as_json and not dry_run:
        raise UsageError("--json: goes with --dry-run; a training's figures are in its log.jsonl")
    from .. import runs
    from ._layers import configure, words

    registry = loaded().registry
    about: dict[str, Any] = {}
    if resume is not None:
        if given["recipe"] or given["config_file"] or out:
            raise UsageError(
                "--resume: a run keeps its configuration and its folder; leave out --recipe, --config and --out"
            )
        old, about = runs.open_run(resume)
        runs.check_installed(
            about, {f"{c.distribution}:{c.plugin}" for c in registry.components()}, resume
        )
        tree = old.tree()
        meant = configuration.recorded(tree, about.get("plugins"))
        layers = configure(registry, given, tree, words(), meant)
        runs.check_same(old, layers.config, resume)
    else:
        layers = configure(registry, given, words=words())
        if not dry_run:
            runs.check_root(out or Path("runs"))
    with patience():
        from ..assembly import assemble
        from ._report import data_progress, say

    with patience("opening the data"), data_progress() as progress:
        pipeline = assemble(layers.config, registry.meaning(layers.meant), progress)
    pipeline.notes[:0] = layers.notes
    if resume is not None:
        for line in runs.check_versions(about, pipeline):
            say(f"note: {line}")
    if dry_run:
        show(pipeline, as_json)
        return 0
    for note in pipeline.notes:
        say(f"note: {plain(note)}")
    return run(pipeline, out or Path("runs"), resume)


def run(pipeline: Pipeline, out: Path, resume: Path | None) -> int:
    """Train in a new run folder or the resumed one, and say where everything is; returns the exit code."""
    import torch

    from .. import logbook, memory, recovery, runs
    from ..training import Interrupted, Training
    from ._report import Reporter, say, stopping

    with patience():
        memory.check_fits(pipeline)
    folder = resume if resume is not None else runs.new_folder(out, pipeline.config)
    lock = runs.Lock(folder)
    reporter = Reporter(pipeline)
    try:
        training = Training(pipeline, folder, [reporter], reporter.tick, say)
        if resume is None:
            runs.describe(folder, pipeline, shlex.join(["ganzoo", *sys.argv[1:]]))
        else:
            if lock.left:
                say(f"note: {runs.ended_badly(lock.left, pipeline)}")
            _load(training, folder)
            logbook.forget_after(folder, training.images)
            runs.describe(folder, pipeline, shlex.join(["ganzoo", *sys.argv[1:]]))
            reporter.start_from(training.images)
        say(f"run folder: {folder}")
        with stopping(training, reporter.announce):
            recovery.run(training, say)
    except torch.OutOfMemoryError:
        raise memory.after_failure(pipeline) from None
    except Interrupted as error:  # asked for, and no error
        say(f"{error}; continue with: ganzoo train --resume {shlex.quote(str(folder))}")
        return 128 + error.signal
    finally:
        lock.release()
    _goodbye(pipeline, folder, training.images)
    return 0


def _load(training: Training, folder: Path) -> None:
    """The newest whole checkpoint into the training; raises UsageError when its images are more than are wanted."""
    from .. import checkpoint
    from ..errors import BadRun
    from ._report import say

    checkpoint.sweep(folder)
    found = checkpoint.newest(folder, say, training.largest_state)
    if found is None and checkpoint.folders(folder):
        raise BadRun("none of its checkpoints is whole", key="resume", value=folder)
    if found is None:
        say("note: this run has no checkpoint yet; it begins again, with the same seed")
        return
    training.load_state_dict(found[0])
    train = training.config.train
    if training.images >= train.images + train.batch_size * train.n_critic:
        raise UsageError(
            f"this run has shown {training.images:,} already; give more to extend it",
            section="train",
            key="images",
            value=train.images,
        )
    if training.images >= train.images:
        say(f"note: this run has shown its {train.images:,} images already; --images N extends it")


def _goodbye(pipeline: Pipeline, folder: Path, images: int) -> None:
    from .. import inside

    pictures = [p for p in inside.listing(folder / "samples", folder) if p.suffix == ".png"]
    name = shlex.quote(str(folder))
    click.echo(f"trained on {images:,} images")
    if pictures:
        click.echo(f"  picture    {pictures[-1]}   (real: {folder / 'real.png'})")
    if (folder / "progress.gif").is_file():
        click.echo(f"  progress   {folder / 'progress.gif'}")
    click.echo(f"  generator  {folder / 'generator.safetensors'}")
    click.echo(f"  run        {folder}")
    click.echo("next:")
    click.echo(f"  ganzoo generate {name} --count 64 --seed 1 --out grid.png")
    click.echo(f"  ganzoo train --resume {name} --images {2 * pipeline.config.train.images}")


def show(pipeline: Pipeline, as_json: bool) -> None:
    """Print the assembled pipeline: parts, options, parameter counts, memory."""
    from ..contained import off_stdout
    from ..memory import estimate

    nets = {side: pipeline.parts.net(side) for side in reversed(pipeline.optimizers)}
    counts = {side: sum(p.numel() for p in net.parameters()) for side, net in nets.items()}
    with off_stdout(), patience("working out the memory"):
        memory = estimate(pipeline)
    about = {
        "config": pipeline.config.tree(),
        "shape": list(pipeline.spec.shape),
        "classes": pipeline.spec.classes,
        "samples": len(pipeline.dataset),
        "parameters": counts,
        "memory_bytes": memory,
        "device": str(pipeline.device),
        "engine": pipeline.engine,
        "precision": pipeline.parts.precision,
        "notes": pipeline.notes,
    }
    if as_json:
        print_json(about)
        return
    import tomlkit

    click.echo(tomlkit.dumps({k: v for k, v in pipeline.config.tree().items() if v}))
    shape, classes = "x".join(map(str, pipeline.spec.shape)), pipeline.spec.classes
    click.echo(
        f"# data: {len(pipeline.dataset):,} samples of {shape}, "
        + (f"{classes:,} classes" if classes else "labels not used")
    )
    for side, count in counts.items():
        click.echo(f"# {side}: {count:,} parameters")
    shares = ", ".join(
        f"{key} {value / 2**20:,.1f}" for key, value in memory.items() if key != "total"
    )
    click.echo(
        f"# memory: about {memory['total'] / 2**20:,.0f} MiB on {pipeline.device} ({shares})"
    )
    click.echo(
        f"# device {pipeline.device}, engine {pipeline.engine}, precision {pipeline.parts.precision}"
    )
    for note in pipeline.notes:
        click.echo(f"# note: {plain(note)}")
