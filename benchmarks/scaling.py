"""How data-parallel training would scale on machines that are not at hand: a model, in which
nothing but the size of the messages is measured: `python -m benchmarks.scaling`.

With --gloo the same model is held against ranks of this machine, with --links 1 for nodes that
have one link between them instead of eight. What the figures rest on says docs/scaling.md.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

NODE = 8  # GPUs of a node
# Published: what NCCL gets out of NVLink of H100 (450 GB/s on the wire) and of a link of
# 400 Gbit/s, as NVIDIA's engineers say in NVIDIA/nccl-tests, issues 212 and 290 (46 to 48 GB/s).
NVLINK, LINK = 370e9, 47e9  # bytes/s of a GPU's bus within a node; of a link between nodes
A100 = 235e9  # most that NCCL expects within a node of A100s (NVIDIA/nccl, src/graph/tuning.cc)
# NCCL's own figures for its protocol for large messages, in seconds (the same file).
RING = (8.4e-6, 3.4e-6, 9.6e-6)  # a call, a step within a node, a step between nodes
TREE = (0.0, 28e-6, 50e-6)
SLOWER = 1.9  # times which steps of a ring over nodes take, there
TREE_SHARE = 0.9  # of the bus that a tree uses, there
BUCKET = 25e6  # bytes of the last message, which nothing hides (PyTorch's DDP)
STATISTICS = 4096  # bytes of the statistics of a norm over the batch, at most
BACKWARD = 2 / 3  # of an update's computing, behind which messages can hide: an assumption
GOOD = 0.9
PRODUCT = 785e12  # FLOP/s of a matrix product in bf16 on an H200, measured by the project
PEAKS = 989 / 312  # of an H200 over an A100 in bf16, by NVIDIA's data sheets
REACHED = 0.4  # of it by nets for which no speed is known: an assumption; R3GAN reaches 0.39


@dataclass
class Net:
    """A pair of nets, and how long a GPU alone takes for an update of both."""

    name: str
    plugin: str
    shape: tuple[int, ...]
    share: int  # samples of a GPU
    whole: int  # samples of the published batch, or of the largest that was timed
    points: list[tuple[int, float]] = field(default_factory=list)  # (samples, seconds)
    classes: int = 0
    gen: dict[str, Any] = field(default_factory=dict)
    disc: dict[str, Any] = field(default_factory=dict)
    bytes: list[float] = field(default_factory=list)  # of the gradients of either net, counted
    statistics: int = 0  # messages of norms over the whole batch in an update of both, counted

    def count(self) -> None:
        """Build the nets without storage, and count; the time too where none was published."""
        import torch

        from ganzoo.components.loading import zoo
        from ganzoo.spec import Spec

        spec = Spec(self.shape, self.classes)
        with torch.device("meta"):
            nets = [
                zoo().registry.create(kind, self.plugin, spec, **options)
                for kind, options in (("generator", self.gen), ("discriminator", self.disc))
            ]
        self.bytes = [4.0 * sum(p.numel() for p in net.parameters()) for net in nets]
        drawing, judging = map(_norms, nets)
        # Once forward where samples are drawn, real ones judged, generated ones judged; and once
        # backward but for samples that are drawn for the discriminator.
        self.statistics = 3 * drawing + 6 * judging
        if not self.points:
            self.points = [(1, _flop(spec, *nets) / (REACHED * PRODUCT))]

    def seconds(self, samples: int) -> float:
        """Along lines between what is known; in proportion above it. Below it the time stays, as
        the host's does, where several sizes are known; else it is in proportion.
        """
        known = self.points
        if len(known) == 1 or samples >= known[-1][0]:
            return known[-1][1] * samples / known[-1][0]
        if samples <= known[0][0]:
            return known[0][1]
        right = bisect_left([size for size, _ in known], samples)
        (a, at_a), (b, at_b) = list(pairwise(known))[right - 1]
        return at_a + (at_b - at_a) * (samples - a) / (b - a)


def _norms(net: Any) -> int:
    """Norms of a net over the batch."""
    import torch

    norm = torch.nn.modules.batchnorm._BatchNorm
    return sum(isinstance(m, norm) or getattr(m, "dims", "") == "batch" for m in net.modules())


def _flop(spec: Any, generator: Any, discriminator: Any) -> float:
    """Of a sample, in an update of both transformers of GAT at one level of noise, a backward pass
    taken as two forward ones: the discriminator judges real and generated ones, and both once more
    for its approximate penalties; the generator's update needs the real ones' verdicts too.
    """
    import torch

    from ganzoo.bench.machine_limits import _Flops

    with torch.no_grad(), torch.device("meta"):
        labels = torch.zeros(1, dtype=torch.long)
        with _Flops() as drawn:
            generator(torch.zeros_like(generator.draw_latents(1), device="meta"), labels)
        with _Flops() as judged:
            discriminator.score(discriminator.features(torch.zeros(1, *spec.shape)), labels)
    return float(4 * drawn.total + 15 * judged.total)


def points(*found: tuple[int, float]) -> list[tuple[int, float]]:
    """From (samples, images/s) to (samples, seconds)."""
    return [(size, size / speed) for size, speed in found]


def nets() -> list[Net]:
    """The four of the page; speeds are of others or of the project's notes, as the page says."""
    dcgan: dict[str, Any] = {"shape": (3, 64, 64), "share": 64, "whole": 1024}
    norm = {"norm": "batch"}
    style = {"width": 64}  # as theirs: cbase 16384
    told = {"latent_dim": 64, "labels": True}
    large: dict[str, Any] = {"size": "XL"}
    compiled = points((64, 6825), (256, 26232), (1024, 93488))
    captured = points((64, 36882), (256, 74476), (1024, 95413))
    small = (3, 32, 32)
    stylegan2 = ("stylegan2", (3, 256, 256), 16, 64)
    drawn = {"latent_dim": 512, "mapping": 2, **style}
    return [
        Net("dcgan-64, compiled", "dcgan", points=compiled, disc=norm, **dcgan),
        Net("dcgan-64, captured", "dcgan", points=captured, disc=norm, **dcgan),
        Net("stylegan2-256", *stylegan2, points((16, 79.8)), gen=drawn, disc=style),
        Net(
            "the same at H200's peak", *stylegan2, points((16, 79.8 * PEAKS)), gen=drawn, disc=style
        ),
        Net("r3gan", "r3gan", small, 64, 512, points((256, 967)), 10, told, {"labels": True}),
        Net("gat-xl", "gat", small, 64, 512, [], 10, told | large, {"labels": True} | large),
    ]


