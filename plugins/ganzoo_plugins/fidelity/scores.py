"""The metrics of torch-fidelity, for images: its nets, its functions, its figures."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, ClassVar, Literal, get_args

from pydantic import AfterValidator
from torch import Tensor

from ganzoo.contracts import Metric, PositiveInt, Spec
from ganzoo.errors import BadOption, Incompatible

from .nets import INCEPTION, PACKAGE, FidelityNet, Name
from .timm_nets import PREFIX, TimmNet


def _known(name: str) -> str:
    """The name of a feature net; raises ValueError for another."""
    if name in get_args(Name) or re.fullmatch(rf"{PREFIX}[\w.]+", name):
        return name
    raise ValueError(f"give {', '.join(get_args(Name))}, or {PREFIX}NAME for a net of timm")


FeatureNet = Annotated[Name | str, AfterValidator(_known)]
Layer = Literal[64, 192, 768, 2048]
DEEPEST: Layer = 2048


class _Fidelity(Metric):
    """A metric of torch-fidelity: samples in the order of their files, features of one net."""

    modalities = ("image",)
    in_order = True  # subsets and splits are drawn by place
    called: ClassVar[str]
    theirs: ClassVar[str]  # torch-fidelity's name of the metric
    fewer: ClassVar[str] = "have more of them"  # the way out where there are too few

    def __init__(
        self,
        spec: Spec,
        *,
        count: int,
        net: str,
        weights_file: Path | None,
        layer: str | None = None,
    ) -> None:
        super().__init__(spec, count=count)
        if spec.modality == "image" and spec.shape[0] not in (1, 3, 4):
            raise Incompatible(
                f"takes grey images or those in colour, not of {spec.shape[0]} channels",
                section=f"metric.{self.called}",
            )
        self.extractor: TimmNet | FidelityNet
        if net.startswith(PREFIX):
            self.extractor = TimmNet(self.called, net.removeprefix(PREFIX), weights_file)
        else:
            self.extractor = FidelityNet(self.called, net, weights_file, layer, self.theirs)

    def features(self, samples: Tensor) -> Tensor:
        """Features [n, d] of images [n, c, h, w] in [-1, 1]."""
        return self.extractor.features(samples)

    def protocol(self) -> dict[str, str | int | float | bool]:
        """The package, the net and its file, and what it makes of a picture."""
        return {**self.extractor.protocol(), "package": f"{PACKAGE} {version(PACKAGE)}"}

    def _check(self, least: int, *sides: Tensor) -> None:
        fewest = min(map(len, sides))
        if fewest < least:
            raise Incompatible(
                f"metric {self.called}: {fewest:,} samples are too few; it takes {least:,}",
                remedy=self.fewer,
            )


class FID(_Fidelity):
    """The Frechet Inception distance by torch-fidelity (Heusel et al. 2017).

    Comparable with torch-fidelity's own figure alone, at the same counts: other packages resize
    and round in other ways. It takes 50,000 samples by custom; the fewer, the larger it is.

    Figures:
    distance: from 0, smaller is better

    count: samples to draw for it
    net: that gives features: the Inception net, another of torch-fidelity's, or timm:NAME
    weights_file: of the net as published, or safetensors; by default where torch keeps files
    layer: which of the Inception net's, by its width; another net has one alone
    """

    called = theirs = "fid"

    def __init__(
        self,
        spec: Spec,
        *,
        count: PositiveInt = 5000,
        net: FeatureNet = "inception-v3-compat",
        weights_file: Path | None = None,
        layer: Layer = DEEPEST,
    ) -> None:
        chosen = _layer(self.called, net, layer)
        super().__init__(spec, count=count, net=net, weights_file=weights_file, layer=chosen)

    def compare(self, real: Tensor, fake: Tensor) -> dict[str, float]:
        """The distance of features [n, d]."""
        from torch_fidelity import metric_fid

        self._check(2, real, fake)
        one, other = (metric_fid.fid_features_to_statistics(side) for side in (fake, real))
        found = metric_fid.fid_statistics_to_metric(one, other, False)
        return {"distance": found[metric_fid.KEY_METRIC_FID]}


class KID(_Fidelity):
    """The kernel Inception distance by torch-fidelity (Binkowski et al. 2018).

    Figures:
    distance: mean over subsets of the squared distance, about 0 at best and then below 0 too
    deviation: over the subsets

    count: samples to draw for it
    subsets: that are drawn of both sides
    subset_size: samples in one
    net: that gives features: the Inception net, another of torch-fidelity's, or timm:NAME
    weights_file: of the net as published, or safetensors; by default where torch keeps files
    layer: which of the Inception net's, by its width; another net has one alone
    """

    called = theirs = "kid"
    fewer = "have more of them, or set a smaller subset_size"

    def __init__(
        self,
        spec: Spec,
        *,
        count: PositiveInt = 5000,
        subsets: PositiveInt = 100,
        subset_size: PositiveInt = 1000,
        net: FeatureNet = "inception-v3-compat",
        weights_file: Path | None = None,
        layer: Layer = DEEPEST,
    ) -> None:
        chosen = _layer(self.called, net, layer)
        super().__init__(spec, count=count, net=net, weights_file=weights_file, layer=chosen)
        self.subsets, self.subset_size = subsets, subset_size

    def compare(self, real: Tensor, fake: Tensor) -> dict[str, float]:
        """The distance of features [n, d]."""
        from torch_fidelity import metric_kid

        self._check(max(self.subset_size, 2), real, fake)
        found = metric_kid.kid_features_to_metric(
            fake, real, kid_subsets=self.subsets, kid_subset_size=self.subset_size, verbose=False
        )
        return {
            "distance": found[metric_kid.KEY_METRIC_KID_MEAN],
            "deviation": found[metric_kid.KEY_METRIC_KID_STD],
        }


class InceptionScore(_Fidelity):
    """The Inception score by torch-fidelity (Salimans et al. 2016): of ImageNet's classes, and of
    generated images alone.

    Figures:
    score: mean over splits, from 1, larger is better; its floor is what real images score
    deviation: over the splits

    count: samples to draw for it
    splits: parts that it is taken of
    weights_file: of the Inception net as published, or safetensors; torch's own folder by default
    """

    called = theirs = "isc"
    fewer = "have more of them, or set fewer splits"
    larger = ("score",)

    def __init__(
        self,
        spec: Spec,
        *,
        count: PositiveInt = 5000,
        splits: PositiveInt = 10,
        weights_file: Path | None = None,
    ) -> None:
        super().__init__(
            spec,
            count=count,
            net=INCEPTION.name,
            weights_file=weights_file,
            layer="logits_unbiased",
        )
        self.splits = splits

    def compare(self, real: Tensor, fake: Tensor) -> dict[str, float]:
        """The score of generated images' logits [n, d]."""
        from torch_fidelity import metric_isc

        self._check(self.splits, fake)
        found = metric_isc.isc_features_to_metric(fake, splits=self.splits)
        return {
            "score": found[metric_isc.KEY_METRIC_ISC_MEAN],
            "deviation": found[metric_isc.KEY_METRIC_ISC_STD],
        }


