"""Penalties on slopes, logits, features and samples."""

from collections.abc import Callable

from ganzoo import hookimpl

HERE = "ganzoo_plugins.penalties"


@hookimpl
def register_regularizers(register: Callable[..., None]) -> None:
    gradients = f"{HERE}.gradients"
    register("gp", f"{gradients}:UnitGradientPenalty", paper="arXiv:1704.00028")
    register("dragan", f"{gradients}:Dragan", paper="arXiv:1705.07215")
    register("r1", f"{gradients}:R1", paper="arXiv:1801.04406")
    register("r2", f"{gradients}:R2", paper="arXiv:1801.04406")
    register("lgp", f"{gradients}:OneSidedGradientPenalty", paper="arXiv:1709.08894")
    register("maxgp", f"{gradients}:LargestGradientPenalty", paper="arXiv:1902.05687")
    register("approx-r1", f"{HERE}.differences:ApproximateR1", paper="arXiv:2501.08316")
    register("approx-r2", f"{HERE}.differences:ApproximateR2", paper="arXiv:2501.08316")
    register("cr", f"{HERE}.consistency:Consistency", paper="arXiv:1910.12027")
    register("bcr", f"{HERE}.consistency:BalancedConsistency", paper="arXiv:2002.04724")
    register("zcr", f"{HERE}.consistency:LatentConsistency", paper="arXiv:2002.04724")
    register("lecam", f"{HERE}.logits:LeCam", paper="arXiv:2104.03310")
    register("drift", f"{HERE}.logits:Drift", paper="arXiv:1710.10196")
    register("featmatch", f"{HERE}.features:FeatureMatching", paper="arXiv:1606.03498")
    register("infogan", f"{HERE}.codes:InfoGAN", paper="arXiv:1606.03657")
    register("acgan", f"{HERE}.classes:AuxiliaryClassifier", paper="arXiv:1610.09585")
    register("d2dce", f"{HERE}.classes:DataToDataCrossEntropy", paper="arXiv:2111.01118")
    register("mode-seeking", f"{HERE}.variety:ModeSeeking", paper="arXiv:1903.05628")
    register("pathlen", f"{HERE}.paths:PathLength", paper="arXiv:1912.04958")
