"""A DCGAN as tutorials teach it, written from torch.nn
alone: what `ganzoo train` is measured against.

fp32, eager, channels first, PyTorch's default Adam, binary cross-entropy
on a sigmoid, `.item()` on every loss. The penalty variants take their
slope by autograd.grad(create_graph=True). Nothing of ganzoo is imported.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.nn.utils.parametrizations import spectral_norm

LATENT = 100
KINDS = ("none", "gp", "rpgan+r1+r2", "sn")


def initialise(module: nn.Module) -> None:
    """DCGAN's initial weights."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d | nn.GroupNorm):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


def generator(size: int, channels: int, width: int) -> nn.Sequential:
    """Latents [n, 100, 1, 1] to pictures [n, channels,
    size, size]; size is a power of two from 16 up.
    """
    stages = int(math.log2(size)) - 2
    wide = width * min(2 ** (stages - 1), 8)
    layers: list[nn.Module] = [
        nn.ConvTranspose2d(LATENT, wide, 4, 1, 0, bias=False),
        nn.BatchNorm2d(wide),
        nn.ReLU(True),
    ]
    for stage in range(stages - 2, -1, -1):
        narrow = width * min(2**stage, 8)
        layers += [
            nn.ConvTranspose2d(wide, narrow, 4, 2, 1, bias=False),
            nn.BatchNorm2d(narrow),
            nn.ReLU(True),
        ]
        wide = narrow
    return nn.Sequential(
        *layers, nn.ConvTranspose2d(wide, channels, 4, 2, 1, bias=False), nn.Tanh()
    )


def discriminator(size: int, channels: int, width: int, kind: str) -> nn.Sequential:
    """Pictures to logits [n, 1, 1, 1]. Batch norm, but layer
    norm under a gradient penalty, for which batches may not mix.
    """
    stages = int(math.log2(size)) - 2
    narrow = width
    layers: list[nn.Module] = [
        nn.Conv2d(channels, width, 4, 2, 1, bias=False),
        nn.LeakyReLU(0.2, True),
    ]
    for stage in range(1, stages):
        wide = width * min(2**stage, 8)
        norm = nn.BatchNorm2d(wide) if kind in ("none", "sn") else nn.GroupNorm(1, wide)
        layers += [nn.Conv2d(narrow, wide, 4, 2, 1, bias=False), norm, nn.LeakyReLU(0.2, True)]
        narrow = wide
    return nn.Sequential(*layers, nn.Conv2d(narrow, 1, 4, 1, 0, bias=False))


def squared_slopes(critic: nn.Module, at: Tensor) -> Tensor:
    """|dD/dx|² of each sample, differentiable."""
    at = at.detach().requires_grad_(True)
    (slope,) = torch.autograd.grad(critic(at).sum(), at, create_graph=True)
    return slope.flatten(1).square().sum(1)


class TutorialLoop:
    """The loop: `step(real)` updates the discriminator,
    then the generator, and returns both losses as numbers.

    kind is one of KINDS: plain, with WGAN-GP's penalty beside
    the loss, relativistic with R1 and R2, or with spectral norm.
    """

    def __init__(
        self, size: int, channels: int, width: int, kind: str, device: torch.device
    ) -> None:
        self.kind, self.device = kind, device
        self.maker = generator(size, channels, width).to(device)
        self.critic = discriminator(size, channels, width, kind).to(device)
        self.maker.apply(initialise)
        self.critic.apply(initialise)
        if kind == "sn":
            for module in self.critic:
                if isinstance(module, nn.Conv2d):
                    spectral_norm(module)
        self.criterion = nn.BCELoss()
        self.d_optimizer = torch.optim.Adam(self.critic.parameters(), lr=2e-4, betas=(0.5, 0.999))
        self.g_optimizer = torch.optim.Adam(self.maker.parameters(), lr=2e-4, betas=(0.5, 0.999))

    def step(self, real: Tensor) -> tuple[float, float]:
        n = len(real)
        noise = torch.randn(n, LATENT, 1, 1, device=self.device)
        fake = self.maker(noise)
        self.critic.zero_grad()
        if self.kind == "rpgan+r1+r2":
            d_loss = softplus(self.judge(fake.detach()) - self.judge(real)).mean()
            d_loss = d_loss + 10.0 / 2 * (
                squared_slopes(self.critic, real).mean() + squared_slopes(self.critic, fake).mean()
            )
            d_loss.backward()
        else:
            ones, zeros = torch.ones(n, device=self.device), torch.zeros(n, device=self.device)
            real_loss = self.criterion(torch.sigmoid(self.judge(real)), ones)
            real_loss.backward()
            fake_loss = self.criterion(torch.sigmoid(self.judge(fake.detach())), zeros)
            fake_loss.backward()
            d_loss = real_loss + fake_loss
            if self.kind == "gp":
                mix = torch.rand(n, 1, 1, 1, device=self.device)
                norms = (
                    squared_slopes(self.critic, mix * fake.detach() + (1 - mix) * real) + 1e-12
                ).sqrt()
                penalty = 10.0 * (norms - 1).square().mean()
                penalty.backward()
        self.d_optimizer.step()

        self.maker.zero_grad()
        if self.kind == "rpgan+r1+r2":
            g_loss = softplus(self.judge(real) - self.judge(fake)).mean()
        else:
            g_loss = self.criterion(torch.sigmoid(self.judge(fake)), ones)
        g_loss.backward()
        self.g_optimizer.step()
        return d_loss.item(), g_loss.item()

    def judge(self, samples: Tensor) -> Tensor:
        """Logits [n]."""
        logits: Tensor = self.critic(samples)
        return logits.flatten()
