"""Functions that build PyTorch's optimizers in their fastest form for where the parameters lie."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Annotated, Any

from pydantic import Field
from torch import nn, optim

from ganzoo.contracts import NonNegativeFloat, PositiveFloat

Decay = Annotated[float, Field(ge=0, lt=1)]
EVERYWHERE = ("cpu", "cuda", "mps")


def _form(
    params: Collection[nn.Parameter], fused_on: Collection[str] = (), capturable: bool = False
) -> dict[str, Any]:
    """One kernel for all parameters where there is one, else
    one an operation; fit for CUDA graphs where possible.
    """
    device = next(iter(params)).device.type
    form = {"fused": True} if device in fused_on else {"foreach": True}
    return form | ({"capturable": True} if capturable and device == "cuda" else {})


def adam(
    params: Iterable[nn.Parameter],
    *,
    lr: PositiveFloat = 2e-4,
    betas: tuple[Decay, Decay] = (0.5, 0.999),
    eps: PositiveFloat = 1e-8,
    weight_decay: NonNegativeFloat = 0.0,
) -> optim.Optimizer:
    """Adam with DCGAN's rate and first beta (Kingma and Ba 2015; Radford et al. 2016).

    lr: learning rate
    betas: decay of the averages of gradient and squared gradient
    eps: added to the root of the squared gradient
    weight_decay: L2 penalty, added to the gradient
    """
    params = list(params)
    form = _form(params, EVERYWHERE, capturable=True)
    return optim.Adam(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, **form)


def adamw(
    params: Iterable[nn.Parameter],
    *,
    lr: PositiveFloat = 2e-4,
    betas: tuple[Decay, Decay] = (0.5, 0.999),
    eps: PositiveFloat = 1e-8,
    weight_decay: NonNegativeFloat = 0.01,
) -> optim.Optimizer:
    """Adam with weight decay apart from the gradient (Loshchilov and Hutter 2019).

    lr: learning rate
    betas: decay of the averages of gradient and squared gradient
    eps: added to the root of the squared gradient
    weight_decay: share of a weight taken off per update, times lr
    """
    params = list(params)
    form = _form(params, EVERYWHERE, capturable=True)
    return optim.AdamW(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, **form)


def rmsprop(
    params: Iterable[nn.Parameter],
    *,
    lr: PositiveFloat = 5e-5,
    alpha: Decay = 0.99,
    eps: PositiveFloat = 1e-8,
    momentum: NonNegativeFloat = 0.0,
    weight_decay: NonNegativeFloat = 0.0,
) -> optim.Optimizer:
    """RMSprop with WGAN's rate: no momentum, which a critic
    that is trained far may not bear (Arjovsky et al. 2017).

    lr: learning rate
    alpha: decay of the average of squared gradients
    eps: added to the root of the squared gradient
    momentum: share of the last change that goes on
    weight_decay: L2 penalty, added to the gradient
    """
    params = list(params)
    form = _form(params, capturable=True)
    return optim.RMSprop(
        params, lr=lr, alpha=alpha, eps=eps, momentum=momentum, weight_decay=weight_decay, **form
    )


def sgd(
    params: Iterable[nn.Parameter],
    *,
    lr: PositiveFloat = 0.01,
    momentum: NonNegativeFloat = 0.0,
    weight_decay: NonNegativeFloat = 0.0,
) -> optim.Optimizer:
    """Stochastic gradient descent, with momentum if wanted.

    lr: learning rate
    momentum: share of the last change that goes on
    weight_decay: L2 penalty, added to the gradient
    """
    params = list(params)
    form = _form(params, EVERYWHERE)
    return optim.SGD(params, lr=lr, momentum=momentum, weight_decay=weight_decay, **form)


def adagrad(
    params: Iterable[nn.Parameter],
    *,
    lr: PositiveFloat = 0.01,
    eps: PositiveFloat = 1e-10,
    weight_decay: NonNegativeFloat = 0.0,
) -> optim.Optimizer:
    """Adagrad: a rate for each weight that falls with
    its squared gradients so far (Duchi et al. 2011).

    lr: learning rate
    eps: added to the root of the squared gradients
    weight_decay: L2 penalty, added to the gradient
    """
    params = list(params)
    return optim.Adagrad(
        params, lr=lr, eps=eps, weight_decay=weight_decay, **_form(params, ("cpu",))
    )


def adadelta(
    params: Iterable[nn.Parameter],
    *,
    lr: PositiveFloat = 1.0,
    rho: Decay = 0.9,
    eps: PositiveFloat = 1e-6,
    weight_decay: NonNegativeFloat = 0.0,
) -> optim.Optimizer:
    """Adadelta: changes scaled by their own running
    size, so that the rate is near one (Zeiler 2012).

    lr: factor of the change
    rho: decay of the averages of squared gradient and squared change
    eps: added under both roots
    weight_decay: L2 penalty, added to the gradient
    """
    params = list(params)
    form = _form(params, capturable=True)
    return optim.Adadelta(params, lr=lr, rho=rho, eps=eps, weight_decay=weight_decay, **form)
