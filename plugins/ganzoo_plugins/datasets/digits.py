"""The digits that scikit-learn carries: the data set that is always there."""

import torch
from sklearn.datasets import load_digits

from ganzoo.contracts import Dataset
from ganzoo.data import resize


def digits(*, resolution: tuple[int, int] | None = (16, 16)) -> Dataset:
    """Handwritten digits, 1,797 in 17 greys, embedded: no download (UCI, Alpaydin and Kaynak 1998).

    Samples are [1797, 1, h, w] uint8 with labels 0..9; the 64 pixels of the original are enlarged (bicubic).

    resolution: height and width; none keeps the native 8x8
    """
    found = load_digits()
    native = torch.from_numpy(found.images).mul(255 / 16).round().to(torch.uint8)[:, None]
    notes = ["1,797 digits of 8x8 pixels"]
    if resolution not in (None, (8, 8)):
        notes.append(f"enlarged to {resolution[0]}x{resolution[1]} (bicubic)")
    samples = native if resolution is None else resize(native, resolution)
    return Dataset(
        samples, torch.from_numpy(found.target).long(), [str(d) for d in range(10)], notes
    )
