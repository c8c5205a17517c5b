"""`ganzoo train`: assemble a pipeline from named parts and train it."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import config as configuration
from ..components.kinds import KINDS
from ..errors import UsageError
from . import _ranks
from ._complete import components, settings
from ._echo import echo
from ._patience import patience
from ._shared import counted, loaded, plain, print_json

if TYPE_CHECKING:
    from ..assembly.pipeline import Pipeline
    from ..components.registry import Registry
    from ..distributed.ranks import Ranks
    from ..training.loop import Training
    from ..training.resume import Opened
    from ._layers import Layers


def part_flags(function: Callable[..., int], without: Sequence[str] = ()) -> Callable[..., int]:
    """A flag for each kind of component that has one, but for some of them."""
    for kind in reversed(KINDS.values()):
        if kind.flag and kind.flag not in without:
            paths = "FOLDER" in kind.metavar
            function = click.option(
                f"--{kind.flag}",
                metavar=kind.metavar,
                multiple=kind.many,
                shell_complete=components(kind.name, files=paths, none=kind.many),
                help=kind.help,
            )(function)
    return function


BATCH_SIZE = click.option("--batch-size", metavar="N", help="Real images in one update.")
MACHINE = (
    click.option("--device", metavar="NAME", help="auto, cpu, cuda, cuda:1, mps."),
    click.option("--precision", metavar="NAME", help="auto, fp32, tf32, bf16."),
    click.option(
        "--engine", metavar="NAME", help="How updates run: auto, eager, compiled, captured."
    ),
)
SETTINGS = click.option(
    "--set",
    "settings",
    metavar="SECTION.KEY=VALUE",
    multiple=True,
    shell_complete=settings,
    help="Any option: --set gen.width=64.",
)


def machine_flags(function: Callable[..., int]) -> Callable[..., int]:
    """Where and how updates run."""
    for flag in reversed(MACHINE):
        function = flag(function)
    return function


@click.command("train", short_help="Train a GAN from named parts.")
@part_flags
@click.option(
    "--data-root", metavar="DIR", help="Where downloaded sets lie; GANZOO_DATA by default."
)
@click.option("--resolution", metavar="N|HxW", help="Resize pictures to this.")
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A run file, over the recipe; - reads it from stdin.",
)
@SETTINGS
@click.option("--images", metavar="COUNT", help="Real images to show, for instance 200k.")
@BATCH_SIZE
@click.option("--seed", metavar="N", help="Of everything random; the same seed gives the same run.")
@machine_flags
@click.option("--keep", metavar="N", help="Checkpoints to keep.")
@click.option(
    "--tune-gamma", is_flag=True, help="Let the weights of gradient penalties follow the training."
)
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
@click.option(
    "--from-scratch",
    is_flag=True,
    help="With --resume: begin again when no checkpoint of the run can be used.",
)
@click.option(
    "--accept-data",
    is_flag=True,
    help="With --resume: go on although the data have changed.",
)
@click.option(
    "--save-recipe",
    type=click.Path(path_type=Path),
    metavar="FILE.toml",
    help="Write the settings as a recipe, without the data's path; with --dry-run, that alone.",
)
@click.option("--dry-run", is_flag=True, help="Print the assembled pipeline and stop.")
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: print JSON.")
def command(
    out: Path | None,
    resume: Path | None,
    from_scratch: bool,
    accept_data: bool,
    save_recipe: Path | None,
    dry_run: bool,
    as_json: bool,
    **given: Any,
) -> int:
    """Train a GAN assembled from named parts; `ganzoo list` shows them.

    \b
    ganzoo train --gen dcgan --loss nonsat --reg gp
    ganzoo train --data photos.zip --recipe rpgan-r1r2 --images 2M
    """
    if as_json and not dry_run:
        raise UsageError("--json: goes with --dry-run; a training's figures are in its log.jsonl")
    ranks = _ranks.join(given["device"])
    if ranks is not None and not ranks.first:
        return _ranks.follow(ranks, loaded().registry)
    if resume is not None:
        if given["recipe"] or given["config_file"] or out or save_recipe:
            raise UsageError(
                "--resume: a run keeps its configuration and its folder; leave out --recipe, "
                "--config, --out and --save-recipe"
            )
        insists = {"from_scratch": from_scratch, "accept_data": accept_data}
        return _resume(resume, given, insists, dry_run, as_json, ranks)
    if from_scratch or accept_data:
        flag = "--from-scratch" if from_scratch else "--accept-data"
        raise UsageError(f"{flag}: goes with --resume RUN")
    return _begin(out or Path("runs"), given, save_recipe, dry_run, as_json, ranks)


def _begin(
    root: Path,
    given: dict[str, Any],
    save_recipe: Path | None,
    dry_run: bool,
    as_json: bool,
    ranks: Ranks | None,
) -> int:
    """Assemble what the flags say, and train it in a new folder; returns the exit code."""
    from ..training import run_folder as runs
    from ._layers import configure, words

    begun = None if dry_run else _ranks.begun(root)
    if begun is not None:  # this job of torchrun was restarted
        nothing = {name: () if isinstance(value, tuple) else None for name, value in given.items()}
        insists = {"from_scratch": False, "accept_data": False}
        return _resume(begun, nothing, insists, ranks=ranks)
    registry = loaded().registry
    layers = configure(registry, given, words=words())
    if not dry_run:
        runs.check_root(root)
    if save_recipe is not None:
        _check_recipe(save_recipe)
    pipeline = _assembled(layers, registry, ranks)
    if save_recipe is not None:
        _save_recipe(save_recipe, pipeline)
    if dry_run:
        _ranks.dismiss(ranks)
        show(pipeline, as_json)
        return 0
    from ..assembly import memory  # late: a wrong setting is refused before torch is loaded

    with patience():
        memory.check_fits(pipeline)
    folder = runs.new_folder(root, pipeline.config)
    with contextlib.ExitStack() as stack:
        stack.callback(runs.Lock(folder).release)
        _ranks.remember(root, folder)
        return run(pipeline, folder, pipeline.notes)


def _assembled(layers: Layers, registry: Registry, ranks: Ranks | None = None) -> Pipeline:
    """The pipeline of a configuration, with a bar while its pictures are read; ranks: who trains it
    together.
    """
    with patience():
        from ..assembly.assembling import assemble
        from ._report import data_progress

    from ..distributed.ranks import ALONE
    from ..training import following

    ranks = ranks or ALONE
    following.invite(ranks, layers.config, layers.meant)
    with patience("opening the data"), data_progress() as progress:
        pipeline = assemble(layers.config, registry.meaning(layers.meant), progress, ranks)
    ranks.compare(following.identity(pipeline))
    pipeline.notes[:0] = layers.notes
    return pipeline


def _check_recipe(path: Path) -> None:
    """Raises an error for a place that no recipe can be written to."""
    from ..io.files import check_folder

    if path.suffix.lower() != ".toml":
        raise UsageError(f"--save-recipe {path}: write a name that ends in .toml")
    if path.exists():
        raise UsageError(f"--save-recipe {path}: there is such a file already")
    check_folder(path.parent, "save_recipe", path)


def _save_recipe(path: Path, pipeline: Pipeline) -> None:
    """The settings that are not as by default, and every option of every part, as a recipe."""
    import tomlkit

    from ..io.files import write_bytes

    tree = pipeline.config.tree()
    tree["data"] = {k: v for k, v in tree["data"].items() if k not in ("name", "root")}
    tree["train"] = {k: v for k, v in tree["train"].items() if k not in ("device", "engine")}
    defaults = configuration.defaults()
    recipe = {
        section: {k: v for k, v in values.items() if _tells(section, k, v, defaults)}
        for section, values in tree.items()
    }
    about = {"summary": f"Saved by ganzoo train: {path.stem}"}
    text = tomlkit.dumps(about | {k: v for k, v in recipe.items() if v})
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, text.encode())
    echo(f"recipe     {path}   (ganzoo train --config {shlex.quote(str(path))})", err=True)


def _tells(section: str, key: str, value: Any, defaults: dict[str, Any]) -> bool:
    """Whether a recipe must say a setting: a part's name and options, and what was changed."""
    return key == "name" or defaults.get(section, {}).get(key) != value


