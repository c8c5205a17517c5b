"""Constraints on weights, on what the discriminator sees or is told, and on who teaches."""

from collections.abc import Callable

from ganzoo import hookimpl

HERE = "ganzoo_plugins.stabilizers"


@hookimpl
def register_regularizers(register: Callable[..., None]) -> None:
    register("sn", f"{HERE}.spectral:SpectralNorm", paper="arXiv:1802.05957")
    register("gradnorm", f"{HERE}.normalising:GradientNormalization", paper="arXiv:2109.02235")
    register("clip", f"{HERE}.weights:WeightClipping", paper="arXiv:1701.07875")
    register("l1", f"{HERE}.weights:L1")
    register("l2", f"{HERE}.weights:L2")
    register("ortho", f"{HERE}.weights:Orthogonality", paper="arXiv:1809.11096")
    register("topk", f"{HERE}.selection:TopK", paper="arXiv:2002.06224")
    register("unrolled", f"{HERE}.unrolling:Unrolled", paper="arXiv:1611.02163")
    register("smooth", f"{HERE}.softening:LabelSmoothing", paper="arXiv:1606.03498")
    register("noise", f"{HERE}.softening:InstanceNoise", paper="arXiv:1701.04862")
