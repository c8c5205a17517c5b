"""`ganzoo generate RUN|FILE`: samples from a trained generator."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import GanzooError, UsageError, one_line
from ..io.activity import doing
from . import _ranks
from ._echo import echo
from ._patience import patience
from ._shared import Count, Whole, counted, loaded, plain
from ._voice import speaks

if TYPE_CHECKING:
    from torch import Tensor

    from ..distributed.ranks import Ranks
    from ..generate.sampling import LoadedGenerator

APART = ("image", "video")  # of which a folder holds nothing but a file a sample
CORNERS, BETWEEN = 5, 16  # samples that a walk passes, and frames from one to the next
# Ending of --out -> the modalities that it is for, none for all.
FORMS: dict[str, tuple[str, ...]] = {
    ".png": (),
    ".npy": (),
    ".csv": ("points", "table"),
    ".txt": ("tokens",),
    ".gif": ("video",),
    ".wav": ("signal",),
}


@click.command("generate", short_help="Draw pictures from a trained generator.")
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--count", type=Count(), default=64, show_default=True, help="How many samples: 50k.")
@click.option(
    "--seed",
    type=Whole(0, (1 << 63) - 1),
    default=0,
    show_default=True,
    help="The same seed gives the same samples.",
)
@click.option(
    "--label",
    type=Whole(min=0),
    help="The class, for a conditional generator; else every class in turn.",
)
@click.option(
    "--truncation",
    type=float,
    help="Draw latents within so much of zero, for a generator that can: likelier samples, less "
    "varied.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("samples.png"),
    show_default=True,
    help="A .png for one picture, .npy for the numbers, .csv of points and tables, .txt of "
    "tokens, .gif of videos, .wav of signals, or a folder for one file a sample.",
)
@click.option(
    "--given",
    type=click.Path(path_type=Path),
    metavar="FOLDER|ZIP",
    help="Pictures for a generator that reads them; what it was given in its training is made of "
    "them.",
)
@click.option("--as-is", is_flag=True, help="The pictures of --given are what it reads already.")
@click.option(
    "--interpolate",
    type=click.Path(path_type=Path),
    metavar="FILE.gif",
    help="Also write a walk between the first samples.",
)
def command(
    source: Path,
    count: int,
    seed: int,
    label: int | None,
    truncation: float | None,
    out: Path,
    given: Path | None,
    as_is: bool,
    interpolate: Path | None,
) -> None:
    """Draw samples from SOURCE, a run folder or a generator.safetensors.

    Under torchrun each rank draws its share of the samples, and they are those of one process.
    """
    about = given, as_is, count, seed
    with _ranks.left_to_the_first():
        with _ranks.first_alone() as joined:
            if speaks():
                _check_places(out, interpolate)
            generator, read = _prepared(source, out, interpolate, about)
        count = len(next(iter(read.values()))) if read else count
        try:
            with patience(f"drawing {counted(count, 'sample')}"), _cleaning_up():
                _draw(generator, (count, seed, label, read), truncation, out, joined)
                if interpolate is not None and speaks():
                    doing("drawing the walk")
                    _walk(generator, seed, label, truncation, interpolate)
        except OSError as error:
            raise GanzooError(
                f"--out {out}: cannot be written: {error.strerror or one_line(error)}"
            ) from None
    if speaks():
        echo(f"{out}  ({counted(count, 'sample')}, seed {seed})")
        if interpolate is not None:
            echo(str(interpolate))


@contextlib.contextmanager
def _cleaning_up() -> Iterator[None]:
    """Within, a signal to end is an exception, so that nothing half done is left."""
    from ._report import stops

    def end(number: int) -> None:
        raise KeyboardInterrupt

    with stops(end):
        yield


def _prepared(
    source: Path, out: Path, interpolate: Path | None, about: tuple[Path | None, bool, int, int]
) -> tuple[LoadedGenerator, dict[str, Tensor]]:
    """The generator, and what it reads; about: --given, --as-is, --count and --seed."""
    generator = _opened(source, out)
    if interpolate is not None:
        generator.check_room(CORNERS * BETWEEN, "interpolate")
    read = _read(generator, *about)
    if read and interpolate is not None:
        raise UsageError("--interpolate: this generator draws from pictures, not from noise alone")
    return generator, read


def _opened(source: Path, out: Path) -> LoadedGenerator:
    """The generator, which draws what such a file can hold; a line where its part has changed."""
    registry = loaded().registry
    with patience():
        from .. import load

        doing("opening the generator")
        generator = load(source, registry)
    _check_form(out, generator)
    made = generator.header
    version = registry.get(
        "generator", f"{made.distribution}:{made.plugin}/{made.component}"
    ).version
    if version != made.version and speaks():
        line = (
            f"note: made with {made.distribution} {made.version} and drawn with {version}; the "
            f"pictures may differ"
        )
        echo(plain(line), err=True)
    return generator


def _draw(
    generator: LoadedGenerator,
    wanted: tuple[int, int, int | None, dict[str, Tensor]],
    truncation: float | None,
    out: Path,
    joined: Ranks | None,
) -> None:
    """Draw this rank's share, and write it; what is one file, the first rank writes."""
    from ..distributed.ranks import ALONE
    from ..generate import together

    ranks = joined or ALONE
    count, read = wanted[0], wanted[3]
    shares = together.shares_of(ranks, generator, count)
    apart = not out.suffix and generator.spec.modality in APART
    if ranks.first and not apart:
        generator.check_room(count)
    own = together.draw(ranks, generator, *wanted, truncation=truncation)
    drawn = own if apart else together.joined(ranks, shares, own)
    if out.suffix:
        if ranks.first:
            _write(generator, drawn, out, read.get("image"))
        return
    with together.whole_folder(out, ranks) as folder:
        if apart or ranks.first:
            _write_each(generator, drawn, folder, shares[ranks.rank].start if apart else 0)


