"""Signals of 8000 values end to end: data, a generator, and
a part of every kind that remains, with a recipe for them.
"""

import math
from pathlib import Path

import torch
from torch import nn

from ganzoo import hookimpl
from ganzoo.contracts import (
    Dataset,
    Discriminator,
    Generator,
    Loss,
    Metric,
    PositiveFloat,
    PositiveInt,
    Spec,
    Tracker,
)
from ganzoo.errors import Incompatible


def tones(*, count: PositiveInt = 64, length: PositiveInt = 8000) -> Dataset:
    """Sine waves of random pitch and phase, one channel at 8 kHz.

    count: signals
    length: values in one
    """
    stream = torch.Generator().manual_seed(0)
    pitch = 100 + 300 * torch.rand(count, 1, 1, generator=stream)
    phase = math.tau * torch.rand(count, 1, 1, generator=stream)
    return Dataset((math.tau * pitch * torch.arange(length) / 8000 + phase).sin())


class WaveGenerator(Generator):
    """Transposed convolutions along time, for signals whose length 16 divides.

    latent_dim: numbers in one latent vector
    width: channels of the hidden stage
    """

    modalities = ("signal",)
    partner = "wave"

    def __init__(self, spec: Spec, *, latent_dim: PositiveInt = 16, width: PositiveInt = 4) -> None:
        super().__init__(spec, latent_dim=latent_dim)
        if spec.modality != "signal" or spec.shape[1] % 16:
            raise Incompatible(
                f"--gen wave: draws signals whose length 16 divides, not {list(spec.shape)}"
            )
        self.project = nn.Linear(latent_dim, width * (spec.shape[1] // 16))
        self.body = nn.Sequential(
            nn.ReLU(),
            nn.ConvTranspose1d(width, width, 4, 4),
            nn.ReLU(),
            nn.ConvTranspose1d(width, spec.shape[0], 4, 4),
        )
        self.width = width

    def forward(self, latents, labels=None):
        return self.body(self.project(latents).unflatten(1, (self.width, -1)))


class WaveDiscriminator(Discriminator):
    """Strided convolutions along time.

    width: channels of the hidden stages
    """

    modalities = ("signal",)

    def __init__(self, spec: Spec, *, width: PositiveInt = 4) -> None:
        super().__init__(spec)
        stages = (
            nn.Conv1d(spec.shape[0], width, 9, 4, 4),
            nn.LeakyReLU(0.2),
            nn.Conv1d(width, width, 9, 4, 4),
            nn.LeakyReLU(0.2),
        )
        self.body, self.judge = nn.Sequential(*stages), nn.Linear(width, 1)

    def features(self, samples):
        return self.body(samples).mean(2)

    def score(self, features, labels=None):
        return self.judge(features).squeeze(1)


class Exponential(Loss):
    """The exponential loss of AdaBoost, with logits held within bounds.

    bound: largest logit that counts
    """

    def __init__(self, *, bound: PositiveFloat = 5.0) -> None:
        super().__init__()
        self.bound = bound

    def discriminator(self, step):
        real, fake = (
            logits.clamp(-self.bound, self.bound) for logits in (step.real_logits, step.fake_logits)
        )
        return (-real).exp().mean() + fake.exp().mean()

    def generator(self, step):
        return (-step.fake_logits.clamp(-self.bound, self.bound)).exp().mean()


class Signs(torch.optim.Optimizer):
    """Steps of one size against the sign of a running gradient."""

    def __init__(self, params, lr, beta):
        super().__init__(params, {"lr": lr, "beta": beta})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    state = self.state[parameter]
                    state.setdefault("run", torch.zeros_like(parameter)).lerp_(
                        parameter.grad, 1 - group["beta"]
                    )
                    parameter.sub_(group["lr"] * state["run"].sign())


def signs(params, *, lr: PositiveFloat = 1e-3, beta: PositiveFloat = 0.9) -> torch.optim.Optimizer:
    """Signum: the sign of a running gradient (Bernstein et al. 2018).

    lr: size of a step
    beta: share of the running gradient that one update keeps
    """
    return Signs(params, lr, beta)


class Loudness(Metric):
    """The difference of the root mean squares of real and generated samples.

    count: samples to draw for it
    """

    def __init__(self, spec: Spec, *, count: PositiveInt = 16) -> None:
        super().__init__(spec, count=count)

    def measure(self, real, fake):
        real, fake = (samples.square().mean().sqrt() for samples in (real, fake))
        return {"difference": float((real - fake).abs())}


class Diary(Tracker):
    """Keeps what it hears, as a list of lines in a file.

    path: the file; nothing is written when it is empty
    """

    def __init__(self, *, path: str = "") -> None:
        self.path, self.heard = path, []

    def start(self, run, folder, images):
        self.heard.append("start")

    def log(self, record):
        self.heard.append(f"log {record['images']}")

    def picture(self, name, path):
        self.heard.append(f"picture {name}")

    def finish(self):
        self.heard.append("finish")
        if self.path:
            Path(self.path).write_text("\n".join(self.heard))


@hookimpl
def register_datasets(register):
    register("tones", tones)


@hookimpl
def register_generators(register):
    register("wave", WaveGenerator)


@hookimpl
def register_discriminators(register):
    register("wave", WaveDiscriminator)


@hookimpl
def register_losses(register):
    register("exponential", Exponential)


@hookimpl
def register_optimizers(register):
    register("signs", signs, paper="arXiv:1802.04434")


@hookimpl
def register_metrics(register):
    register("loudness", Loudness)


@hookimpl
def register_trackers(register):
    register("diary", Diary)


@hookimpl
def register_recipes(register):
    register("tones", Path(__file__).parent / "tones.toml")
