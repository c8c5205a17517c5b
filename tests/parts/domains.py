"""Two domains drawn from one latent by nets that share their first layers (CoGAN), or that meet in
one code (UNIT).
"""

from dataclasses import replace

import torch
from torch import nn
from torch.nn.functional import l1_loss

from ganzoo import hookimpl
from ganzoo.contracts import Dataset, Game, Generator, PositiveInt, Regularizer, Role, Spec, nets_of


class Drawing(Generator):
    """Layers that may be shared, then a domain's own.

    latent_dim: numbers in one latent vector
    width: units in the hidden layer
    """

    def __init__(self, spec: Spec, *, latent_dim: PositiveInt = 8, width: PositiveInt = 16) -> None:
        super().__init__(spec, latent_dim=latent_dim)
        self.shared = nn.Sequential(nn.Linear(latent_dim, width), nn.LeakyReLU(0.2))
        self.own = nn.Linear(width, spec.numel)

    def forward(self, latents, labels=None):
        return self.own(self.shared(latents)).tanh().view(-1, *self.spec.shape)


class Coupled(Game):
    """Two generators of one latent, each with a judge of its domain (Liu and Tuzel 2016)."""

    reads = ("other",)
    paired = False

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.b, self.a = replace(spec, given={}), replace(spec.given["other"], given={})

    def roles(self):
        return {
            "gen": Role("generator", "generator", self.b),
            "gen.a": Role("generator", "generator", self.a),
            "disc": Role("discriminator", "discriminator", self.b),
            "disc.a": Role("discriminator", "discriminator", self.a),
        }

    def steps(self, update):
        other = update.given["other"]
        return [update.step(), update.step("gen.a", "disc.a", real=lambda: other)]


class Shared(Regularizer):
    """The generators' first layers are one."""

    side = "generator"

    def prepare(self, generator, discriminator):
        first, *others = nets_of(generator)
        for net in others:
            net.shared = first.shared


class Meeting(Coupled):
    """Encoders of both domains into one code, from which either generator draws; what goes through
    the code and back is the sample (Liu et al. 2017, without its cycle).
    """

    def roles(self):
        def size(nets):
            return {"latent_dim": nets["gen"].latent_dim}

        return super().roles() | {
            "enc": Role("encoder", "generator", self.b, size),
            "enc.a": Role("encoder", "generator", self.a, size),
        }

    def _code(self, update, role):
        samples = update.samples if role == "enc" else update.given["other"]
        mean = update.nets[role](samples)[:, 0]
        return mean + torch.randn_like(mean)

    def steps(self, update):
        other = update.given["other"]

        def to_b(latents):
            return update.nets["gen"](self._code(update, "enc.a"))

        def to_a(latents):
            return update.nets["gen.a"](self._code(update, "enc"))

        return [
            update.step(fake=to_b, from_latents=False),
            update.step("gen.a", "disc.a", real=lambda: other, fake=to_a, from_latents=False),
        ]

    def terms(self, update, steps):
        if update.side == "discriminator":
            return {}
        b = update.nets["gen"](self._code(update, "enc"))
        a = update.nets["gen.a"](self._code(update, "enc.a"))
        return {"again": l1_loss(b, update.samples) + l1_loss(a, update.given["other"])}


def two_domains() -> Dataset:
    """Two sets of noise."""
    stream = torch.Generator().manual_seed(0)

    def noise(count):
        return torch.randint(0, 256, (count, 1, 8, 8), generator=stream, dtype=torch.uint8)

    return Dataset(noise(40), others={"other": Dataset(noise(30))})


@hookimpl
def register_generators(register):
    register("drawing", Drawing, paper="arXiv:1606.07536")


@hookimpl
def register_games(register):
    register("coupled", Coupled, paper="arXiv:1606.07536")
    register("meeting", Meeting, paper="arXiv:1703.00848")


@hookimpl
def register_regularizers(register):
    register("shared", Shared, paper="arXiv:1606.07536")


@hookimpl
def register_datasets(register):
    register("two-domains", two_domains)
