"""Videos: a scene that moves before one that stays (Vondrick et al. 2016), and motion apart from
content, judged by frame and as a whole (Tulyakov et al. 2018).
"""

import torch
from torch import nn

from ganzoo import hookimpl
from ganzoo.contracts import Discriminator, Generator, PositiveInt, Spec


class TwoStreams(Generator):
    """m(z) f(z) + (1 - m(z)) b(z): convolutions in space and time for what moves and where, in
    space alone for what is behind (Vondrick et al. 2016, eq. 3).

    latent_dim: numbers in one latent vector
    width: channels
    """

    modalities = ("video",)
    partner = "frames"

    def __init__(self, spec: Spec, *, latent_dim: PositiveInt = 8, width: PositiveInt = 8) -> None:
        super().__init__(spec, latent_dim=latent_dim)
        colours, *self.sides = spec.shape
        self.small = [side // 2 for side in self.sides]
        self.project = nn.Linear(latent_dim, width * self.small[0] * self.small[1] * self.small[2])
        self.moving = nn.ConvTranspose3d(width, colours + 1, 4, 2, 1)
        self.behind = nn.ConvTranspose2d(width, colours, 4, 2, 1)

    def forward(self, latents, labels=None):
        maps = self.project(latents).view(len(latents), -1, *self.small).relu()
        front, mask = self.moving(maps).split([self.spec.shape[0], 1], 1)
        mask, back = mask.sigmoid(), self.behind(maps.mean(2)).unsqueeze(2)
        return mask * front.tanh() + (1 - mask) * back.tanh()


class Motion(Generator):
    """A content that stays, and a path of motions from a recurrent cell (Tulyakov et al. 2018).

    latent_dim: numbers in one latent: of content, and of the noise of every frame
    width: channels
    """

    modalities = ("video",)
    partner = "frames"

    def __init__(self, spec: Spec, *, latent_dim: PositiveInt = 8, width: PositiveInt = 8) -> None:
        super().__init__(spec, latent_dim=latent_dim)
        self.width, (_, self.frames, *self.sides) = width, spec.shape
        self.cell = nn.GRUCell(latent_dim, width)
        pixels = self.sides[0] * self.sides[1]
        self.draw = nn.Sequential(
            nn.Linear(latent_dim + width, 2 * width),
            nn.ReLU(),
            nn.Linear(2 * width, spec.shape[0] * pixels),
        )

    def draw_latents(self, count, generator=None):
        device = generator.device if generator is not None else None
        shape = count, self.frames + 1, self.latent_dim
        return torch.randn(shape, generator=generator, device=device)

    def forward(self, latents, labels=None):
        content, *noise = latents.unbind(1)
        state, frames = content.new_zeros(len(content), self.width), []
        for each in noise:
            state = self.cell(each, state)
            frames.append(self.draw(torch.cat([content, state], 1)).tanh())
        return torch.stack(frames, 2).view(len(content), -1, self.frames, *self.sides)


class Frames(Discriminator):
    """Two judges: of every frame by itself, and of the video by convolutions in space and time.

    width: channels
    """

    modalities = ("video",)

    def __init__(self, spec: Spec, *, width: PositiveInt = 8) -> None:
        super().__init__(spec)
        colours = spec.shape[0]
        self.alone = nn.Conv2d(colours, width, 4, 2, 1)
        self.whole = nn.Conv3d(colours, width, 4, 2, 1)
        self.judges = nn.ModuleList(nn.Linear(width, 1) for _ in range(2))

    def features(self, samples):
        frames = samples.transpose(1, 2)
        alone = self.alone(frames.flatten(0, 1)).relu().mean((2, 3))
        return alone.unflatten(0, frames.shape[:2]), self.whole(samples).relu().mean((2, 3, 4))

    def score(self, features, labels=None):
        alone, whole = (judge(each) for judge, each in zip(self.judges, features, strict=True))
        return [alone.squeeze(2), whole.squeeze(1)]


@hookimpl
def register_generators(register):
    register("two-streams", TwoStreams, paper="arXiv:1609.02612")
    register("motion", Motion, paper="arXiv:1707.04993")


@hookimpl
def register_discriminators(register):
    register("frames", Frames, paper="arXiv:1707.04993")
