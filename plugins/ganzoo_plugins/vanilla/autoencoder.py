"""A fully connected discriminator that judges by reconstruction."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from ganzoo.contracts import MODALITIES, Discriminator, PositiveInt, Spec
from ganzoo.nn import within_range

from .nets import Frame, trunk


class MLPAutoencoder(Discriminator):
    """A fully connected autoencoder, whose logit is minus its error (Zhao et al. 2017; Berthelot
    et al. 2017).

    Judges samples of any shape [n, *spec.shape]; the error is a mean over a sample's numbers, so
    that logits are never positive. Reconstructions of images and videos end in tanh; points are
    taken from the data's mean in units of their deviation, which slopes are counted over, too;
    symbols and categories are numbers as others.

    width: units in each hidden layer
    depth: hidden layers on either side of the code
    code: numbers that a sample is squeezed into
    error: of each number, |x - y| (BEGAN, eta 1) or (x - y)² (EBGAN)
    """

    modalities = MODALITIES

    def __init__(
        self,
        spec: Spec,
        *,
        width: PositiveInt = 256,
        depth: PositiveInt = 2,
        code: PositiveInt = 32,
        error: Literal["absolute", "squared"] = "absolute",
    ) -> None:
        super().__init__(spec)
        self.squared = error == "squared"
        self.encode = nn.Sequential(trunk(spec.numel, width, depth), nn.Linear(width, code))
        self.decode = nn.Sequential(trunk(code, width, depth), nn.Linear(width, spec.numel))
        self.frame = Frame(spec) if spec.modality == "points" else None

    def calibrate(self, points: Tensor) -> None:
        """Take the mean and the deviation of points [n, d]."""
        if self.frame is not None:
            self.frame.fit(points)

    @property
    def unit(self) -> Tensor | float:  # type: ignore[override]
        """The deviation of points."""
        return 1.0 if self.frame is None else self.frame.scale

    def reconstruct(self, samples: Tensor) -> Tensor:
        """Samples [n, *spec.shape] as they come out of the code."""
        found = self.decode(self.encode(self._framed(samples)))
        if self.frame is not None:
            found = self.frame.back(found)
        return within_range(found, self.spec).view(samples.shape)

    def _framed(self, samples: Tensor) -> Tensor:
        """Samples as rows of numbers, points in the scale of the data."""
        flat = samples.flatten(1)
        return flat if self.frame is None else self.frame(flat)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits [n], minus the error of the reconstruction."""
        miss = self._framed(samples) - self._framed(self.reconstruct(samples))
        return -(miss.square() if self.squared else miss.abs()).mean(1)
