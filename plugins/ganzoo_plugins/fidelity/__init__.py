"""The metrics of torch-fidelity, in its own nets and by its own functions."""

from collections.abc import Callable

from ganzoo import hookimpl


@hookimpl
def register_metrics(register: Callable[..., None]) -> None:
    here = __name__
    register("fid", f"{here}.scores:FID", paper="arXiv:1706.08500")
    register("kid", f"{here}.scores:KID", paper="arXiv:1801.01401")
    register("isc", f"{here}.scores:InceptionScore", paper="arXiv:1606.03498")
    register("pr", f"{here}.scores:PrecisionRecall", paper="arXiv:1904.06991")
    register("ppl", f"{here}.paths:PathLength", paper="arXiv:1812.04948")
