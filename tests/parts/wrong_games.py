"""Games, encoders and conditions, each breaking one promise."""

import torch

from ganzoo.contracts import Role, Turn

from .games import Bounded, Dark, Line
from .wrong import documented, wrong


@wrong("game", "roles", "its players are")
@documented()
class NobodyJudges(Bounded):
    def roles(self):
        return {"gen": Role("generator", "generator", self.spec)}


@wrong("game", "turns", "only .*generator.* move")
@documented()
class Monologue(Bounded):
    def turns(self, n_critic, n_gen):
        return [Turn("generator")]


@wrong("game", "plays", "the discriminator's update leaves disc")
@documented()
class Still(Bounded):
    def steps(self, update):
        return [update.step(fake=lambda latents: update.samples)]

    def terms(self, update, steps):
        return {}


@wrong("encoder", "shapes", "gives \\(4, 8\\)")
@documented()
class OneRow(Line):
    def forward(self, samples):
        return self.code(samples.flatten(1))


@wrong("condition", "shapes", "changes the samples in place")
@documented()
class Wipes(Dark):
    def forward(self, samples):
        return {"image": samples.mul_(0)}


@wrong("condition", "determinism", "makes another")
@documented()
class Forgetful(Dark):
    drawn = torch.Generator().manual_seed(0)

    def forward(self, samples):
        noise = torch.randn(samples.shape, generator=self.drawn)
        return {"image": samples + noise}
