"""ganzoo's parts in a LightningModule: `python examples/lightning_loop.py --images 20000`.

Two optimizers ask for manual optimization; what each minimises is the parts' business.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset
from torchvision.utils import save_image

import ganzoo
from ganzoo.contracts import Spec, Step

BATCH = 32


class Digits(lightning.LightningModule):
    """A generator against a discriminator, with a loss and a penalty by name."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator = ganzoo.create("generator", "dcgan", spec, latent_dim=64, width=32)
        self.discriminator = ganzoo.create("discriminator", "dcgan", spec, width=32, norm="none")
        self.loss = ganzoo.create("loss", "rpgan")
        self.r1 = ganzoo.create("regularizer", "r1", weight=0.1)
        self.average = ganzoo.Average(self.generator, half_life=2_000)  # in images

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """One for each net."""
        nets = (self.discriminator, self.generator)
        options = {"lr": 1e-3, "betas": [0.0, 0.99]}
        return [ganzoo.create("optimizer", "adam", net.parameters(), **options) for net in nets]

    def training_step(self, batch: list[Tensor], number: int) -> None:
        """An update of each net on a batch of real pictures."""
        judging, drawing = self.optimizers()
        step = self.step("discriminator", batch[0])
        penalties, _ = step.penalise([("r1", self.r1)] if number % 4 == 0 else [])
        self.update(judging, self.loss.discriminator(step) + penalties)
        self.update(drawing, self.loss.generator(self.step("generator", batch[0])))
        self.average.net.to(self.device)
        self.average.update(self.generator, BATCH, (number + 1) * BATCH)

    def step(self, side: Any, real: Tensor) -> Step:
        """What a side looks at."""
        latents = self.generator.draw_latents(len(real)).to(self.device)
        return Step(side, self.generator, self.discriminator, real, latents)

    def update(self, optimizer: Any, total: Tensor) -> None:
        """Go backward and step."""
        self.toggle_optimizer(optimizer)
        optimizer.zero_grad()
        self.manual_backward(total)
        optimizer.step()
        self.untoggle_optimizer(optimizer)


def main() -> None:
    """Train on the digits that come with ganzoo, and write a picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20_000, help="real images to show")
    parser.add_argument("--out", type=Path, default=Path("lightning_loop.png"), help="the picture")
    chosen = parser.parse_args()
    lightning.seed_everything(0)
    digits = ganzoo.create("dataset", "digits")
    samples, _ = digits.batch(torch.arange(len(digits)))
    batches = DataLoader(TensorDataset(samples), BATCH, shuffle=True, drop_last=True)
    module = Digits(digits.spec)
    trainer = lightning.Trainer(
        max_steps=2 * max(1, chosen.images // BATCH),  # it counts those of both optimizers
        max_epochs=-1,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    trainer.fit(module, batches)
    with torch.no_grad():
        drawn = module.average.net.cpu()(module.generator.draw_latents(64))
    save_image(drawn, chosen.out, nrow=8, normalize=True, value_range=(-1, 1))
    print(f"wrote {chosen.out}")


if __name__ == "__main__":
    main()
