"""The perceptual path length by torch-fidelity: of a generator, not of samples."""

from __future__ import annotations

import contextlib
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor, nn

from ganzoo.contracts import Generator, Metric, PositiveFloat, PositiveInt, Spec
from ganzoo.errors import Incompatible

from .nets import BATCH, LPIPS, PACKAGE, VGG, find_weights, in_colour, similarity_at

OUTER = 0.01  # share of the distances that is left out on either side


class PathLength(Metric):
    """The perceptual path length by torch-fidelity (Karras et al. 2019): how much images change for
    a small step between latents.

    In torch-fidelity's own way: latents are interpolated where the generator reads them, images are
    rounded to 8 bits, compared at 64x64 by VGG16 with the weights of LPIPS, and the nearest and the
    farthest hundredth are left out. It takes a generator of standard normal vectors, and has no
    floor, since real samples lie on no path.

    Figures:
    length: mean over pairs of latents of the squared distance over the squared step, from 0; less
        is smoother, and a generator that draws one image alone has 0
    deviation: over the pairs

    count: pairs of latents
    epsilon: the step, as a share of the way between two latents
    weights_file: of VGG16 as torchvision publishes it, or safetensors; torch's own folder by
        default
    lpips_file: of LPIPS as torch-fidelity publishes it, as safetensors
    """

    modalities = ("image",)
    reads = ("generator",)

    def __init__(
        self,
        spec: Spec,
        *,
        count: PositiveInt = 5000,
        epsilon: PositiveFloat = 1e-4,
        weights_file: Path | None = None,
        lpips_file: Path | None = None,
    ) -> None:
        super().__init__(spec, count=count)
        if spec.modality == "image" and spec.shape[0] not in (1, 3, 4):
            raise Incompatible(
                f"takes grey images or those in colour, not of {spec.shape[0]} channels",
                section="metric.ppl",
            )
        vgg, vgg_sum = find_weights("ppl", VGG, weights_file)
        lpips, lpips_sum = find_weights("ppl", LPIPS, lpips_file, "lpips_file")
        self.files, self.sums = {VGG: vgg, LPIPS: lpips}, (vgg_sum, lpips_sum)
        self.epsilon = epsilon

    def of_generator(self, generator: Generator, seed: int) -> dict[str, float]:
        """The length of a generator's paths."""
        from torch_fidelity import metric_ppl
        from torch_fidelity.generative_model_modulewrapper import GenerativeModelModuleWrapper

        normal = getattr(type(generator), "draw_latents", None) is Generator.draw_latents
        if not normal or generator.reads:
            raise Incompatible(
                "takes a generator that draws from standard normal vectors, and reads no pictures",
                section="metric.ppl",
            )
        classes = generator.spec.classes if generator.conditional else 0
        pictures = _Pictures(generator)
        wrapped = GenerativeModelModuleWrapper(pictures, generator.latent_dim, "normal", classes)
        device = next((each.device for each in generator.parameters()), torch.device("cpu"))
        cuda = device.type == "cuda"
        # It moves the generator itself, which somebody trains, to the current GPU.
        here = torch.cuda.device(device) if cuda else contextlib.nullcontext()
        with here, similarity_at("ppl", self.files, lambda: pictures.asked):
            found = metric_ppl.calculate_ppl(
                1,
                input1=wrapped,
                input1_model_num_samples=self.count,
                batch_size=min(BATCH, self.count),
                ppl_epsilon=float(self.epsilon),
                ppl_reduction="none",
                # Its own way to leave some out is refused by numpy from 2.4 on.
                ppl_discard_percentile_lower=None,
                ppl_discard_percentile_higher=None,
                rng_seed=seed,
                cuda=cuda,
                verbose=False,
            )
        kept = inner(torch.from_numpy(found[metric_ppl.KEY_METRIC_PPL_RAW]).flatten().double())
        return {"length": float(kept.mean()), "deviation": float(kept.std(correction=0))}

    def protocol(self) -> dict[str, str | int | float | bool]:
        """The package, the nets and their files."""
        return {
            "features": LPIPS.name,
            "weights_file": self.sums[0][:16],
            "lpips_file": self.sums[1][:16],
            "range": "8 bits in colour",
            "resizer": f"torch-fidelity's, to {LPIPS.side}x{LPIPS.side}",
            "package": f"{PACKAGE} {version(PACKAGE)}",
        }


def inner(distances: Tensor) -> Tensor:
    """Distances [n] without those below the first hundredth or above the last."""
    low = distances.quantile(OUTER, interpolation="lower")
    high = distances.quantile(1 - OUTER, interpolation="higher")
    return distances[(low <= distances) & (distances <= high)]


class _Pictures(nn.Module):
    """A generator that draws pictures in 8 bits and in colour; `asked` once it was to draw some."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator, self.asked = generator, False

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        self.asked = True
        images: Tensor = self.generator(latents.float(), labels)
        return in_colour(images)