def _check_places(out: Path, interpolate: Path | None) -> None:
    """Raises UsageError for names, and GanzooError for folders, that nothing can be written to."""
    if interpolate is not None and interpolate.suffix.lower() != ".gif":
        raise UsageError(f"--interpolate {interpolate}: write a name that ends in .gif")
    if out.suffix and out.suffix.lower() not in FORMS:
        raise UsageError(
            f"--out {out}: give a name that ends in .png for one grid, in .npy or .csv for the "
            f"numbers, in .txt, .gif or .wav, or one without a dot for a folder"
        )
    from ..io.files import check_folder

    check_folder(out.parent if out.suffix else out, "out", out)
    if not out.suffix:
        _check_free(out)
    if interpolate is not None:
        check_folder(interpolate.parent, "interpolate", interpolate)


def _check_free(folder: Path) -> None:
    """Raises UsageError for a folder that a new one cannot take the place of."""
    from ..io.files import check_folder

    if folder.is_dir() and any(folder.iterdir()):
        raise UsageError(f"--out {folder}: holds files already; name another folder")
    if folder.is_mount():
        raise UsageError(f"--out {folder}: a disk of its own; name a folder in it")
    check_folder(folder.resolve().parent, "out", folder)


def _check_form(out: Path, generator: LoadedGenerator) -> None:
    """Raises UsageError for a file in a form that such samples have not."""
    from ..generate.sounds import is_sound

    ending, spec = out.suffix.lower(), generator.spec
    fitting = FORMS.get(ending, ())
    if ending == ".csv" and spec.modality not in fitting:
        raise UsageError(
            f"--out {out}: only points are rows of a table; write .npy for numbers of "
            f"{spec.modality}s"
        )
    if fitting and spec.modality not in fitting:
        raise UsageError(
            f"--out {out}: for {' and '.join(fitting)} alone, and these are {spec.modality}; "
            f"write .png or .npy"
        )
    if ending == ".wav" and not is_sound(spec):
        raise UsageError(
            f"--out {out}: a sound has one or two channels, and these have {spec.shape[0]}; "
            f"write .npy"
        )


def _read(
    generator: LoadedGenerator, given: Path | None, as_is: bool, count: int, seed: int
) -> dict[str, Tensor]:
    """What the generator reads, made of the first pictures of a folder or zip."""
    reads = generator.spec.given
    if given is None and not reads:
        return {}
    if given is None:
        what = "pictures" if "image" in reads else f"the {', '.join(reads)} of pictures"
        raise UsageError(f"--given: this generator reads {what}; give a folder or zip of them")
    if not reads:
        raise UsageError(f"--given {given}: this generator reads nothing")
    import torch

    from ..data import load_pictures

    if set(reads) == {"vector"} and not as_is:
        return {"vector": _vectors(generator, given, count)}
    conditions = generator.header.conditions
    spec = generator.spec if conditions and not as_is else reads.get("image")
    if as_is and set(reads) != {"image"}:
        others = ", ".join(sorted(set(reads) - {"image"}))
        raise UsageError(f"--as-is: this generator reads {others} too, which is made with it")
    if spec is None or spec.modality != "image":
        raise UsageError(f"--given {given}: this generator reads {', '.join(reads)}, no pictures")
    channels, height, width = spec.shape
    with patience():
        pictures = load_pictures(given, resolution=(height, width), channels=channels)
        samples = pictures.batch(torch.arange(min(count, len(pictures))))[0]
        return {"image": samples} if as_is else generator.given_of(samples, seed)