class PrecisionRecall(_Fidelity):
    """Improved precision and recall by torch-fidelity (Kynkäänniemi et al. 2019), in features of
    VGG16 unless another net is named.

    Figures:
    precision: share of generated images within reach of real ones, 0 to 1, larger is better
    recall: share of real images within reach of generated ones, likewise

    count: samples to draw for it
    neighbours: which neighbour the reach of an image goes to
    net: that gives features: VGG16, another of torch-fidelity's, or timm:NAME
    weights_file: of the net as published, or safetensors; by default where torch keeps files
    """

    called, theirs = "pr", "prc"
    larger = ("precision", "recall")

    def __init__(
        self,
        spec: Spec,
        *,
        count: PositiveInt = 5000,
        neighbours: PositiveInt = 3,
        net: FeatureNet = "vgg16",
        weights_file: Path | None = None,
    ) -> None:
        super().__init__(spec, count=count, net=net, weights_file=weights_file)
        self.neighbours = neighbours

    def compare(self, real: Tensor, fake: Tensor) -> dict[str, float]:
        """Both shares of features [n, d]."""
        from torch_fidelity import metric_prc

        self._check(self.neighbours + 1, real, fake)
        found = metric_prc.prc_features_to_metric(
            fake, real, prc_neighborhood=self.neighbours, save_cpu_ram=True, verbose=False
        )
        return {
            "precision": found[metric_prc.KEY_METRIC_PRECISION],
            "recall": found[metric_prc.KEY_METRIC_RECALL],
        }


def _layer(metric: str, net: str, width: Layer) -> str | None:
    """The name of a layer of the Inception net; raises BadOption for another net's."""
    if net == INCEPTION.name:
        return str(width)
    if width != DEEPEST:
        raise BadOption(
            f"is of {INCEPTION.name}; {net} has one layer alone",
            section=f"metric.{metric}",
            key="layer",
            value=width,
        )
    return None
