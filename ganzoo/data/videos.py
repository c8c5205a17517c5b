"""Videos: a folder or zip of animated pictures, or of folders that hold the frames of one each."""

from __future__ import annotations

import contextlib
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field

from ..contracts import Dataset
from ..errors import BadData, printable
from ..io.device_memory import planned_memory
from .decoding import Pixels, count_frames, decode, decode_frames, parse_background
from .lazy import from_torch
from .scanning import NAMED, Progress, Scan, class_folders, reason, survey
from .source import Broken, Entry, Source, open_source
from .threads import in_chunks, processors

MAX_FRAMES = 1024  # of a video
MAX_PIXELS = 256 << 20  # of all frames of a video, before they are scaled
MAX_FRAME = 16 << 20  # pixels of one of them
LARGEST = 1 << 26  # numbers in one sample
Frames = Literal["auto"] | Annotated[int, Field(ge=1, le=MAX_FRAMES)]


@dataclass(frozen=True)
class _Clip:
    """A video, not decoded yet: a file with all its frames, or a file for each."""

    name: str
    entries: Sequence[Entry]
    frames: int


@dataclass(frozen=True)
class _Plan:
    """How videos become samples."""

    frames: int
    resolution: tuple[int, int]
    channels: int
    background: str

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (self.channels, self.frames, *self.resolution)


def load_videos(
    path: Path | str,
    *,
    frames: Frames = "auto",
    resolution: tuple[int, int] | None = None,
    channels: int | None = None,
    background: str = "white",
    progress: Progress | None = None,
    lazy: bool = False,
) -> Dataset:
    """The videos of a folder or zip, [n, channels, frames, *resolution] uint8, in memory.

    Where all pictures are animated, each is a video; else each folder of pictures is one, its
    frames in the order of the numbers in their names. Folders above are classes, as of pictures.

    frames: of each video the first so many, and shorter ones are left out; "auto" is for videos
        that all have the same number
    resolution, channels, background: as of `load_pictures`
    lazy: whether videos are decoded each time that they are asked for; so are those that do not
        fit in memory

    Raises BadData for videos of several lengths where `frames` is "auto", and for what
    `load_pictures` refuses.
    """
    parse_background(background)
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(open_source(path))
        found = survey(source)
        clips, broken = _clips(source, found)
        count = _count(found.path, clips, frames)
        plan = _Plan(count, found.resolution(resolution), found.channels(channels), background)
        kept = [clip for clip in clips if clip.frames >= count]
        _check_size(found, plan)
        if lazy or not _fit(plan, len(kept)):
            stack.pop_all()  # the source stays open
            return _lazily(source, kept, plan, len(clips) - len(kept), broken)
        samples, good, failed = _decoded(source, kept, plan, progress)
    broken += failed
    if not len(samples):
        first = f" ({printable(broken[0].name)}: {broken[0].reason})" if broken else ""
        raise BadData(f"{found.path}: none of its videos can be read{first}")
    classes, labels = class_folders([clip.name for clip in good])
    notes = _notes(plan, len(good), len(clips) - len(kept), broken, classes)
    return Dataset(samples, None if labels is None else torch.tensor(labels), classes, notes)


def _clips(source: Source, found: Scan) -> tuple[list[_Clip], list[Broken]]:
    """The videos, and what is none."""
    broken = list(found.broken)
    if found.animated == len(found):
        clips = []
        for entry in found.entries:
            try:
                with source.open(entry) as file:
                    clips.append(_Clip(entry.name, [entry], count_frames(file)))
            except Exception as error:  # a foreign file may make a codec raise anything
                broken.append(Broken(entry.name, reason(error)))
        return clips, broken
    if found.animated:
        raise BadData(
            f"{found.path}: {found.animated:,} animated pictures among {len(found):,}; give either "
            "animated ones alone, or a folder of frames for each video"
        )
    folders: dict[str, list[Entry]] = {}
    for entry in found.entries:
        folders.setdefault(entry.name.rpartition("/")[0], []).append(entry)
    # The name of a clip is that of a file in its folder's place, for the classes above it.
    return [
        _Clip(name, sorted(entries, key=_by_number), len(entries))
        for name, entries in sorted(folders.items())
    ], broken


def _by_number(entry: Entry) -> list[tuple[int, str]]:
    """The order of frames: frame2 before frame10."""
    parts = re.findall(r"[0-9]+|[^0-9]+", entry.name)
    return [(int(part[:18]), "") if part[0] in "0123456789" else (-1, part) for part in parts]


def _count(path: Path, clips: Sequence[_Clip], frames: int | str) -> int:
    """How many frames a sample has."""
    lengths = Counter(clip.frames for clip in clips)
    if not lengths:
        raise BadData(f"{path}: no videos in it")
    if isinstance(frames, int):
        if frames > max(lengths):
            raise BadData(
                f"{path}: no video has {frames} frames; the longest has {max(lengths)}",
                remedy="take",
                change={"data.frames": max(lengths)},
            )
        return frames
    if len(lengths) > 1:
        raise BadData(
            f"{path}: videos of {min(lengths)} to {max(lengths)} frames; of each the first are "
            "taken",
            remedy="by",
            change={"data.frames": lengths.most_common(1)[0][0]},
        )
    only = next(iter(lengths))
    if only > MAX_FRAMES:
        message = f"{path}: videos of {only:,} frames"
        raise BadData(message, remedy="take the first", change={"data.frames": MAX_FRAMES})
    return only


