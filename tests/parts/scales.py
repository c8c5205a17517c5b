"""Several scales of one picture: judged together (MSG-GAN), or drawn from each other (LAPGAN,
SinGAN).
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import nn

from ganzoo import hookimpl
from ganzoo.contracts import Dataset, Discriminator, Game, Generator, PositiveInt, Role, Spec


class StagedGenerator(Generator):
    """Draws a picture after every stage (Karnewar and Wang 2020).

    latent_dim: numbers in one latent vector
    width: channels
    stages: pictures, of which each is twice as large as the one before
    """

    modalities = ("image",)
    partner = "all-scales"

    def __init__(
        self,
        spec: Spec,
        *,
        latent_dim: PositiveInt = 8,
        width: PositiveInt = 8,
        stages: PositiveInt = 3,
    ) -> None:
        super().__init__(spec, latent_dim=latent_dim)
        self.stages, self.least = stages, [side >> (stages - 1) for side in spec.shape[1:]]
        self.project = nn.Linear(latent_dim, width * self.least[0] * self.least[1])
        self.bodies = nn.ModuleList(nn.Conv2d(width, width, 3, 1, 1) for _ in range(stages))
        self.colours = nn.ModuleList(nn.Conv2d(width, spec.shape[0], 1) for _ in range(stages))

    def pictures(self, latents):
        maps, found = self.project(latents).view(len(latents), -1, *self.least), []
        for stage in range(self.stages):
            maps = F.interpolate(maps, scale_factor=2) if stage else maps
            maps = F.leaky_relu(self.bodies[stage](maps), 0.2)
            found.append(self.colours[stage](maps).tanh())
        return found

    def forward(self, latents, labels=None):
        return self.pictures(latents)[-1]


class AllScales(Discriminator):
    """Reads a picture's scales, which are joined as channels, each where its own maps have them.

    width: channels
    stages: scales
    """

    modalities = ("image",)

    def __init__(self, spec: Spec, *, width: PositiveInt = 8, stages: PositiveInt = 3) -> None:
        super().__init__(spec)
        self.stages, colours = stages, spec.shape[0] // stages
        self.bodies = nn.ModuleList(
            nn.Conv2d(colours + width * (stage > 0), width, 3, 1, 1) for stage in range(stages)
        )
        self.judge = nn.Linear(width, 1)

    def features(self, samples):
        pictures, maps = samples.chunk(self.stages, 1)[::-1], None
        for stage, body in enumerate(self.bodies):
            picture = F.avg_pool2d(pictures[stage], 1 << stage)
            seen = picture if maps is None else torch.cat([picture, F.avg_pool2d(maps, 2)], 1)
            maps = F.leaky_relu(body(seen), 0.2)
        return maps.mean((2, 3))

    def score(self, features, labels=None):
        return self.judge(features).squeeze(1)


class AllStages(Game):
    """The discriminator sees what the generator drew after each of its stages."""

    modalities = ("image",)

    def roles(self):
        return {
            "gen": Role("generator", "generator", self.spec),
            "disc": Role("discriminator", "discriminator", self._joined),
        }

    def _joined(self, nets):
        colours, *sides = self.spec.shape
        return self.spec.with_shape(nets["gen"].stages * colours, *sides)

    def steps(self, update):
        generator = update.nets["gen"]

        def real():
            smaller = range(generator.stages - 1, -1, -1)
            return joined([F.avg_pool2d(update.samples, 1 << times) for times in smaller])

        return [update.step(real=real, fake=lambda z: joined(generator.pictures(z)))]


def joined(pictures):
    """Pictures of several sizes as channels of the largest; a mean over blocks gives them back."""
    side = pictures[-1].shape[2:]
    return torch.cat([F.interpolate(each, side) for each in pictures], 1)


class Finer(Generator):
    """Adds what a picture lacks that was made larger (Denton et al. 2015, eq. 4).

    latent_dim: numbers in one latent vector
    width: channels
    """

    modalities = ("image",)
    reads = ("image",)

    def __init__(self, spec: Spec, *, latent_dim: PositiveInt = 8, width: PositiveInt = 8) -> None:
        super().__init__(spec, latent_dim=latent_dim)
        self.noise = nn.Linear(latent_dim, spec.shape[1] * spec.shape[2])
        colours = spec.given["image"].shape[0]
        self.body = nn.Sequential(
            nn.Conv2d(colours + 1, width, 3, 1, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, spec.shape[0], 3, 1, 1),
        )

    def forward(self, latents, labels=None, *, image):
        noise = self.noise(latents).view(len(latents), 1, *self.spec.shape[1:])
        return (image + self.body(torch.cat([image, noise], 1))).tanh()


class Pyramid(Game):
    """A generator of small pictures, and one that makes them finer, each with its own judge
    (Denton et al. 2015; Shaham et al. 2019 train the same on one picture).
    """

    modalities = ("image",)

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        colours, *sides = spec.shape
        self.small = Spec((colours, *[side // 2 for side in sides]))
        self.large = replace(spec, given={"image": Spec(spec.shape)})

    def roles(self):
        return {
            "gen": Role("generator", "generator", self.large),
            "gen.small": Role("generator", "generator", self.small),
            "disc": Role("discriminator", "discriminator", self.large),
            "disc.small": Role("discriminator", "discriminator", self.small),
        }

    def given_to(self, role, update):
        smaller = F.avg_pool2d(update.samples, 2)
        return {"image": F.interpolate(smaller, scale_factor=2)} if role == "gen" else {}

    def steps(self, update):
        small = update.nets["gen.small"]
        return [
            update.step(given=self.given_to("gen", update)),
            update.step(
                "gen.small",
                "disc.small",
                real=lambda: F.avg_pool2d(update.samples, 2),
                fake=lambda z: small(z[:, : small.latent_dim]),
            ),
        ]


class Crops(Dataset):
    """Parts of one picture, at places that follow from their number."""

    def __len__(self):
        return 64

    def gather(self, indices):
        side, (_, height, width) = 8, self.samples.shape[1:]
        tops, lefts = indices * 7 % (height - side), indices * 5 % (width - side)
        parts = [
            self.samples[0, :, top : top + side, left : left + side]
            for top, left in zip(tops.tolist(), lefts.tolist(), strict=True)
        ]
        return super().gather(indices * 0)._replace(samples=torch.stack(parts))

    @property
    def spec(self):
        return Spec((self.samples.shape[1], 8, 8))


def one_picture() -> Dataset:
    """One picture of 20x24, as its parts of 8x8."""
    stream = torch.Generator().manual_seed(0)
    return Crops(torch.randint(0, 256, (1, 1, 20, 24), generator=stream, dtype=torch.uint8))


@hookimpl
def register_generators(register):
    register("staged", StagedGenerator, paper="arXiv:1903.06048")
    register("finer", Finer, paper="arXiv:1506.05751")


@hookimpl
def register_discriminators(register):
    register("all-scales", AllScales, paper="arXiv:1903.06048")


@hookimpl
def register_games(register):
    register("all-stages", AllStages, paper="arXiv:1903.06048")
    register("pyramid", Pyramid, paper="arXiv:1506.05751")


@hookimpl
def register_datasets(register):
    register("one-picture", one_picture)