def _tell(notes: Iterable[str]) -> None:
    from ._report import say

    for note in notes:
        say(f"note: {plain(note)}")


def _resume(
    folder: Path,
    given: dict[str, Any],
    insists: dict[str, bool],
    dry_run: bool = False,
    as_json: bool = False,
    ranks: Ranks | None = None,
) -> int:
    """Go on with a run in its folder, or show how it would; returns the exit code."""
    from ..assembly import memory
    from ..training import resume as resuming
    from ..training import run_folder as runs
    from ._layers import configure, words

    registry = loaded().registry
    left = ""
    with contextlib.ExitStack() as stack:
        if not dry_run and resuming.is_run(folder):
            lock = runs.Lock(folder)  # held before anything is read
            stack.callback(lock.release)
            left = lock.left
        opened = resuming.open_run(folder, from_scratch=insists["from_scratch"])
        known = {f"{c.distribution}:{c.plugin}" for c in registry.components()}
        runs.check_installed(opened.about, known, folder)
        tree = opened.config.tree()
        meant = configuration.recorded(tree, opened.about.get("plugins"))
        layers = configure(registry, given, tree, words(), meant)
        runs.check_same(opened.config, layers.config, folder)
        pipeline = _assembled(layers, registry, ranks)
        accept = insists["accept_data"]
        changed = resuming.check_data(opened, pipeline.dataset, accept=accept)
        notes = [*opened.notes, *runs.check_versions(opened.about, pipeline), *changed]
        if dry_run:
            _ranks.dismiss(ranks)
            _tell(notes)
            show(pipeline, as_json)
            return 0
        with patience():
            memory.check_fits(pipeline)
        notes += [runs.ended_badly(left, pipeline)] if left else []
        return run(pipeline, folder, [*notes, *pipeline.notes], opened)


