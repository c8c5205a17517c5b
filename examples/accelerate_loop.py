"""A training loop on accelerate: `python examples/accelerate_loop.py --images 20000`.

On several devices: `accelerate launch examples/accelerate_loop.py`. Penalties take the slope of the
discriminator itself, not of a wrapper around it, so gradients are averaged by hand.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset
from torchvision.utils import save_image

import ganzoo
from ganzoo.contracts import GradientPenalty, Loss, Side, Step

BATCH = 32


class Player:
    """A net with its optimizer."""

    def __init__(self, accelerator: Accelerator, net: torch.nn.Module) -> None:
        self.accelerator, self.net = accelerator, net.to(accelerator.device)
        made = ganzoo.create("optimizer", "adam", net.parameters(), lr=1e-3, betas=[0.0, 0.99])
        self.optimizer = accelerator.prepare_optimizer(made)

    def update(self, total: Tensor) -> None:
        """One step along the mean gradient of all processes."""
        self.optimizer.zero_grad()
        self.accelerator.backward(total)
        for parameter in self.net.parameters():
            if parameter.grad is not None:
                parameter.grad = self.accelerator.reduce(parameter.grad, "mean")
        self.optimizer.step()


def total_of(
    side: Side, step: Step, loss: Loss, due: Mapping[str, GradientPenalty]
) -> Tensor | float:
    """What a side minimises; penalties come first, since their pass gives logits, too."""
    penalties, _ = step.penalise(list(due.items()))
    return getattr(loss, side)(step) + penalties


def main() -> None:
    """Train on the digits that come with ganzoo, and write a picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20_000, help="real images to show")
    parser.add_argument("--out", type=Path, default=Path("accelerate_loop.png"), help="the picture")
    chosen = parser.parse_args()
    accelerator = Accelerator()
    set_seed(0)

    digits = ganzoo.create("dataset", "digits")
    generator = ganzoo.create("generator", "dcgan", digits.spec, latent_dim=64, width=32)
    discriminator = ganzoo.create("discriminator", "dcgan", digits.spec, width=32, norm="none")
    drawing, judging = Player(accelerator, generator), Player(accelerator, discriminator)
    loss, r1 = ganzoo.create("loss", "rpgan"), ganzoo.create("regularizer", "r1", weight=0.1)
    samples, _ = digits.batch(torch.arange(len(digits)))
    batches = accelerator.prepare_data_loader(
        DataLoader(TensorDataset(samples), BATCH, shuffle=True, drop_last=True)
    )
    average = ganzoo.Average(generator, half_life=2_000)  # in images

    done = 0
    while done < chosen.images:
        for (real,) in batches:
            due = {"r1": r1} if done // BATCH % 4 == 0 else {}
            latents = generator.draw_latents(len(real)).to(accelerator.device)
            step = Step("discriminator", generator, discriminator, real, latents)
            judging.update(total_of("discriminator", step, loss, due))
            latents = generator.draw_latents(len(real)).to(accelerator.device)
            step = Step("generator", generator, discriminator, real, latents)
            drawing.update(total_of("generator", step, loss, {}))
            done += BATCH * accelerator.num_processes
            average.update(generator, BATCH * accelerator.num_processes, done)
            if done >= chosen.images:
                break

    if accelerator.is_main_process:
        with torch.no_grad():
            drawn = average.net(generator.draw_latents(64).to(accelerator.device))
        save_image(drawn, chosen.out, nrow=8, normalize=True, value_range=(-1, 1))
        print(f"wrote {chosen.out}")


if __name__ == "__main__":
    main()
