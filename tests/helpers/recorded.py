"""CUDA graphs as recorded operations on a CPU, as far as recording an update is concerned.

Recording computes nothing that lasts; a replay does the recorded operations again, in the same
tensors. A host that reads a value while it records is refused, as CUDA refuses it.
"""

import contextlib

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

from ganzoo.engine import capture
from ganzoo.training import loop as training_module


class Graph:
    def __init__(self):
        self.calls = []

    def replay(self):
        for func, args, kwargs, outputs in self.calls:
            again = tree_flatten(func(*args, **kwargs))[0]
            for old, new in zip(outputs, again, strict=True):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


class Recording(TorchDispatchMode):
    """Writes every operation down and remembers what it overwrites."""

    def __init__(self, graph):
        super().__init__()
        self.graph, self.undo = graph, []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func.namespace == "profiler":
            return func(*args, **kwargs)
        if func in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default):
            raise RuntimeError("operation not permitted when stream is capturing")
        for place, argument in enumerate(func._schema.arguments):
            written = argument.alias_info is not None and argument.alias_info.is_write
            if written or argument.name.startswith(
                "running_"
            ):  # batch norm's schema hides that it writes its statistics
                given = args[place] if place < len(args) else kwargs.get(argument.name)
                tree_map_only(
                    torch.Tensor,
                    lambda t: self.undo.append((t.detach(), t.detach().clone())),
                    given,
                )
        result = func(*args, **kwargs)
        detached = tree_map_only(torch.Tensor, torch.Tensor.detach, (args, kwargs))
        self.graph.calls.append(
            (
                func,
                *detached,
                tree_map_only(torch.Tensor, torch.Tensor.detach, tree_flatten(result)[0]),
            )
        )
        return result


class Refusing(TorchDispatchMode):
    """A host that waits for the device is an error,
    as under torch.cuda.set_sync_debug_mode("error").
    """

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default):
            raise RuntimeError("called a synchronizing CUDA operation")
        return func(*args, **(kwargs or {}))


class Line(contextlib.nullcontext):
    """A stream by name, which writes down what it waits for."""

    def __init__(self, name, said):
        super().__init__()
        self.name, self.said = name, said

    def wait_stream(self, other):
        self.said.append(f"{self.name} waits for {other.name}")


class Cuda:
    """What ganzoo.engine.capture uses of torch.cuda; `said` lists
    what streams were told, and when the host must not wait.
    """

    CUDAGraph = Graph

    def __init__(self):
        self.recordings, self.broken, self.recording, self.said = 0, 0, False, []
        self.refusing = None

    @contextlib.contextmanager
    def graph(self, graph, pool, stream, capture_error_mode):
        assert capture_error_mode == "thread_local"
        random_state = torch.get_rng_state()
        recording = Recording(graph)
        self.recording = True
        try:
            with recording:
                yield
        except Exception as error:
            self.broken += 1
            raise RuntimeError("operation failed due to a previous error during capture") from error
        finally:
            with torch.no_grad():
                for tensor, before in reversed(recording.undo):
                    tensor.copy_(before)
            torch.set_rng_state(random_state)
            self.recording = False
        self.recordings += 1

    def Stream(self, device):  # noqa: N802  (as torch.cuda's)
        return Line("side", self.said)

    def stream(self, stream):
        return stream

    def current_stream(self, device):
        return Line("current", self.said)

    def current_device(self):
        return 0

    def device(self, device):
        return contextlib.nullcontext()

    def graph_pool_handle(self):
        return (0, 1)

    def get_sync_debug_mode(self):
        return 0

    def set_sync_debug_mode(self, mode):
        self.said.append(f"waits: {mode}")
        if mode == "error":
            self.refusing = Refusing()
            self.refusing.__enter__()
        else:
            self.refusing.__exit__(None, None, None)

    def get_rng_state(self, device):
        return torch.get_rng_state()

    def set_rng_state(self, state, device):
        torch.set_rng_state(state)


def stand_in(monkeypatch):
    """Recordings without a GPU, of updates that are
    not compiled (how they compile, other tests hold).
    """
    monkeypatch.setattr(training_module, "JUDGED", 8)  # so that not every update is measured
    cuda = Cuda()
    monkeypatch.setattr(capture, "cuda", cuda)
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    monkeypatch.setattr(
        capture.Recorder,
        "_forget_recording",
        lambda self, random_state: torch.set_rng_state(random_state),
    )
    return cuda


def check_close(one, other):
    for group, content in one.items():
        for name, value in content.items():
            if isinstance(value, torch.Tensor) and value.is_floating_point():
                torch.testing.assert_close(
                    value,
                    other[group][name],
                    rtol=1e-4,
                    atol=1e-6,
                    msg=lambda m, n=name: f"{n}: {m}",
                )
            elif isinstance(value, torch.Tensor):
                assert torch.equal(value, other[group][name]), (group, name)