def run(
    pipeline: Pipeline, folder: Path, notes: Sequence[str], opened: Opened | None = None
) -> int:
    """Train in a folder whose lock is held, and say where everything is; returns the exit code."""
    import torch

    from ..assembly import memory
    from ..doctor.live import Watch
    from ..io.activity import heard
    from ..training import failures, following
    from ..training import resume as resuming
    from ..training import rollback as recovery
    from ..training import run_folder as runs
    from ..training.loop import Interrupted, Training
    from ._report import Reporter, now_and_then, say, stopping

    reporter = Reporter(pipeline)
    try:
        watch = Watch(pipeline, say)
        training = Training(pipeline, folder, [reporter, watch], reporter.tick, say)
        if opened is not None:
            resuming.restore(opened, training, say)
            reporter.start_from(training.images)
        following.meet(training, opened is not None and opened.manifest is not None)
        _tell(notes)
        runs.describe(folder, pipeline, shlex.join(["ganzoo", *sys.argv[1:]]))
        goal = training.config.train.images
        if training.images >= goal:
            say(f"note: this run has shown its {goal:,} images already; --images N extends it")
        say(f"run folder: {folder}")
        kept = failures.kept(training, folder)
        with stopping(training, reporter.announce), heard(now_and_then), kept:
            recovery.run(training, say)
    except torch.OutOfMemoryError:
        raise memory.after_failure(pipeline) from None
    except Interrupted as error:  # asked for, and no error
        say(f"{error}; continue with: ganzoo train --resume {shlex.quote(str(folder))}")
        return 128 + error.signal
    _goodbye(training, folder)
    return 0


def _goodbye(training: Training, folder: Path) -> None:
    from ..io import untrusted_folder as inside

    pipeline, images, best = training.pipeline, training.images, training.scoring.best
    pictures = [
        p
        for p in inside.listing(folder / "samples", folder)
        if p.suffix == ".png" and "." not in p.stem
    ]
    name = shlex.quote(str(folder))
    echo(f"trained on {images:,} images")
    if pictures:
        echo(f"  picture    {pictures[-1]}   (real: {folder / 'real.png'})")
    if (folder / "progress.gif").is_file():
        echo(f"  progress   {folder / 'progress.gif'}")
    echo(f"  generator  {folder / 'generator.safetensors'}")
    if best is not None and best[1] < images:
        figure = f"{training.scoring.chosen()} {best[0]:.4g} after {best[1]:,} images"
        echo(f"  best       {folder / 'best.safetensors'}   ({figure})")
    echo(f"  run        {folder}")
    echo("next:")
    given = ""
    if pipeline.spec.given:  # the training's own pictures, where there is a folder of them
        own = "data" not in pipeline.owners
        given = f" --given {shlex.quote(pipeline.config.data.name) if own else 'PICTURES'}"
    echo(f"  ganzoo generate {name}{given} --count 64 --seed 1 --out grid.png")
    echo(f"  ganzoo train --resume {name} --images {2 * pipeline.config.train.images}")


def show(pipeline: Pipeline, as_json: bool) -> None:
    """Print the assembled pipeline: parts, options, parameter counts, memory."""
    from ..assembly.memory import estimate
    from ..components.isolation import off_stdout

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

    for line in tomlkit.dumps({k: v for k, v in pipeline.config.tree().items() if v}).split("\n"):
        echo(line)
    shape, classes = "x".join(map(str, pipeline.spec.shape)), pipeline.spec.classes
    echo(
        f"# data: {counted(len(pipeline.dataset), 'sample')} of {shape}, "
        + (f"{classes:,} classes" if classes else "labels not used")
    )
    for side, count in counts.items():
        echo(f"# {side}: {count:,} parameters")
    shares = ", ".join(
        f"{key} {value / 2**20:,.1f}" for key, value in memory.items() if key != "total"
    )
    each = " in each rank" if pipeline.ranks.count > 1 else ""
    needed = f"{memory['total'] / 2**20:,.0f} MiB on {pipeline.device}{each}"
    echo(f"# memory: about {needed} ({shares})")
    echo(
        f"# device {pipeline.device}, engine {pipeline.engine}, precision "
        f"{pipeline.parts.precision}"
    )
    for note in pipeline.notes:
        echo(f"# note: {plain(note)}")
