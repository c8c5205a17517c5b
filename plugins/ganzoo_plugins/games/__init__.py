"""Who plays: two nets on noise, and games of more nets."""

from collections.abc import Callable

from ganzoo import hookimpl


@hookimpl
def register_games(register: Callable[..., None]) -> None:
    register("gan", "ganzoo_plugins.games.gan:GAN", paper="arXiv:1406.2661")
    register("cyclegan", "ganzoo_plugins.games.cyclegan:CycleGAN", paper="arXiv:1703.10593")
    register("bigan", "ganzoo_plugins.games.bigan:BiGAN", paper="arXiv:1605.09782")
    register(
        "autoencoder", "ganzoo_plugins.games.autoencoder:Autoencoder", paper="arXiv:1512.09300"
    )
