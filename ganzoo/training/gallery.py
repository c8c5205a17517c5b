"""The pictures of a run: real samples, and what is drawn of the same latents all along."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor

from ..assembly.pipeline import Pipeline
from ..contracts import Tracker
from ..engine.randomness import derive
from ..generate import drawing
from ..generate.pictures import write_pictures
from ..generate.sounds import rate_of
from ..io import untrusted_folder as inside
from ..io.transfer import Transfer
from . import progress_gif

PLOTTED = ("points", "table")  # drawn over the real ones, on the same axes
POINTS = 2000  # in a scatter plot, at least


class Gallery:
    """Draws into a run folder, if there is one, in the thread that `submit` gives jobs to; the
    listeners hear of every picture.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        folder: Path | None,
        listeners: Sequence[Tracker],
        submit: Callable[[Callable[[], None]], None],
    ) -> None:
        self.pipeline, self.folder = pipeline, folder
        self.listeners, self.submit = listeners, submit
        self._drawn = -1  # images at the last picture
        self._tile = pipeline.spec  # of it
        seed = pipeline.config.train.seed
        self._latents, self._chosen = derive(seed, "evaluation"), derive(seed, "real grid")
        # A scatter plot of few points shows nothing.
        plotted = pipeline.spec.modality in PLOTTED
        self._count = max(pipeline.config.samples.count, POINTS * plotted)

    def draw_real(self) -> None:
        """The picture of real samples."""
        self._picture("real", self._real())

    def draw(self, images: int) -> None:
        """The picture of this moment, if it is not drawn yet."""
        if self.folder is not None and self._drawn != images:
            self._picture(f"samples/{images:09d}", self.samples())
            self._drawn = images

    def strip(self, images: int) -> None:
        """All pictures so far as one that moves."""
        if self.folder is not None:
            folder, count, spec = self.folder, self._count, self._tile
            self.submit(lambda: progress_gif.write(folder, count, spec, images))

    def samples(self) -> Tensor:
        """Samples of the averaged generators at fixed latents, so that progress can be compared;
        beside what they were given, if that is a picture.
        """
        return drawing.tiles(self.pipeline, self._count, self._latents, self._chosen)

    def _real(self) -> Tensor:
        """Real samples, as many as a picture has, and always the same."""
        dataset = self.pipeline.dataset
        count = min(self._count, len(dataset))
        return dataset.batch(drawing.indices_of(dataset.at_hand, count, self._chosen))[0]

    def _picture(self, name: str, samples: Tensor) -> None:
        assert self.folder is not None
        path, spec = self.folder / f"{name}.png", drawing.tile_spec(self.pipeline, samples)
        self._tile = spec if "/" in name else self._tile
        below = self._real() if spec.modality in PLOTTED else None
        folder, transfer = self.folder, Transfer({name: samples}, self.pipeline.device)
        rate = rate_of(self.pipeline.config.data.options)

        def job() -> None:
            inside.make_folder(path.parent, folder)
            write_pictures(path, transfer.fetch()[name], spec, below, rate)
            for listener in self.listeners:
                listener.picture(name, path)

        self.submit(job)
