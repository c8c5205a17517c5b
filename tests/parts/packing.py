"""Packing: the discriminator judges several samples at once (Lin et al. 2018, PacGAN)."""

from ganzoo import hookimpl
from ganzoo.contracts import Augmentation, PositiveInt, Spec
from ganzoo.errors import Incompatible


class Packing(Augmentation):
    """Stacks m samples along the channels, so that the
    discriminator sees a lack of variety (Lin et al. 2018).

    m: samples judged at once
    """

    def __init__(self, spec: Spec, *, m: PositiveInt = 2) -> None:
        super().__init__(spec)
        self.m = m

    def respec(self, spec):
        return spec.with_shape(self.m * spec.shape[0], *spec.shape[1:])

    def forward(self, samples):
        if len(samples) % self.m:
            raise Incompatible(
                f"--batch-size {len(samples)}: cannot be packed by {self.m}; give a multiple"
            )
        return samples.reshape(
            len(samples) // self.m, self.m * samples.shape[1], *samples.shape[2:]
        )


@hookimpl
def register_augmentations(register):
    register("packing", Packing, paper="arXiv:1712.04086")
