"""A whole plugin: `pip install examples/ganzoo-softhinge`, then `ganzoo train --loss softhinge`."""

from collections.abc import Callable

from torch import Tensor
from torch.nn.functional import softplus

from ganzoo import hookimpl
from ganzoo.contracts import Loss, Step


class Softhinge(Loss):
    """Hinge with a rounded corner."""

    def discriminator(self, step: Step) -> Tensor:
        return softplus(1 - step.real_logits).mean() + softplus(1 + step.fake_logits).mean()

    def generator(self, step: Step) -> Tensor:
        return -step.fake_logits.mean()


@hookimpl
def register_losses(register: Callable[..., None]) -> None:
    register("softhinge", Softhinge)
