"""What augmentations do, written anew in numpy from their papers: the draws of Karras et al. 2020
as homogeneous matrices, their resampling step by step, and the changes of Zhao et al. 2020.
"""

import numpy as np

SYM2 = np.array([-0.12940952255092145, 0.22414386804185735, 0.836516303737469, 0.48296291314469025])


def chance(draw, count, probability, changed, still):
    """The changed values where a coin of each falls so."""
    chosen = draw.random(count) < probability
    return np.where(chosen.reshape(-1, *[1] * (changed.ndim - 1)), changed, still)


def homogeneous(count, **entries):
    """Matrices [n, 3, 3] that are the identity but for entries such as a01."""
    found = np.tile(np.eye(3), (count, 1, 1))
    for place, value in entries.items():
        found[:, int(place[1]), int(place[2])] = value
    return found


def turn(angle):
    return homogeneous(
        len(angle), a00=np.cos(angle), a01=np.sin(angle), a10=-np.sin(angle), a11=np.cos(angle)
    )


def blit(draw, count, probability, height, width):
    """Inverse maps of mirroring, quarter turns and whole steps."""
    mirror = chance(draw, count, probability, 1.0 - 2 * draw.integers(0, 2, count), 1)
    quarters = chance(draw, count, probability, draw.integers(0, 4, count), 0)
    move = chance(draw, count, probability, draw.uniform(-0.125, 0.125, (count, 2)), 0)
    x, y = np.round(move[:, 0] * width), np.round(move[:, 1] * height)
    steps = homogeneous(count, a02=-x, a12=-y)
    return homogeneous(count, a00=mirror) @ turn(np.pi / 2 * quarters) @ steps


def geom(draw, count, probability, height, width):
    """Inverse maps of scale, turn, stretching, turn, steps."""
    scale = chance(draw, count, probability, 2 ** (0.2 * draw.standard_normal(count)), 1)
    half = 1 - np.sqrt(1 - probability)
    before, after = (
        chance(draw, count, half, draw.uniform(-np.pi, np.pi, count), 0) for _ in range(2)
    )
    stretch = chance(draw, count, probability, 2 ** (0.2 * draw.standard_normal(count)), 1)
    move = chance(draw, count, probability, 0.125 * draw.standard_normal((count, 2)), 0)
    found = homogeneous(count, a00=1 / scale, a11=1 / scale) @ turn(before)
    found = found @ homogeneous(count, a00=1 / stretch, a11=stretch) @ turn(after)
    return found @ homogeneous(count, a02=-move[:, 0] * width, a12=-move[:, 1] * height)


def warped(image, inverse, wavelet):
    """One image [h, w] under an inverse map [3, 3] about its middle: mirrored all around, zeros
    between its pixels, filtered, looked up between four, filtered again, every second kept.
    """
    height, width = image.shape
    margin = 4 * max(height, width)
    wide = np.pad(image, margin, mode="reflect")
    low = np.array(wavelet) / np.sqrt(2)
    fine = np.zeros((2 * wide.shape[0], 2 * wide.shape[1]))
    fine[::2, ::2] = wide
    for axis in (0, 1):
        fine = np.apply_along_axis(lambda row: np.convolve(row, 2 * low), axis, fine)
    origin = 5 + 2 * margin  # the place of pixel 0, a quarter of a pixel before its middle
    beyond = 5
    found = np.zeros((2 * height + 2 * beyond, 2 * width + 2 * beyond))
    for i in range(found.shape[0]):
        for j in range(found.shape[1]):
            y = (i - beyond - 0.5) / 2 - (height - 1) / 2
            x = (j - beyond - 0.5) / 2 - (width - 1) / 2
            across, down, _ = inverse @ np.array([x, y, 1])
            row = 2 * (down + (height - 1) / 2) + 0.5 + origin
            column = 2 * (across + (width - 1) / 2) + 0.5 + origin
            r, c = int(np.floor(row)), int(np.floor(column))
            a, b = row - r, column - c
            upper = (1 - b) * fine[r, c] + b * fine[r, c + 1]
            lower = (1 - b) * fine[r + 1, c] + b * fine[r + 1, c + 1]
            found[i, j] = (1 - a) * upper + a * lower
    for axis in (0, 1):
        found = np.apply_along_axis(
            lambda row: np.correlate(row, low, mode="valid")[::2], axis, found
        )
    return found


