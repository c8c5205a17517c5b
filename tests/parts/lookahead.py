"""Optimizers for games: extragradient (Korpelevich 1976; Gidel et al. 2019) and optimism
(Daskalakis et al. 2018).
"""

import torch

from ganzoo import hookimpl
from ganzoo.contracts import PositiveFloat


class Extragradient(torch.optim.Optimizer):
    """Steps in pairs: to where a plain step leads, then from where it started by the gradient that
    was found there.
    """

    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr, "ahead": False})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                if group["ahead"]:
                    p.copy_(self.state[p]["start"])
                else:
                    self.state[p]["start"] = p.clone()
                p.sub_(group["lr"] * p.grad)
            group["ahead"] = not group["ahead"]


class Optimistic(torch.optim.Optimizer):
    """w - 2 lr g + lr g', with the gradient g' of the step before."""

    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                before = self.state[p].setdefault("before", p.grad.clone())
                p.sub_(group["lr"] * (2 * p.grad - before))
                before.copy_(p.grad)


def make_extragradient(params, *, lr: PositiveFloat = 0.05):
    """Gradient descent with a look ahead, for simultaneous updates.

    lr: learning rate
    """
    return Extragradient(list(params), lr)


def make_optimistic(params, *, lr: PositiveFloat = 0.05):
    """Gradient descent that expects its last gradient again.

    lr: learning rate
    """
    return Optimistic(list(params), lr)


@hookimpl
def register_optimizers(register):
    register("extragradient", make_extragradient, paper="arXiv:1802.10551")
    register("optimistic", make_optimistic, paper="arXiv:1711.00141")
