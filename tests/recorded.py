"""CUDA graphs as recorded operations on a CPU, as far as recording an update is concerned.

Recording computes nothing that lasts; a replay does the recorded operations again, in the same tensors. A host that reads a value
while it records is refused, as CUDA refuses it.
"""

import contextlib

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only


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


class Cuda:
    """What ganzoo.capture uses of torch.cuda."""

    CUDAGraph = Graph
    recordings = 0

    @contextlib.contextmanager
    def graph(self, graph, pool, stream, capture_error_mode):
        assert capture_error_mode == "thread_local"
        random_state = torch.get_rng_state()
        recording = Recording(graph)
        try:
            with recording:
                yield
        except Exception as error:
            raise RuntimeError("operation failed due to a previous error during capture") from error
        finally:
            with torch.no_grad():
                for tensor, before in reversed(recording.undo):
                    tensor.copy_(before)
            torch.set_rng_state(random_state)
        self.recordings += 1

    class Stream(contextlib.nullcontext):
        def __init__(self, device):
            super().__init__()

        def wait_stream(self, other):
            pass

    def stream(self, stream):
        return stream

    def current_stream(self, device):
        return self.Stream(device)

    def device(self, device):
        return contextlib.nullcontext()

    def graph_pool_handle(self):
        return (0, 1)

    def get_rng_state(self, device):
        return torch.get_rng_state()

    def set_rng_state(self, state, device):
        torch.set_rng_state(state)
