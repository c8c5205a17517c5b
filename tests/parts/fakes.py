"""Distributions on disk that are no more than their metadata:
what importlib.metadata finds for an installed plugin.
"""

from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, distributions
from pathlib import Path


def entries(
    folder: Path,
    distribution: str,
    targets: Mapping[str, str],
    version: str = "1.0",
    requires: Iterable[str] = (),
) -> list[EntryPoint]:
    """The ganzoo entry points of a distribution made in `folder`, from `name -> module`."""
    info = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        + "".join(f"Requires-Dist: {r}\n" for r in requires)
    )
    lines = [f"{name} = {target}\n" for name, target in targets.items()]
    (info / "entry_points.txt").write_text("[ganzoo]\n" + "".join(lines))
    found = [d for d in distributions(path=[str(folder)]) if d.name == distribution]
    return [entry for entry in found[0].entry_points if entry.group == "ganzoo"]