# Messages.


def bus(gpus: int, links: int) -> float:
    """Bytes/s that pass a GPU."""
    return NVLINK if gpus <= NODE else min(NVLINK, links * LINK)


def reduce_seconds(size: float, gpus: int, links: int = NODE, rate: float = 0.0) -> float:
    """Of one sum over all GPUs, by a ring or a tree, whichever is quicker, as NCCL chooses."""
    if gpus == 1:
        return 0.0
    rate = rate or bus(gpus, links)
    nodes = math.ceil(gpus / NODE)
    within, between = 2 * (gpus - nodes), 2 * (nodes - 1)
    waits = RING[0] + (within * RING[1] + between * RING[2]) * (SLOWER if nodes > 1 else 1)
    ring = waits + 2 * (gpus - 1) / gpus * size / rate
    deep = math.ceil(math.log2(nodes))
    waits = TREE[0] + 2 * ((min(gpus, NODE) - 1) * TREE[1] + deep * TREE[2])
    return min(ring, waits + 2 * size / (TREE_SHARE * rate))


def gather_seconds(size: float, gpus: int, links: int = NODE) -> float:
    """Of one net whose weights are gathered twice and whose gradients are summed once: half as much
    again as a sum over all GPUs, by rings.
    """
    if gpus == 1:
        return 0.0
    nodes = math.ceil(gpus / NODE)
    waits = RING[0] + (gpus - nodes) * RING[1] + (nodes - 1) * RING[2]
    return 3 * (waits + (gpus - 1) / gpus * size / bus(gpus, links))


def waits(net: Net, gpus: int, links: int) -> float:
    """Of the messages of norms, which computing waits for."""
    return net.statistics * reduce_seconds(STATISTICS, gpus, links)


Way = Callable[[Net, int, int, int], float]  # (net, samples of a GPU, GPUs, links) -> seconds


def plain(net: Net, samples: int, gpus: int, links: int) -> float:
    """An update as ganzoo's: the messages follow the computing."""
    sent = sum(reduce_seconds(size, gpus, links) for size in net.bytes)
    return net.seconds(samples) + waits(net, gpus, links) + sent


def overlapped(net: Net, samples: int, gpus: int, links: int) -> float:
    """An update whose messages but the last leave while the backward pass goes on."""
    total = half = net.seconds(samples) / 2
    total += half + waits(net, gpus, links)
    for size in net.bytes:
        last = reduce_seconds(min(size, BUCKET), gpus, links)
        total += max(last, reduce_seconds(size, gpus, links) - BACKWARD * half)
    return total


