"""A training loop of one's own with ganzoo's parts: `python examples/own_loop.py --images 20000`.

Nets, loss, penalty and optimizers are ganzoo's; the loop, and when it steps, is yours. Any of them
may be replaced by a part of your own: a net is a `torch.nn.Module` that has the same methods.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torchvision.utils import save_image

import ganzoo
from ganzoo.contracts import Step

BATCH = 32


def main() -> None:
    """Train on the digits that come with ganzoo, and write a picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20_000, help="real images to show")
    parser.add_argument("--out", type=Path, default=Path("own_loop.png"), help="the picture")
    chosen = parser.parse_args()
    torch.manual_seed(0)

    digits = ganzoo.create("dataset", "digits")
    generator = ganzoo.create("generator", "dcgan", digits.spec, latent_dim=64, width=32)
    discriminator = ganzoo.create("discriminator", "dcgan", digits.spec, width=32, norm="none")
    loss = ganzoo.create("loss", "rpgan")
    r1 = ganzoo.create("regularizer", "r1", weight=0.1, every=4)
    rates = {"lr": 1e-3, "betas": [0.0, 0.99]}
    steps_generator = ganzoo.create("optimizer", "adam", generator.parameters(), **rates)
    steps_discriminator = ganzoo.create("optimizer", "adam", discriminator.parameters(), **rates)
    average = ganzoo.Average(generator, half_life=2_000)  # in images

    for update in range(max(1, chosen.images // BATCH)):
        real, _ = digits.batch(torch.randint(len(digits), (BATCH,)))  # pictures in [-1, 1]

        step = Step("discriminator", generator, discriminator, real, generator.draw_latents(BATCH))
        # First, since R1's pass gives the logits of the real pictures, too.
        penalties, _ = step.penalise([("r1", r1)] if update % r1.every == 0 else [])
        steps_discriminator.zero_grad()
        (loss.discriminator(step) + penalties).backward()
        steps_discriminator.step()

        step = Step("generator", generator, discriminator, real, generator.draw_latents(BATCH))
        steps_generator.zero_grad()
        loss.generator(step).backward()
        steps_generator.step()
        average.update(generator, BATCH, (update + 1) * BATCH)

    with torch.no_grad():
        samples = average.net(generator.draw_latents(64))  # [64, 1, 28, 28] in [-1, 1]
    save_image(samples, chosen.out, nrow=8, normalize=True, value_range=(-1, 1))
    print(f"wrote {chosen.out}")


if __name__ == "__main__":
    main()
