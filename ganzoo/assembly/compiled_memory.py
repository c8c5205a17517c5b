"""What a compiled update holds in memory, read from its graphs: it keeps less for the backward pass
than an eager one, and what is computed number by number in between never lies in memory.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, fx
from torch._dynamo.backends.common import aot_autograd
from torch._functorch._aot_autograd.utils import make_boxed_func
from torch._functorch.partitioners import min_cut_rematerialization_partition
from torch._inductor.decomposition import select_decomp_table

from ..contracts import Side, Spec
from ..engine.engine import compiled, only
from ..engine.losses import Parts, losses
from ..engine.simulation import inputs, simulated

aten = torch.ops.aten
LIBRARY = {
    aten.convolution,
    aten.convolution_backward,
    aten.mm,
    aten.addmm,
    aten.bmm,
    aten.baddbmm,
}  # want whole tensors
VIEWS = {
    aten.view, aten._unsafe_view, aten.permute, aten.expand, aten.slice, aten.select, aten.t,
    aten.transpose, aten.squeeze, aten.unsqueeze, aten.as_strided, aten.alias, aten.detach,
    aten.split, aten.split_with_sizes, aten.diagonal, aten.unbind,
}  # fmt: skip
MADE = {
    aten.full,
    aten.full_like,
    aten.scalar_tensor,
    aten.clone,
    aten._to_copy,
    aten.constant_pad_nd,
    torch.ops.prims.iota,
}
MOST_READS = 4  # a kernel of more inputs is cut in two


def compiled_peak(parts: Parts, spec: Spec, batch: int, side: Side) -> int:
    """The most that one compiled update holds beside the weights
    and their gradients. Takes seconds: the update is traced.
    """
    found: dict[str, fx.GraphModule] = {}

    def keep(name: str) -> Any:
        def compiler(graph: fx.GraphModule, examples: Any) -> Any:
            found[name] = graph
            return make_boxed_func(graph.forward)

        return compiler

    backend = aot_autograd(
        fw_compiler=keep("forward"),
        bw_compiler=keep("backward"),
        decompositions=select_decomp_table,
        partition_fn=min_cut_rematerialization_partition,
    )
    with simulated(parts) as faked, only(faked.net(side), faked.rival(side)):
        whole, latents = inputs(faked, spec, batch)
        compiled(losses(faked, side), backend)(whole, latents, torch.zeros(()), faked.due(side, 0))[
            0
        ].backward()
    tensors = (whole.samples, latents, *whole.given.values())
    given = sum(t.numel() * t.element_size() for t in tensors)
    width = 2 if parts.precision == "bf16" else 4
    packed = width * sum(
        p.numel() for p in parts.net(side).parameters()
    )  # libraries copy weights into an order of their own
    return 2 * given + packed + max(graph_peak(graph.graph) for graph in found.values())


def graph_peak(graph: fx.Graph) -> int:
    """The most bytes that live at once while a graph runs, without its primals:
    what is fused is not in memory, and a buffer is freed after its last use, or
    before, when what is computed number by number takes its place.
    """
    nodes = [node for node in graph.nodes if node.op != "output"]
    written = _written(graph, nodes)
    sizes = {node: _bytes(node) for node in written}
    last: dict[fx.Node, float] = dict.fromkeys(
        (_root(a) for a in graph.output_node().all_input_nodes), math.inf
    )
    reads: dict[fx.Node, set[fx.Node]] = {}
    for place, node in enumerate(nodes):
        if node.op == "placeholder" or _is(node, VIEWS):
            continue
        found = set[fx.Node]()
        for source in map(_root, node.all_input_nodes):
            found |= {source} if source in written else reads.get(source, set())
        reads[node] = found
        if len(found) > MOST_READS:
            written.add(node)
            sizes[node] = _bytes(node)
        if node in written:
            for source in found:
                last[source] = max(last.get(source, 0), place)
    dying: dict[float, list[fx.Node]] = {}
    for node, end in last.items():
        dying.setdefault(end, []).append(node)
    live = peak = sum(size for node, size in sizes.items() if node.op == "placeholder")
    for place, node in enumerate(nodes):
        if node.op == "placeholder" or node not in written:
            continue
        freed = sum(sizes.get(gone, 0) for gone in dying.get(place, ()))
        in_place = freed if _fusible(node) else 0
        live += sizes[node] - in_place
        peak = max(peak, live)
        live -= freed - in_place + (0 if node in last else sizes[node])
    return peak


def _written(graph: fx.Graph, nodes: list[fx.Node]) -> set[fx.Node]:
    """The nodes whose results lie in memory: what comes in or
    goes out, sums, and what a library computes or is given.
    """
    written = {_root(node) for node in graph.output_node().all_input_nodes}
    for node in nodes:
        if node.op == "placeholder" or not (_is(node, VIEWS) or _fusible(node)):
            written.add(node)
        if _is(node, LIBRARY):
            written |= {_root(source) for source in node.all_input_nodes}
    return written


def _fusible(node: fx.Node) -> bool:
    return _is(node, MADE) or torch.Tag.pointwise in getattr(node.target, "tags", ())


def _is(node: fx.Node, kinds: set[Any]) -> bool:
    return getattr(node.target, "overloadpacket", None) in kinds or (
        kinds is VIEWS and getattr(node.target, "__name__", "") == "getitem"
    )


def _root(node: fx.Node) -> fx.Node:
    """The node that a view looks at."""
    while node.op == "call_function" and _is(node, VIEWS):
        node = node.all_input_nodes[0]
    return node


def _bytes(node: fx.Node) -> int:
    """The size of a node's results; the primals, weights above all, are counted elsewhere."""
    if node.op == "placeholder" and node.name.startswith("primals"):
        return 0
    value = node.meta.get("val")
    several = value if isinstance(value, (tuple, list)) else [value]
    return sum(t.numel() * t.element_size() for t in several if isinstance(t, Tensor))
