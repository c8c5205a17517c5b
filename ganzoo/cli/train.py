"""`ganzoo train`: assemble a pipeline from named parts and train it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import BadConfig, UsageError
from ._shared import loaded, plain, print_json

if TYPE_CHECKING:
    from ..config import Config, Tree
    from ..pipeline import Pipeline
    from ..registry import Registry

FLAGS = {  # flag -> where it lands in the configuration
    "gen": "gen.name",
    "disc": "disc.name",
    "loss": "loss.name",
    "data": "data.name",
    "data_root": "data.root",
    "resolution": "data.resolution",
    "images": "train.images",
    "batch_size": "train.batch_size",
    "seed": "train.seed",
    "device": "train.device",
    "precision": "train.precision",
    "engine": "train.engine",
    "keep": "checkpoint.keep",
    "on_nan": "train.on_nan",
}


@click.command("train", short_help="Train a GAN from named parts.")
@click.option("--gen", metavar="NAME", help="Generator.")
@click.option("--disc", metavar="NAME", help="Discriminator; the generator's partner by default.")
@click.option("--loss", metavar="NAME", help="Adversarial loss.")
@click.option("--reg", metavar="NAME", multiple=True, help="Regularizer; may repeat; 'none' drops a recipe's.")
@click.option("--aug", metavar="NAME", multiple=True, help="Augmentation; may repeat; 'none' drops a recipe's.")
@click.option("--data", metavar="NAME|FOLDER|ZIP", help="Data set by name, or pictures.")
@click.option("--data-root", metavar="DIR", help="Where downloaded sets lie; GANZOO_DATA by default.")
@click.option("--resolution", metavar="N|HxW", help="Resize pictures to this.")
@click.option("--recipe", metavar="NAME", help="A complete published configuration to start from.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), metavar="FILE", help="A run file, over the recipe.")
@click.option("--set", "settings", metavar="SECTION.KEY=VALUE", multiple=True, help="Any option: --set gen.width=64.")
@click.option("--images", metavar="COUNT", help="Real images to show, for instance 200k.")
@click.option("--batch-size", metavar="N")
@click.option("--seed", metavar="N")
@click.option("--device", metavar="NAME", help="auto, cpu, cuda, cuda:1.")
@click.option("--precision", metavar="NAME", help="auto, fp32, tf32, bf16.")
@click.option("--engine", metavar="NAME", help="auto, eager, compiled.")
@click.option("--keep", metavar="N", help="Checkpoints to keep.")
@click.option("--on-nan", metavar="NAME", help="When a loss is not finite: stop, or rollback to the last checkpoint.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs"), show_default=True, help="Folder for run folders.")
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Continue a run in its folder; --images extends it.",
)
@click.option("--dry-run", is_flag=True, help="Print the assembled pipeline and stop.")
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: print JSON.")
def command(out: Path, resume: Path | None, dry_run: bool, as_json: bool, **given: Any) -> None:
    """Train a GAN assembled from named parts; `ganzoo list` shows them.

    \b
    ganzoo train --gen dcgan --loss nonsat --reg gp
    ganzoo train --data photos.zip --recipe rpgan-r1r2 --images 2M
    """
    from .. import runs
    from ..assembly import assemble
    from ._report import data_progress, say

    registry = loaded().registry
    if resume is not None:
        if given["recipe"] or given["config_file"]:
            raise UsageError("--resume: a run keeps its own configuration; leave out --recipe and --config")
        old, about = runs.open_run(resume)
        config = configure(registry, given, old.tree())
        runs.check_same(old, config, resume)
    else:
        about = {}
        config = configure(registry, given)
    with data_progress() as progress:
        pipeline = assemble(config, registry, progress)
    if resume is not None:
        for line in runs.check_versions(about, pipeline):
            say(f"note: {line}")
    if dry_run:
        show(pipeline, as_json)
        return
    for note in pipeline.notes:
        say(f"note: {plain(note)}")
    run(pipeline, out, resume)


def configure(registry: Registry, given: dict[str, Any], base: Tree | None = None) -> Config:
    """The checked configuration from defaults (or a run's own), recipe, run file, flags and --set, in that order."""
    from .. import config as configuration
    from .. import runs

    tree: Tree = configuration.defaults() if base is None else base
    if given["recipe"]:
        tree = configuration.merge(tree, runs.settings(registry.get("recipe", given["recipe"]).recipe()))
    if given["config_file"]:
        tree = configuration.merge(tree, runs.settings(configuration.read(given["config_file"])))
    for flag, path in FLAGS.items():
        if given[flag] is not None:
            section, key = path.split(".")
            tree = configuration.merge(tree, {section: {key: given[flag]}})
    for family, kind in (("reg", "regularizer"), ("aug", "augmentation")):
        names = given[family]
        if "none" in names:
            tree = configuration.merge(tree, {family: False})
        for name in names:
            if name != "none":
                registry_name(registry, family, kind, name)
                tree = configuration.merge(tree, {family: {name: {}}})
    tree = configuration.apply_settings(tree, given["settings"])
    try:
        return configuration.check(tree)
    except BadConfig as error:
        raise BadConfig(_name_flag(str(error), given)) from None


def registry_name(registry: Registry, family: str, kind: str, name: str) -> None:
    """Raises UnknownComponent naming the flag, before --set speaks of options of a part that is not there."""
    try:
        registry.get(kind, name)
    except UsageError as error:
        raise type(error)(f"--{family} {name}: {error}") from None


def _name_flag(message: str, given: dict[str, Any]) -> str:
    """Name the flag instead of the setting when the value came from a flag."""
    for flag, path in FLAGS.items():
        if f"{path} = " in message and given[flag] is not None:
            return "--" + flag.replace("_", "-") + " " + message.partition(f"{path} = ")[2]
    return message


def run(pipeline: Pipeline, out: Path, resume: Path | None) -> None:
    """Train in a new run folder or the resumed one, and say where everything is."""
    import torch

    from .. import checkpoint, memory, recovery, runs
    from ..errors import BadRun, DeviceError
    from ..training import Interrupted, Training
    from ._report import Reporter, say, stopping

    memory.check_fits(pipeline)
    folder = resume if resume is not None else runs.new_folder(out, pipeline.config)
    lock = runs.Lock(folder)
    reporter = Reporter(pipeline, folder)
    try:
        training = Training(pipeline, folder, [reporter], reporter.tick, say)
        if resume is None:
            runs.describe(folder, pipeline, shlex.join(["ganzoo", *sys.argv[1:]]))
        else:
            checkpoint.sweep(folder)
            found = checkpoint.newest(folder, say)
            if found is None and checkpoint.folders(folder):
                raise BadRun(f"--resume {folder}: none of its checkpoints is whole")
            if found is None:
                say("note: this run has no checkpoint yet; it begins again, with the same seed")
            else:
                training.load_state_dict(found[0])
            training.forget_after()
            runs.describe(folder, pipeline, shlex.join(["ganzoo", *sys.argv[1:]]))
            reporter.start_from(training.images)
        say(f"run folder: {folder}")
        with stopping(training):
            recovery.run(training, say)
    except torch.OutOfMemoryError:
        raise DeviceError(memory.after_failure(pipeline)) from None
    except Interrupted as error:
        error.exit_code = 128 + error.signal  # type: ignore[attr-defined]
        raise
    finally:
        lock.release()
    _goodbye(pipeline, folder, training.images)


def _goodbye(pipeline: Pipeline, folder: Path, images: int) -> None:
    pictures = sorted((folder / "samples").glob("*.png"))
    click.echo(f"trained on {images:,} images")
    if pictures:
        click.echo(f"  picture    {pictures[-1]}   (real: {folder / 'real.png'})")
    click.echo(f"  generator  {folder / 'generator.safetensors'}")
    click.echo(f"  run        {folder}")
    click.echo("next:")
    click.echo(f"  ganzoo generate {folder} --count 64 --seed 1 --out grid.png")
    click.echo(f"  ganzoo train --resume {folder} --images {2 * pipeline.config.train.images}")


def show(pipeline: Pipeline, as_json: bool) -> None:
    """Print the assembled pipeline: parts, options, parameter counts, memory."""
    from ..memory import estimate

    nets = {side: pipeline.parts.net(side) for side in pipeline.optimizers}
    counts = {side: sum(p.numel() for p in net.parameters()) for side, net in nets.items()}
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
    click.echo(f"# data: {len(pipeline.dataset):,} samples of shape {pipeline.spec.shape}, {pipeline.spec.classes} classes in use")
    for side, count in counts.items():
        click.echo(f"# {side}: {count:,} parameters")
    click.echo(f"# memory: about {memory['total'] / 2**20:,.0f} MiB on {pipeline.device}")
    click.echo(f"# device {pipeline.device}, engine {pipeline.engine}, precision {pipeline.parts.precision}")
    for note in pipeline.notes:
        click.echo(f"# note: {plain(note)}")
