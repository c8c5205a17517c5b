"""The game that nearly all trainings play."""

from ganzoo.contracts import Game


class GAN(Game):
    """A generator that draws from noise against a discriminator (Goodfellow et al. 2014)."""
