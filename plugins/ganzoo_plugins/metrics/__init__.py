"""Measures of generated samples that need no network trained elsewhere, beside what real samples
score.
"""

from collections.abc import Callable

from ganzoo import hookimpl


@hookimpl
def register_metrics(register: Callable[..., None]) -> None:
    here = __name__
    register("modes", f"{here}.modes:Modes", paper="arXiv:1705.07761")
    register("swd", f"{here}.sliced:SlicedWasserstein")
    register("ms-ssim", f"{here}.similarity:Similarity", paper="arXiv:1610.09585")
    register("spectrum", f"{here}.spectrum:Spectrum", paper="arXiv:2003.01826")
    register("prdc", f"{here}.neighbours:Neighbours", paper="arXiv:2002.09797")
    register("frechet", f"{here}.frechet:Frechet", paper="arXiv:1706.08500")
    register("classifier", f"{here}.classes:Classifier", paper="arXiv:1606.03498")
    register("gan-train", f"{here}.taught:TrainOnGenerated", paper="arXiv:1905.10887")
    register("gan-test", f"{here}.taught:TestOnGenerated", paper="arXiv:1807.09499")
    register("memorised", f"{here}.memorising:Memorised", paper="arXiv:2004.05675")
    register("stacked-modes", f"{here}.stacked:StackedModes", paper="arXiv:1611.02163")
