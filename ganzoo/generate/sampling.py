"""Drawing samples, from a net in training or from a generator file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from ..components.isolation import contained
from ..components.options import convert
from ..contracts import Condition, Spec
from ..contracts.game import conditioned
from ..engine.randomness import derive, forked, reseed
from ..engine.simulation import peak_of
from ..engine.sizes import check_samples
from ..errors import BrokenPlugin, UsageError, one_line, shown
from .generator_file import Header

CHUNK = 256  # samples drawn at once, and fewer when they have more than CHUNK_NUMBERS together
CHUNK_NUMBERS = 1 << 23


Share = tuple[int, int]  # (which, of how many): what one of several processes draws


@torch.no_grad()
def sample(
    net: nn.Module,
    count: int,
    seed: int,
    *,
    spec: Spec,
    label: int | None = None,
    given: Mapping[str, Tensor] | None = None,
    options: Mapping[str, Any] = MappingProxyType({}),
    share: Share = (0, 1),
) -> Tensor:
    """Samples [count, *shape] of a net in evaluation mode;
    the same seed gives the same latents on every device.

    Labels, for a conditional net: the given one, or every class in turn. given: what it reads,
    [count, ...] by name. options: those of sampling alone, which the net's `sampling` lists. share:
    those of the samples that are drawn; all shares one after another are what one draws
    """
    latents = net.draw_latents(  # type: ignore[operator]
        count, torch.Generator().manual_seed(seed), **options
    )
    labels = None
    if getattr(net, "conditional", False) and spec.classes:
        labels = (
            torch.arange(count) % spec.classes if label is None else torch.full((count,), label)
        )
    chunk, rows = chunk_of(spec), rows_of(count, spec, share)
    drawn = []
    for start in range(rows.start, rows.stop, chunk):
        # What the net draws by chance hangs on nothing but the seed and the place of the chunk.
        own = derive(seed, "chunk", start // chunk) if start else seed
        part = slice(start, start + chunk)
        with _at_rest(net, own):
            drawn.append(_of_latents(net, part, latents, labels, given or {}))
    return torch.cat(drawn) if drawn else torch.empty(0, *spec.shape)


def rows_of(count: int, spec: Spec, share: Share) -> range:
    """The samples of a share: whole chunks, since a net may draw others in other company."""
    which, shares = share
    chunk = chunk_of(spec)
    chunks = -(-count // chunk)
    ends = (min(chunks * number // shares * chunk, count) for number in (which, which + 1))
    return range(*ends)


@contextmanager
def _at_rest(net: nn.Module, seed: int) -> Iterator[None]:
    """The net in evaluation mode, with random numbers of its own: what it draws by chance must not
    disturb, nor depend on, those of a training.
    """
    was_training = net.training
    with forked(_device_of(net)):
        reseed(seed)
        net.eval()
        try:
            yield
        finally:
            net.train(was_training)


def _device_of(net: nn.Module) -> torch.device:
    return next((p.device for p in net.parameters()), torch.device("cpu"))


def _of_latents(
    net: nn.Module,
    part: slice,
    latents: Tensor,
    labels: Tensor | None,
    given: Mapping[str, Tensor],
) -> Tensor:
    """What a net draws of a part of latents."""
    device = _device_of(net)
    drawn: Tensor = net(
        latents[part].to(device),
        None if labels is None else labels[part].to(device),
        **{name: each[part].to(device) for name, each in given.items()},
    )
    return drawn.float()


def chunk_of(spec: Spec) -> int:
    """How many samples are drawn at once."""
    return max(1, min(CHUNK, CHUNK_NUMBERS // spec.numel))


class LoadedGenerator:
    """A generator from a file, ready to draw samples."""

    def __init__(
        self,
        net: nn.Module,
        header: Header,
        conditions: Callable[[], list[Condition]] = list,
    ) -> None:
        """conditions: builds what made the given of samples in the training."""
        self.net, self.header, self._conditions = net, header, conditions
        self.spec = header.spec()
        self._peaks: dict[int, int] = {}  # samples in one chunk -> bytes that drawing them takes

    def __repr__(self) -> str:
        made, shape = self.header, "x".join(map(str, self.spec.shape))
        images = shown(made.training.get("images"))
        part = f"{made.component} of {made.distribution} {made.version}"
        return f"LoadedGenerator({part}, samples of {shape}, trained on {images} images)"

    def given_of(self, samples: Tensor, seed: int = 0) -> dict[str, Tensor]:
        """What the training's conditions make of samples [n, *shape] in [-1, 1]: what `sample` is
        to be given for a net that reads. The samples themselves as "image" where it had none.
        """
        conditions = self._conditions()
        if not conditions:
            return {"image": samples}
        with torch.random.fork_rng(devices=[]):
            reseed(seed)
            return conditioned(conditions, samples)

    def _check_given(self, count: int, given: Mapping[str, Tensor]) -> None:
        for name, spec in self.spec.given.items():
            wanted = (count, *spec.shape)
            found = tuple(given[name].shape) if name in given else None
            if found != wanted:
                message = f"this generator reads {name!r}, {list(wanted)}"
                raise UsageError(message, key="given", value=found and list(found))
        for name in given.keys() - self.spec.given.keys():
            raise UsageError("this generator does not read that", key="given", value=name)

    def sample(
        self,
        count: int,
        seed: int = 0,
        label: int | None = None,
        given: Mapping[str, Tensor] | None = None,
        share: Share = (0, 1),
        **options: Any,
    ) -> Tensor:
        """Samples [count, *shape], images in [-1, 1];
        the same count and seed give the same samples.

        given: what it reads, [count, ...] by name, images in [-1, 1]
        share: (which, of how many) of equal shares that are drawn; all one after another are the
            samples
        options: those of sampling alone, as `truncation=0.7`; which there are, the generator says.

        Raises UsageError for others, and where what it reads is missing or of another shape;
        DeviceError, before anything is drawn, when so many do not fit in memory.
        """
        if count < 1:
            raise UsageError("give 1 or more", key="count", value=count)
        if label is not None and not (
            getattr(self.net, "conditional", False) and 0 <= label < self.spec.classes
        ):
            has = (
                f"has classes 0 to {self.spec.classes - 1}"
                if self.spec.classes
                else "was trained without labels"
            )
            raise UsageError(f"this generator {has}", key="label", value=label)
        self._check_given(count, given or {})
        chosen = self.sampling_options(options)
        self.check_room(max(len(rows_of(count, self.spec, share)), 1))
        about = {"label": label, "given": given, "options": chosen, "share": share}
        try:
            with contained():
                return sample(self.net, count, seed, spec=self.spec, **about)  # type: ignore[arg-type]
        except UsageError:
            raise
        except Exception as error:
            part = f"{self.header.component} of {self.header.distribution}"
            raise BrokenPlugin(
                f"{part} cannot draw {count} samples of shape {self.header.shape}: "
                f"{one_line(error)}"
            ) from error

    @torch.no_grad()
    def walk(
        self, corners: int, between: int, seed: int = 0, label: int | None = None, **options: Any
    ) -> Tensor:
        """Samples [corners * between, *shape] along a closed way through the latents of `corners`
        samples, on the sphere between two of them, where a normal prior has its mass. What else a
        net draws by chance, as StyleGAN2 its noise, is the same for all.

        label: of all, the first class unless it is given. Raises as `sample` does.
        """
        count = corners * between
        self.check_room(count, "corners")
        ends = self.net.draw_latents(  # type: ignore[operator]
            corners, torch.Generator().manual_seed(seed), **self.sampling_options(options)
        )
        turn = torch.arange(between).view(-1, *[1] * (ends.dim() - 1)) * torch.pi / 2 / between
        way = [ends[i] * turn.cos() + ends[(i + 1) % corners] * turn.sin() for i in range(corners)]
        told = getattr(self.net, "conditional", False) and self.spec.classes
        labels = torch.full((1,), label or 0) if told else None
        drawn = []
        for latent in torch.cat(way).split(1):
            with _at_rest(self.net, seed):
                drawn.append(_of_latents(self.net, slice(None), latent, labels, {}))
        return torch.cat(drawn)

    def sampling_options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Options of sampling alone, in the types that the generator lists; those that are None
        are left out. Raises UsageError for one that it has not.
        """
        known = getattr(self.net, "sampling", {})
        chosen = {name: value for name, value in given.items() if value is not None}
        for name, value in chosen.items():
            if name not in known:
                takes = f"it takes {', '.join(known)}" if known else "it takes none"
                part = self.header.component
                raise UsageError(
                    f"{part} has no such option of sampling; {takes}", key=name, value=value
                )
        return {name: convert(value, known[name], "", name) for name, value in chosen.items()}

    def check_room(self, count: int, key: str = "count") -> None:
        """Raises DeviceError when so many samples do
        not fit in memory, counted without drawing any.

        key: the argument that asks for them.
        """
        device = _device_of(self.net)
        chunk = min(count, chunk_of(self.spec))
        if chunk not in self._peaks:
            labels = torch.zeros(chunk, dtype=torch.long) if self.spec.classes else None
            given = {
                name: torch.zeros(chunk, *spec.shape) for name, spec in self.spec.given.items()
            }
            peak = peak_of(self.net, lambda net: _drawn(net, chunk, labels, given))
            self._peaks[chunk] = peak or 0
        check_samples(count, self.spec.numel, device, self._peaks[chunk], key=key)


@torch.no_grad()
def _drawn(net: Any, count: int, labels: Tensor | None, given: Mapping[str, Tensor]) -> Tensor:
    """One chunk of samples, as `sample` draws it."""
    latents = net.draw_latents(count)
    samples: Tensor = net(latents, labels if net.conditional else None, **given)
    return samples
