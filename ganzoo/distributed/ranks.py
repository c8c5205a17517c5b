"""The processes (ranks) that train one run together, started by torchrun."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..errors import DeviceError, GanzooError, Incompatible, UsageError, shown
from ..nn.shares import Timed, sharing
from .draws import WholeDraws
from .roll_call import RollCall

JOIN = timedelta(minutes=5)  # in which all ranks have to be there
WAIT = "GANZOO_WAIT_MINUTES"  # of the environment: the longest that a rank waits later on
# Gloo's threads end with their group. One that lets go of a tensor while Python ends aborts the
# program (PyTorch 2.15), so nobody is to hold the group when a rank has left: these have it as a
# default of their functions for ever if they are imported when there is one.
HOLDERS = ("fsdp", "nn", "optim")
PAUSE = 0.1  # seconds in which gloo's threads let go, where somebody holds the group all the same
GONE = ("Connection closed", "Connection reset", "Broken pipe", "timed out", "Timed out", "aborted")


class RankGone(GanzooError):
    """Another rank has ended, or has not answered for too long."""


class Unlike(Incompatible):
    """Ranks that cannot train one run; raised on all of them."""


class Ranks:
    """This process's place among the ranks, and what they say to each other.

    A program that is not started by torchrun is a rank alone, for whom nothing here costs anything.
    """

    def __init__(self, rank: int = 0, count: int = 1, device: torch.device | None = None) -> None:
        self.rank, self.count = rank, count
        self.device = device  # where it computes; None where the configuration alone says it
        self.roll_call: RollCall | None = None
        self._messages: dict[torch.dtype, Tensor] = {}
        self.timed: Timed | None = None  # entered around every message of an update

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes and speaks."""
        return self.rank == 0

    # The share of a batch.

    def share(self, whole: Tensor, parts: int = 1) -> Tensor:
        """This rank's rows of a tensor of the whole batch, [n, ...]: of each of its equal parts
        that lie behind each other, so that a part of the batch is spread over all ranks.
        """
        if self.count == 1:
            return whole
        size = len(whole) // parts // self.count
        start = self.rank * size
        return whole.view(parts, -1, *whole.shape[1:])[:, start : start + size].flatten(0, 1)

    @contextlib.contextmanager
    def as_one(self, samples: int) -> Iterator[None]:
        """Within, statistics and draws are those of the whole batch; samples: of this rank, in what
        is computed at once.
        """
        if self.count == 1:
            yield
            return
        draws = WholeDraws(self.rank, self.count, samples)
        with self._sharing(), draws:
            yield

    @contextlib.contextmanager
    def with_own_draws(self) -> Iterator[None]:
        """As `as_one`, but what is drawn is this rank's alone: compiled code draws past the mode
        that `as_one` draws by.
        """
        if self.count == 1:
            yield
            return
        seed = int(torch.randint(1 << 62, ()))  # of generators that are alike on all ranks
        gpu = self.device is not None and self.device.type == "cuda"
        devices = [self.device] if gpu else []
        alike = torch.random.fork_rng(devices)
        with self._sharing(), alike:
            torch.manual_seed(seed + self.rank)
            yield

    def _sharing(self) -> contextlib.AbstractContextManager[None]:
        name = dist.group.WORLD.group_name  # type: ignore[union-attr]
        return sharing(self.rank, self.count, name, self.timed)

    # Sums and words.

    @torch.no_grad()
    def average(self, tensors: Sequence[Tensor], precision: torch.dtype = torch.float32) -> None:
        """Put the means over ranks in the place of tensors: joined, one message."""
        if self.count == 1:
            return
        sizes = [tensor.numel() for tensor in tensors]
        joined = self._message(sum(sizes), precision, tensors[0])
        parts = joined.split(sizes)
        for part, tensor in zip(parts, tensors, strict=True):
            part.view_as(tensor).copy_(tensor)
        with self._answering(), self.timed(joined) if self.timed else contextlib.nullcontext():
            dist.all_reduce(joined)
        joined.div_(self.count)
        for part, tensor in zip(parts, tensors, strict=True):
            tensor.copy_(part.view_as(tensor))

    def _message(self, numbers: int, precision: torch.dtype, like: Tensor) -> Tensor:
        """Where a message of averages is put together. It is kept, since fresh memory of that size
        takes as long as a message.
        """
        kept = self._messages.get(precision)
        if kept is None or len(kept) < numbers or kept.device != like.device:
            kept = self._messages[precision] = like.new_empty(numbers, dtype=precision)
        return kept[:numbers]

    def agree(self, *numbers: int) -> list[int]:
        """The largest of each number that a rank brings; all ranks get the same."""
        if self.count == 1:
            return [*numbers]
        largest = torch.tensor(numbers)
        with self._answering():
            dist.all_reduce(largest, dist.ReduceOp.MAX)
        return largest.tolist()

    def give(self, content: bytes = b"") -> bytes:
        """What the first rank gives, on every rank."""
        if self.count == 1:
            return content
        size = torch.tensor([len(content)])
        with self._answering():
            dist.broadcast(size, 0)
            data = torch.empty(int(size), dtype=torch.uint8)
            if self.first:
                data.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
            dist.broadcast(data, 0)
        return data.numpy().tobytes()

    def tell(self, tree: Any = None) -> Any:
        """As `give`, what JSON can say."""
        return json.loads(self.give(json.dumps(tree).encode() if self.first else b""))

    def gathered(self, own: Tensor, counts: Sequence[int]) -> Tensor:
        """The rows of all ranks one after another, on the first; on the others, their own alone.

        counts: the rows that each rank has
        """
        if self.count == 1:
            return own
        with self._answering():
            if not self.first:
                if len(own):
                    dist.send(own.contiguous(), 0)
                return own
            whole = own.new_empty(sum(counts), *own.shape[1:])
            parts = whole.split([*counts])
            parts[0].copy_(own)
            for rank in range(1, self.count):
                if counts[rank]:
                    dist.recv(parts[rank], rank)
        return whole

    def equal_weights(self, nets: Sequence[nn.Module]) -> None:
        """Give every rank the first one's weights and buffers."""
        if self.count == 1:
            return
        with self._answering(), torch.no_grad():
            for net in nets:
                for tensor in (*net.parameters(), *net.buffers()):
                    there = tensor.detach().contiguous()
                    dist.broadcast(there, 0)
                    tensor.copy_(there)

    def compare(self, about: Mapping[str, Any]) -> None:
        """Raises Unlike on every rank, naming the first thing in which one differs from the
        first rank.
        """
        if self.count == 1:
            return
        theirs = self.tell({key: str(value) for key, value in about.items()})
        unlike = [i for i, (k, v) in enumerate(about.items()) if theirs[k] != str(v)]
        number = unlike[0] if unlike else len(about)
        # The largest: the first thing that differs anywhere, and the rank that it differs on.
        worst = self.agree((len(about) - number) * self.count + self.rank if unlike else -1)[0]
        if worst < 0:
            return
        name = [*about][len(about) - worst // self.count]
        rank = worst % self.count
        value = self._of(rank, str(about[name]))
        if self.roll_call is not None:
            self.roll_call.end()
        raise Unlike(
            f"rank {rank} has another {name} than rank 0: {shown(value)} for {shown(theirs[name])}",
            remedy="start all ranks with the same code, settings, data and kind of device",
        )

    def _of(self, rank: int, text: str) -> str:
        """What one rank says."""
        content = text.encode()[:200].ljust(200)
        data = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        with self._answering():
            dist.broadcast(data, rank)
        return data.numpy().tobytes().decode(errors="replace").strip()

    def lost(self, error: Exception) -> RankGone | None:
        """What an error says of the other ranks, if it is what their end makes of a message."""
        if not any(sign in str(error) for sign in GONE):
            return None
        who = self.roll_call.missing() if self.roll_call is not None else "another rank"
        return RankGone(f"{who} has ended or does not answer", remedy="its own line says why")

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        """Raises RankGone where another rank does not answer."""
        try:
            yield
        except RuntimeError as error:
            raise self.lost(error) or error from None

    def leave(self) -> None:
        """Say goodbye, where there is somebody."""
        if self.roll_call is not None:
            self.roll_call.end()
        if self.count == 1 or not dist.is_initialized():
            return
        group = weakref.ref(dist.group.WORLD)
        with contextlib.suppress(Exception):
            dist.destroy_process_group()
        if group() is not None:  # DTensor remembers the groups of nets that were spread
            time.sleep(PAUSE)  # other threads may have Python's lock meanwhile


ALONE = Ranks()


def started_by_torchrun() -> bool:
    """Whether this process is one of several ranks that torchrun started."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "TORCHELASTIC_RUN_ID")
    return all(name in os.environ for name in names)


def join(device: str) -> Ranks:
    """Meet the other ranks; a rank alone where torchrun did not start this process.

    device: the configured one; "auto" is the GPU of the rank's own number. Raises DeviceError where
    there is none, GanzooError when the others cannot be met.
    """
    if not started_by_torchrun():
        return ALONE
    rank, count, local = (int(os.environ[n]) for n in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    own = _device(device, local)
    if count == 1:
        return Ranks(device=own)
    backend = "cpu:gloo,cuda:nccl" if own.type == "cuda" else "gloo"
    if own.type == "cuda":
        torch.cuda.set_device(own)
    wait = _wait()
    for name in HOLDERS:
        importlib.import_module(f"torch.distributed.{name}")
    try:
        store = _store(count)
        dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=wait)
        met = Ranks(rank, count, own)
        met.roll_call = RollCall(store, rank, count, asks=rank == 0 or local == 0)
    except (RuntimeError, ValueError) as error:
        raise GanzooError(f"rank {rank} cannot meet the others: {error}") from None
    return met


def _wait() -> timedelta:
    """The longest that a rank waits for the others, since rank 0 may be measuring or writing."""
    text = os.environ.get(WAIT, "30")
    try:
        minutes = float(text)
        if not 0 < minutes <= 1e5:
            raise ValueError
    except ValueError:
        raise UsageError(f"{WAIT}={shown(text)}: no time", remedy="write minutes, as 30") from None
    return timedelta(minutes=minutes)


def _store(count: int) -> Any:
    """Where the ranks leave their addresses: torchrun's own store, in a place of this start's own.

    torchrun keeps one store over restarts, and in it lie the addresses of ranks that are gone;
    PyTorch's own way takes them for those of the new ones (seen with torch 2.15, gloo).
    """
    from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    first = os.environ["RANK"] == "0" and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    store = TCPStore(address, port, is_master=first, timeout=JOIN, wait_for_workers=False)
    start = f"ganzoo/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}/{count}"
    number = (store.add(f"{start}/ranks", 1) - 1) // count  # the same, where machines come and go
    return PrefixStore(f"{start}/{number}", store)


def _device(name: str, local: int) -> torch.device:
    """The device of a rank: a GPU of its own, or the CPU that all share."""
    place: Any = {"section": "train", "key": "device", "value": name}
    if name not in ("auto", "cpu", "cuda"):
        raise UsageError(
            "under torchrun every rank has a device of its own", remedy="leave it out", **place
        )
    there = torch.cuda.device_count() if name != "cpu" and torch.cuda.is_available() else 0
    if name == "cpu" or (name == "auto" and not there):
        return torch.device("cpu")
    if local >= there:
        raise DeviceError(
            f"rank {local} of this machine has no GPU: PyTorch sees {there}",
            remedy="start as many ranks as there are GPUs, or use",
            change={"train.device": "cpu"},
            **place,
        )
    return torch.device("cuda", local)
