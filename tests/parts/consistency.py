"""Consistency regularization: two views of one
sample are to be judged alike (Zhang et al. 2020).
"""

from ganzoo import hookimpl
from ganzoo.contracts import NonNegativeFloat, PositiveInt, Regularizer, Step


class Consistency(Regularizer):
    """Squared difference of the logits of two views of a real sample (Zhang et al. 2020, eq. 3).

    shift: places by which the second view is moved along the last axis
    """

    def __init__(
        self, *, weight: NonNegativeFloat = 10.0, every: PositiveInt = 1, shift: PositiveInt = 1
    ) -> None:
        super().__init__(weight=weight, every=every)
        self.shift = shift

    def penalty(self, step: Step):
        other, _ = step.judge(step.view(step.data.roll(self.shift, -1)))
        return (other - step.real_logits).square().mean()


@hookimpl
def register_regularizers(register):
    register("consistency", Consistency, paper="arXiv:1910.12027")