def _check_size(found: Scan, plan: _Plan) -> None:
    """Raises BadData where a video is larger than any that is read, before one is decoded."""
    largest = max(header.height * header.width for header in found.headers)
    if largest > MAX_FRAME or largest * plan.frames > MAX_PIXELS:
        raise BadData(
            f"{found.path}: videos of more than {MAX_PIXELS >> 20} Mpixel, or {MAX_FRAME >> 20} a "
            f"frame"
        )
    size = math.prod(plan.shape)
    free = planned_memory(torch.device("cpu"))
    if size > LARGEST or (free is not None and size > free):
        raise BadData(
            f"{found.path}: a video of {size / 2**20:.1f} MiB of pixels does not fit in memory; "
            f"take a smaller resolution, or fewer frames"
        )


def _fit(plan: _Plan, count: int) -> bool:
    """Whether so many videos fit in memory."""
    free = planned_memory(torch.device("cpu"))
    return free is None or count * math.prod(plan.shape) <= free


class _Videos:
    """Videos that are decoded when they are asked for."""

    def __init__(
        self, source: Source, clips: Sequence[_Clip], plan: _Plan, labels: Sequence[int] | None
    ) -> None:
        self.source, self.clips, self.plan, self.labels = source, clips, plan, labels
        self.colour = parse_background(plan.background)

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, place: int) -> Any:
        clip = self.clips[place]
        found = _decode(self.source, clip, self.plan, self.colour)
        if isinstance(found, str):
            raise BadData(f"{self.source.path}: {clip.name}: {found}")
        label = None if self.labels is None else self.labels[place]
        return torch.from_numpy(found), label


def _lazily(
    source: Source, clips: Sequence[_Clip], plan: _Plan, short: int, broken: Sequence[Broken]
) -> Dataset:
    """Videos that stay in their files; one that cannot be decoded ends what asks for it."""
    classes, labels = class_folders([clip.name for clip in clips])
    items = _Videos(source, clips, plan, labels)
    made = from_torch(items, classes=classes, digest=source.identity)
    notes = _notes(plan, len(clips), short, broken, classes)
    made.notes = [*notes, "videos are decoded each time that they are asked for"]
    return made


def _decoded(
    source: Source, clips: Sequence[_Clip], plan: _Plan, progress: Progress | None
) -> tuple[torch.Tensor, list[_Clip], list[Broken]]:
    """(samples, their clips, those that failed)."""
    samples = torch.empty(len(clips), *plan.shape, dtype=torch.uint8)
    colour = parse_background(plan.background)

    def run(places: Sequence[int]) -> list[tuple[int, Pixels | str]]:
        return [(place, _decode(source, clips[place], plan, colour)) for place in places]

    good: list[_Clip] = []
    failed: list[Broken] = []
    for results in in_chunks(run, range(len(clips)), threads=processors(), chunk=1):
        for place, found in results:
            if isinstance(found, str):
                failed.append(Broken(clips[place].name, found))
            else:
                samples[len(good)] = torch.from_numpy(found)
                good.append(clips[place])
            if progress:
                progress(place + 1, len(clips))
    return samples[: len(good)], good, failed


def _decode(source: Source, clip: _Clip, plan: _Plan, colour: tuple[int, int, int]) -> Pixels | str:
    """A video [c, t, h, w], or why there is none."""
    try:
        if len(clip.entries) == 1 and clip.frames > 1:
            with source.open(clip.entries[0]) as file:
                frames = decode_frames(file, plan.frames, plan.resolution, plan.channels, colour)
        else:
            frames = []
            for entry in clip.entries[: plan.frames]:
                with source.open(entry) as file:
                    frames.append(decode(file, plan.resolution, plan.channels, colour))
        return np.stack(frames, 1)
    except Exception as error:  # a foreign file may make a codec raise anything
        return reason(error)


def _notes(
    plan: _Plan, count: int, short: int, broken: Sequence[Broken], classes: Sequence[str]
) -> list[str]:
    """What was made of the videos, for the person to read."""
    height, width = plan.resolution
    size = f"{plan.channels}x{plan.frames}x{height}x{width}"
    notes = [f"{count:,} videos as {size} (channels x frames x height x width)"]
    if short:
        notes.append(f"{short:,} of fewer than {plan.frames} frames left out")
    if classes:
        notes.append(f"labels from {len(classes)} class folders")
    if broken:
        named = ", ".join(f"{printable(b.name)} ({b.reason})" for b in broken[:NAMED])
        notes.append(f"{len(broken):,} broken left out: {named}")
    return notes