def sharded(net: Net, samples: int, gpus: int, links: int) -> float:
    """As plain, of nets that are sharded over all GPUs."""
    sent = sum(gather_seconds(size, gpus, links) for size in net.bytes)
    return net.seconds(samples) + waits(net, gpus, links) + sent


def efficiency(way: Way, net: Net, samples: int, gpus: int, links: int) -> float:
    """Images/s of a GPU, over those of one alone with as many samples."""
    return net.seconds(samples) / way(net, samples, gpus, links)


def least(way: Way, net: Net, gpus: int, links: int) -> int:
    """The fewest samples of a GPU with which it is good."""
    most = 1 << 20
    sizes = range(1, most)
    return bisect_left(sizes, True, key=lambda b: efficiency(way, net, b, gpus, links) >= GOOD) + 1


WAYS: dict[str, Way] = {"plain": plain, "overlapped": overlapped, "sharded": sharded}


def tables(found: Sequence[Net], links: int) -> list[str]:
    """The page's tables."""
    lines = [
        "| nets | gradients, generator and discriminator | update of a GPU alone |",
        "|---|---|---|",
    ]
    for net in found:
        sizes = " + ".join(f"{size / 1e6:,.1f} MB" for size in net.bytes)
        lines.append(f"| {net.name} | {sizes} | {net.seconds(net.share) * 1e3:,.1f} ms with "
                     f"{net.share} samples |")  # fmt: skip
    lines += [
        "",
        "| nets, samples of a GPU | GPUs | in messages | plain | overlapped | sharded | "
        "whole batch fixed | 0.9 from: plain / overlapped / sharded |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for net in found:
        lines += [_line(net, gpus, links) for gpus in (8, 64, 1024)]
    return lines


def _line(net: Net, gpus: int, links: int) -> str:
    sent = waits(net, gpus, links) + sum(reduce_seconds(size, gpus, links) for size in net.bytes)
    cells = [f"{net.name}, {net.share}", f"{gpus:,}", f"{sent * 1e3:.2f} ms"]
    cells += [f"{efficiency(way, net, net.share, gpus, links):.2f}" for way in WAYS.values()]
    own = net.whole / gpus
    fixed = f"{net.seconds(net.whole) / gpus / plain(net, int(own), gpus, links):.2f}"
    cells.append(f"{fixed} ({own:g} of {net.whole:,})" if own >= 1 else f"- (of {net.whole:,})")
    cells.append(" / ".join(f"{least(way, net, gpus, links):,}" for way in WAYS.values()))
    return f"| {' | '.join(cells)} |"


def published() -> list[str]:
    """Against what others measured: StyleGAN2's times for 1,000 images on 1, 2, 4 and 8 A100s with
    as many samples each (NVlabs/stylegan3, docs/configs.md, default configuration).
    """
    lines = [
        "| StyleGAN2, samples of a GPU | GPUs | predicted | measured by others |",
        "|---|---|---|---|",
    ]
    cases: list[tuple[int, int, dict[str, Any], list[float]]] = [
        (256, 16, {"width": 64}, [12.53, 6.36, 3.20]),
        (512, 8, {}, [41.06, 20.83, 10.45, 5.24]),
        (1024, 4, {}, [90.39, 46.04, 23.15, 11.66]),
    ]
    for side, share, width, times in cases:
        gen = {"latent_dim": 512, "mapping": 2, **width}
        net = Net("", "stylegan2", (3, side, side), share, 0, [(1, 1.0)], gen=gen, disc=width)
        net.count()
        alone = share * times[0] / 1000
        for number, measured in enumerate(times[1:], 1):
            gpus = 2**number
            sent = sum(reduce_seconds(size, gpus, rate=A100) for size in net.bytes)
            lines.append(
                f"| {side}x{side}, {share} | {gpus} | {alone / (alone + sent):.3f} | "
                f"{times[0] / measured / gpus:.3f} |"
            )
    return lines


# Against ranks of this machine.


def gloo(counts: Sequence[int], seconds: float) -> list[str]:
    """Ranks on the CPU: what the model makes of the times of single ranks and of gloo's messages,
    and what was measured. Ranks beyond the cores share them: computing takes as many times longer.
    """
    from ganzoo import config as configuration
    from ganzoo.bench import scaling

    lines = [
        "| nets | ranks | messages | computing | sending | update | update | in messages |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, sections in SMALL.items():
        tree = configuration.merge(configuration.defaults(), {**TRIED, **sections})
        rows = scaling.measure(configuration.check(tree), {}, counts, seconds)["rows"]
        for row in rows:
            count, computing, sent = row["ranks"], rows[0]["update_seconds"], 0.0
            if count > 1:
                own = {"train": {"batch_size": row["batch_size"] // count}}
                config = configuration.check(configuration.merge(tree, own))
                computing = _beside(config, count, seconds)
                sent = _sending(row)
            cells = [computing, sent, computing + sent, row["update_seconds"]]
            shown = " | ".join(f"{cell * 1e3:.1f} ms" for cell in cells)
            share = f"{row['message_share']:.0%}"
            lines.append(f"| {name} | {count} | {row['messages']:.0f} | {shown} | {share} |")
    return lines


def _beside(config: Any, count: int, seconds: float) -> float:
    """Seconds of an update by processes of one rank that compute beside each other, one a core."""
    from ganzoo.bench import scaling

    cores = len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(min(count, cores)) as pool:
        jobs = [
            pool.submit(scaling.measure, config, {}, [1], seconds) for _ in range(min(count, cores))
        ]
        found = [job.result()["rows"][0]["update_seconds"] for job in jobs]
    return statistics.mean(found) * max(1.0, count / cores)


def _sending(row: dict[str, Any]) -> float:
    """Seconds of an update's messages: its gradients, and as many small ones as there are more."""
    count, gradients = row["ranks"], [*row["gradient_bytes"].values()]
    others = max(0, round(row["messages"]) - len(gradients))
    rest = row["sent_bytes"] * count / (2 * (count - 1)) - sum(gradients)
    small = max(4, int(rest / others) // 4 * 4) if others else 4
    times = _link(count, [*gradients, small])
    return sum(times[:-1]) + others * times[-1]


TRIED: dict[str, Any] = {
    "data": {"name": "digits", "resolution": 32},
    "train": {"batch_size": 64, "device": "cpu", "engine": "eager", "precision": "fp32"},
}
SMALL: dict[str, dict[str, Any]] = {
    "mlp": {"gen": {"name": "mlp", "width": 1024}, "disc": {"name": "mlp", "width": 1024}},
    "dcgan": {"gen": {"name": "dcgan", "width": 32}, "disc": {"name": "dcgan", "width": 32}},
}


def _link(count: int, sizes: Sequence[int]) -> list[float]:
    """Seconds of a message of each size between ranks that compute before it."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "link.json"
        line = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        line += ["--nproc-per-node", str(count), "-m", "benchmarks.scaling"]
        line += ["--link", ",".join(map(str, sizes)), str(out)]
        env = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run(line, check=True, env=env, capture_output=True)
        found: list[float] = json.loads(out.read_text())
        return found


def link(sizes: Sequence[int], out: Path) -> None:
    """A rank of `_link`: the median of 50 messages, each from when the last rank has come to it, by
    the clock that processes of a machine share, to when the last one has it.
    """
    import torch
    import torch.distributed as dist

    from ganzoo.distributed.ranks import join

    ranks = join("cpu")
    found = []
    work = torch.rand(256, 256)
    for size in sizes:
        message = torch.zeros(size // 4)
        times = torch.zeros(60, 2, dtype=torch.float64)
        for turn in range(len(times)):
            for _ in range(5):  # about a millisecond, as between the messages of an update
                work @ work
            times[turn, 0] = time.monotonic()
            dist.all_reduce(message)
            times[turn, 1] = time.monotonic()
        latest = times[10:].clone()
        dist.all_reduce(latest, dist.ReduceOp.MAX)
        found.append(float((latest[:, 1] - latest[:, 0]).median()))
    if ranks.first:
        out.write_text(json.dumps(found))
    ranks.leave()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--links", type=int, default=NODE, help="between nodes, for each (8)")
    parser.add_argument("--gloo", default="", help="hold the model to so many ranks here: 1,2,4")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each measurement (10)")
    parser.add_argument("--link", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.link:
        link([int(size) for size in given.link[0].split(",")], Path(given.link[1]))
        return
    if given.gloo:
        print("\n".join(gloo([int(n) for n in given.gloo.split(",")], given.seconds)))
        return
    found = nets()
    for net in found:
        net.count()
    print("\n".join([*tables(found, given.links), "", *published()]))


if __name__ == "__main__":
    main()
