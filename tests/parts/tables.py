"""CTGAN: rows of a table under a condition on one of their categories (Xu et al. 2019)."""

import torch
from torch import nn

from ganzoo import hookimpl
from ganzoo.contracts import (
    Column,
    Condition,
    Dataset,
    Discriminator,
    Generator,
    PositiveInt,
    Regularizer,
    Spec,
)
from ganzoo.nn import gumbel_noise, relaxed


def blocks(samples, columns):
    """The numbers of each category [n, k]."""
    parts = samples.split([column.width for column in columns], 1)
    return [part for part, column in zip(parts, columns, strict=True) if column.values]


class Chosen(Condition):
    """Gives the category of one column of each row, picked at random: 1 there, 0 elsewhere
    (section 4.3, training by sampling).
    """

    modalities = ("table",)

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.columns = spec.columns
        self.widths = [column.width for column in spec.columns if column.values]

    def gives(self):
        return {"chosen": Spec((sum(self.widths),))}

    def forward(self, samples):
        found = blocks(samples, self.columns)
        pick = torch.randint(len(found), (len(samples), 1), device=samples.device)
        masked = [each * (pick == number) for number, each in enumerate(found)]
        return {"chosen": torch.cat(masked, 1)}


class RowGenerator(Generator):
    """Draws rows that are told one of their categories; categories by Gumbel's softmax.

    latent_dim: numbers in one latent vector
    width: units in the hidden layer
    """

    modalities = ("table",)
    reads = ("chosen",)
    partner = "rows"

    def __init__(self, spec: Spec, *, latent_dim: PositiveInt = 8, width: PositiveInt = 16) -> None:
        super().__init__(spec, latent_dim=latent_dim)
        self.body = nn.Sequential(
            nn.Linear(latent_dim + spec.given["chosen"].numel, width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, spec.numel),
        )

    def forward(self, latents, labels=None, *, chosen):
        numbers = self.body(torch.cat([latents, chosen], 1))
        parts = numbers.split([column.width for column in self.spec.columns], 1)
        made = [
            relaxed(part, 0.2, gumbel_noise(part)) if column.values else part
            for part, column in zip(parts, self.spec.columns, strict=True)
        ]
        return torch.cat(made, 1)


class RowDiscriminator(Discriminator):
    """Judges rows beside the category that they were asked for.

    width: units in the hidden layer
    """

    modalities = ("table",)
    reads = ("chosen",)

    def __init__(self, spec: Spec, *, width: PositiveInt = 16) -> None:
        super().__init__(spec)
        self.hidden = nn.Linear(spec.numel + spec.given["chosen"].numel, width)
        self.judge = nn.Linear(width, 1)

    def features(self, samples, *, chosen):
        return nn.functional.leaky_relu(self.hidden(torch.cat([samples, chosen], 1)), 0.2)

    def score(self, features, labels=None):
        return self.judge(features).squeeze(1)


class Told(Regularizer):
    """Generated rows have the category that they were told: cross-entropy of that column
    (section 4.3).
    """

    side = "generator"

    def penalty(self, step):
        rows = blocks(step.drawn, step.generator.spec.columns)
        wanted = step.given["chosen"].split([each.shape[1] for each in rows], 1)
        missed = [
            -(target * (row + 1e-6).log()).sum(1) for row, target in zip(rows, wanted, strict=True)
        ]
        return torch.stack(missed).sum(0).mean()


def modal_rows() -> Dataset:
    """Numbers of two modes as the mode and the place within it (section 4.2), and a category."""
    stream = torch.Generator().manual_seed(0)
    modes, kinds = torch.arange(64) % 2, torch.arange(64) % 3
    place = (0.25 * torch.randn(64, 1, generator=stream)).clamp(-1, 1)
    rows = torch.cat([place, torch.eye(2)[modes], torch.eye(3)[kinds]], 1)
    columns = (
        Column("price within its mode"),
        Column("mode of the price", ("low", "high")),
        Column("kind", ("a", "b", "c")),
    )
    return Dataset(rows, columns=columns)


@hookimpl
def register_conditions(register):
    register("chosen", Chosen, paper="arXiv:1907.00503")


@hookimpl
def register_generators(register):
    register("rows", RowGenerator, paper="arXiv:1907.00503")


@hookimpl
def register_discriminators(register):
    register("rows", RowDiscriminator, paper="arXiv:1907.00503")


@hookimpl
def register_datasets(register):
    register("modal-rows", modal_rows)


@hookimpl
def register_regularizers(register):
    register("told", Told, paper="arXiv:1907.00503")