def _vectors(generator: LoadedGenerator, given: Path, count: int) -> Tensor:
    """The vectors of the first pictures of a folder or zip."""
    import torch

    from ..data import load_pictures

    channels, height, width = generator.spec.shape
    with patience():
        pictures = load_pictures(given, resolution=(height, width), channels=channels)
    if "vector" not in pictures.given:
        raise UsageError(f"--given {given}: has no vectors.csv, whose vectors this generator reads")
    return pictures.gather(torch.arange(min(count, len(pictures)))).given["vector"]


def _write(
    generator: LoadedGenerator, samples: Tensor, out: Path, image: Tensor | None = None
) -> None:
    """One grid, or one table of numbers; in a grid, beside the picture given."""
    from ..contracts import Spec
    from ..generate.drawing import side_by_side
    from ..generate.pictures import write_picture

    if out.suffix.lower() != ".png":
        from ..io.files import write_bytes

        out.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(out, _whole(generator, samples, out.suffix.lower()))
        return
    if image is None:
        write_picture(out, samples, generator.spec)
        return
    shown = side_by_side([image, samples])
    write_picture(out, shown, Spec(tuple(shown.shape[1:])))


def _whole(generator: LoadedGenerator, samples: Tensor, ending: str) -> bytes:
    """All samples as one file of that ending."""
    from ..generate import pictures, sounds, tables, texts, videos

    spec = generator.spec
    samples = samples.detach().float().cpu()
    if ending == ".txt":
        return texts.lines_of(samples, spec)
    if ending == ".wav":
        return sounds.wav_of(samples, _rate(generator))
    if ending == ".gif":
        return pictures.gif(videos.animated(samples), pictures.FRAME)
    if spec.modality == "table" and ending == ".csv":
        return tables.csv_of(samples, spec)
    return _numbers(samples.numpy(), ending)


def _rate(generator: LoadedGenerator) -> int:
    """The samples a second of the data that it was trained on."""
    from ..generate.sounds import rate_of

    config = generator.header.training.get("config")
    data = config.get("data") if isinstance(config, dict) else None
    return rate_of(data if isinstance(data, dict) else {})


def _write_each(generator: LoadedGenerator, samples: Tensor, folder: Path, start: int) -> None:
    """A file a sample where one has a form of its own, else all in one; start: the first's."""
    from ..generate.images import to_bytes, to_image
    from ..generate.pictures import png
    from ..generate.sounds import is_sound
    from ..io.files import tensor_bytes, write_bytes

    spec = generator.spec
    if spec.modality == "image":
        for i, image in enumerate(to_bytes(samples), start):
            write_bytes(folder / f"{i:06d}.png", png(to_image(image)))
        return
    together = {"tokens": ".txt", "table": ".csv"}.get(spec.modality)
    if together:
        write_bytes(folder / f"samples{together}", _whole(generator, samples, together))
        return
    each = {"video": ".gif", "signal": ".wav" if is_sound(spec) else ""}.get(spec.modality, "")
    for i, sample in enumerate(samples if each else (), start):
        write_bytes(folder / f"{i:06d}{each}", _whole(generator, sample[None], each))
    if spec.modality != "video":  # points and signals have no picture of their own
        write_bytes(folder / "samples.safetensors", tensor_bytes({"samples": samples}))


def _numbers(samples: Any, form: str) -> bytes:
    """An array [n, ...] as .npy without pickle, or [n,
    d] as .csv that gives the same float32 numbers back.
    """
    import io

    import numpy as np

    buffer = io.BytesIO()
    if form == ".npy":
        np.save(buffer, samples, allow_pickle=False)
    else:
        names = ",".join(f"x{i + 1}" for i in range(samples.shape[1]))
        np.savetxt(buffer, samples, fmt="%.9g", delimiter=",", header=names, comments="")
    return buffer.getvalue()


def _walk(
    generator: LoadedGenerator, seed: int, label: int | None, truncation: float | None, path: Path
) -> None:
    """A looping walk through the latents of a few samples, as an animated picture."""
    from ..generate.pictures import draw, gif
    from ..io.files import write_bytes

    drawn = generator.walk(CORNERS, BETWEEN, seed, label, truncation=truncation)
    frames = [draw(frame[None], generator.spec).convert("RGB") for frame in drawn]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, gif(frames, 60))