def colours(draw, count, probability, channels):
    """Matrices [n, 4, 4] of colours, and what they become of grey in one channel."""
    eye = np.tile(np.eye(4), (count, 1, 1))
    luma = np.array([1, 1, 1, 0]) / np.sqrt(3)
    axis = np.outer(luma, luma)
    brightness = chance(draw, count, probability, 0.2 * draw.standard_normal(count), 0)
    contrast = chance(draw, count, probability, 2 ** (0.5 * draw.standard_normal(count)), 1)
    flip = chance(draw, count, probability, draw.integers(0, 2, count), 0)
    found = eye.copy()
    found[:, :3, 3] = brightness[:, None]
    found = np.where(np.arange(4)[:, None] < 3, contrast[:, None, None], 1) * found
    found = (eye - 2 * axis * flip[:, None, None]) @ found
    if channels == 3:
        angle = chance(draw, count, probability, draw.uniform(-np.pi, np.pi, count), 0)
        saturation = chance(draw, count, probability, 2 ** draw.standard_normal(count), 1)
        cross = np.array([[0, -1, 1, 0], [1, 0, -1, 0], [-1, 1, 0, 0], [0, 0, 0, 0]]) / np.sqrt(3)
        grey = axis + np.diag([0.0, 0, 0, 1])
        rest = np.eye(4) - grey
        cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
        found = (grey + rest * cos + cross * sin) @ found
        found = (grey + rest * saturation[:, None, None]) @ found
    return found


def bank():
    """The four filters of octave bands, the lowest first, of 43 taps each."""
    low = np.convolve(SYM2, SYM2[::-1]) / 2
    high = SYM2 * (-1) ** np.arange(4)
    high = np.convolve(high, high[::-1]) / 2
    filters = [np.ones(1)]
    for _ in range(3):
        stretched = []
        for taps in filters:
            sparse = np.zeros(2 * len(taps) - 1)
            sparse[::2] = taps
            stretched.append(np.convolve(sparse, low))
        filters = [*stretched, high]
    longest = max(map(len, filters))
    return [np.pad(taps, (longest - len(taps)) // 2) for taps in filters]


def gains(draw, count, probability):
    """What the bands are multiplied by, [n, 4]."""
    power, total = np.array([10, 1, 1, 1]) / 13, np.ones((count, 4))
    for band in range(4):
        one = np.ones((count, 4))
        one[:, band] = chance(draw, count, probability, 2 ** draw.standard_normal(count), 1)
        total *= one / np.sqrt((power * one**2).sum(1, keepdims=True))
    return total


def recoloured(draw, images):
    """Zhao et al.'s brightness, saturation and contrast, of images [n, c, h, w]."""
    shape = (len(images), 1, 1, 1)
    images = images + draw.random(shape) - 0.5
    mean = images.mean(1, keepdims=True)
    images = (images - mean) * (2 * draw.random(shape)) + mean
    mean = images.mean((1, 2, 3), keepdims=True)
    return (images - mean) * (draw.random(shape) + 0.5) + mean


def holes(draw, count, height, width):
    """Zhao et al.'s cutout: 0 within the hole, [n, h, w], one by one."""
    found = np.ones((count, height, width))
    tall, broad = int(height / 2 + 0.5), int(width / 2 + 0.5)
    for one in found:
        down = draw.integers(0, height + (1 - tall % 2))
        across = draw.integers(0, width + (1 - broad % 2))
        for y in range(tall):
            for x in range(broad):
                row = min(max(y + down - tall // 2, 0), height - 1)
                column = min(max(x + across - broad // 2, 0), width - 1)
                one[row, column] = 0
    return found
