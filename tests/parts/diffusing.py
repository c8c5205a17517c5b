"""A denoising diffusion GAN: each of a few large steps back is drawn by a generator and judged
(Xiao et al. 2022).
"""

from dataclasses import replace

import torch
from torch import nn

from ganzoo import hookimpl
from ganzoo.contracts import Game, Generator, PositiveInt, Role, Spec

SHARES = torch.tensor([1.0, 0.8, 0.4, 0.1])  # of the picture's variance at each moment


class Denoiser(Generator):
    """Draws the clean picture of a noisy one, which has its moment in a channel of its own.

    latent_dim: numbers in one latent vector
    width: channels
    """

    modalities = ("image",)
    reads = ("image",)

    def __init__(self, spec: Spec, *, latent_dim: PositiveInt = 8, width: PositiveInt = 8) -> None:
        super().__init__(spec, latent_dim=latent_dim)
        self.first = nn.Conv2d(spec.given["image"].shape[0], width, 3, 1, 1)
        self.latent = nn.Linear(latent_dim, width)
        self.last = nn.Conv2d(width, spec.shape[0], 3, 1, 1)

    def forward(self, latents, labels=None, *, image):
        maps = self.first(image) + self.latent(latents)[..., None, None]
        return self.last(nn.functional.silu(maps)).tanh()


class Diffusing(Game):
    """The judge sees x(t-1) beside x(t): of a real picture, or with x(t-1) from the posterior of
    what the generator takes for x(0) (eq. 4 and 5).
    """

    modalities = ("image",)

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        colours, *sides = spec.shape
        self.given = replace(spec, given={"image": Spec((colours + 1, *sides))})
        self.register_buffer("shares", SHARES.clone())

    def roles(self):
        return {
            "gen": Role("generator", "generator", self.given),
            "disc": Role("discriminator", "discriminator", self._joined),
        }

    def _joined(self, nets):
        colours, *sides = self.spec.shape
        return self.spec.with_shape(2 * colours + 1, *sides)

    def _moment(self, update):
        """Numbers of moments from 1."""

        def drawn():
            return torch.randint(
                1, len(self.shares), (len(update.samples),), device=update.samples.device
            )

        return update.once("moment", drawn)

    def _shares(self, update):
        moment = self._moment(update)
        return (self.shares[at].view(-1, 1, 1, 1) for at in (moment - 1, moment))

    def _less(self, update):
        """x(t-1) of the real pictures."""
        before, _ = self._shares(update)
        x = update.samples
        return update.once(
            "less", lambda: before.sqrt() * x + (1 - before).sqrt() * torch.randn_like(x)
        )

    def _more(self, update):
        """x(t) of these, and the moment as a channel."""

        def noised():
            before, after = self._shares(update)
            kept, less = after / before, self._less(update)
            return kept.sqrt() * less + (1 - kept).sqrt() * torch.randn_like(less)

        x = update.once("more", noised)
        moment = self._moment(update) / len(self.shares)
        return torch.cat([x, moment.view(-1, 1, 1, 1).expand_as(x[:, :1])], 1)

    def given_to(self, role, update):
        return {"image": self._more(update)} if role == "gen" else {}

    def _back(self, update, clean):
        """x(t-1) from q(x(t-1) | x(t), x(0))."""
        before, after = self._shares(update)
        kept, more = after / before, self._more(update)[:, :-1]
        mean = before.sqrt() * (1 - kept) * clean + kept.sqrt() * (1 - before) * more
        variance = (1 - before) * (1 - kept) / (1 - after)
        return mean / (1 - after) + variance.sqrt() * torch.randn_like(clean)

    def steps(self, update):
        def real():
            return torch.cat([self._less(update), self._more(update)], 1)

        def fake(latents):
            more = self._more(update)
            clean = update.nets["gen"](latents, None, image=more)
            return torch.cat([self._back(update, clean), more], 1)

        return [update.step(real=real, fake=fake)]


@hookimpl
def register_generators(register):
    register("denoiser", Denoiser, paper="arXiv:2112.07804")


@hookimpl
def register_games(register):
    register("diffusing", Diffusing, paper="arXiv:2112.07804")
