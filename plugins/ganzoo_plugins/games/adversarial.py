"""The game that nearly all trainings play."""

from ganzoo.contracts import Game


class Adversarial(Game):
    """A generator that draws from noise against a discriminator (Goodfellow et al. 2014)."""
