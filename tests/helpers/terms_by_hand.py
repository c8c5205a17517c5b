"""Terms beside the adversarial loss, written out in plain torch from their papers and without a
line of ganzoo: what ganzoo's are compared with. Nets are functions; what is random is given.
"""

import math

import torch


def lecam(real, fake, mean_real, mean_fake):
    """Sums over samples, one at a time."""
    first = sum((x - mean_fake) ** 2 for x in real) / len(real)
    return first + sum((x - mean_real) ** 2 for x in fake) / len(fake)


def lecam_means(batches, decay, start):
    """The running means before each batch of (real, fake), those of the last one at first."""
    means = [(0.0, 0.0)]
    for number, (real, fake) in enumerate(batches):
        now = real.mean().item(), fake.mean().item()
        keep = decay if number >= max(start, 1) else 0.0
        means.append(
            tuple(keep * old + (1 - keep) * new for old, new in zip(means[-1], now, strict=True))
        )
    return means


def squared_difference(one, other):
    return ((one - other) ** 2).sum() / one.numel()


def shifted(image, mirror, down, right):
    """One image [c, h, w], mirrored or not, then moved; reflected at the border, pixel by pixel."""
    height, width = image.shape[1:]
    source = torch.flip(image, [2]) if mirror else image
    found = torch.empty_like(image)
    for i in range(height):
        for j in range(width):
            found[:, i, j] = source[:, bounced(i + down, height), bounced(j + right, width)]
    return found


def bounced(place, side):
    """A place beyond the border, mirrored back at the pixel there."""
    if place < 0:
        return -place
    return 2 * (side - 1) - place if place >= side else place


def feature_matching(real, fake):
    """The squared distance of mean features, over lists of tensors [n, ...]."""
    total = 0.0
    for one, other in zip(real, fake, strict=True):
        gap = one.sum(0) / len(one) - other.sum(0) / len(other)
        total = total + (gap * gap).sum()
    return total


def cross_entropy(scores, labels):
    """-log of the share of the right class's exponential."""
    total = 0.0
    for row, label in zip(scores, labels.tolist(), strict=True):
        total = total - torch.log(row[label].exp() / row.exp().sum())
    return total / len(scores)


def data_to_data(vectors, proxies, labels, temperature, margin):
    """ReACGAN's loss, sample by sample, from vectors and classes' vectors of any length."""
    f = vectors / (vectors**2).sum(1, keepdim=True).sqrt()
    w = proxies / (proxies**2).sum(1, keepdim=True).sqrt()
    total, labels = 0.0, labels.tolist()
    for i, label in enumerate(labels):
        near = torch.exp(torch.clamp((f[i] * w[label]).sum() - margin, max=0) / temperature)
        rivals = 0.0
        for j, other in enumerate(labels):
            if other != label:
                alike = torch.clamp((f[i] * f[j]).sum() - (1 - margin), min=0)
                rivals = rivals + torch.exp(alike / temperature)
        total = total - torch.log(near / (near + rivals))
    return total / len(labels)


def mode_seeking(samples, others, latents, other_latents):
    ratios = [
        (a - b).abs().mean() / (z - y).abs().mean()
        for a, b, z, y in zip(samples, others, latents, other_latents, strict=True)
    ]
    return 1 / (sum(ratios) / len(ratios) + 1e-5)


def orthogonality(rows):
    """The sum of squared inner products of pairs of different rows, each pair twice."""
    total = 0.0
    for i, one in enumerate(rows):
        for j, other in enumerate(rows):
            if i != j:
                total = total + (one * other).sum() ** 2
    return total


def path_length(slope, mean):
    """From a slope [n, d] or [n, layers, d]."""
    total = 0.0
    for one in slope:
        layers = one if one.dim() == 2 else one[None]
        length = (sum((layer**2).sum() for layer in layers) / len(layers)).sqrt()
        total = total + (length - mean) ** 2
    return total / len(slope)


def largest(logits, count):
    """The places of the largest logits."""
    return sorted(range(len(logits)), key=lambda i: -logits[i])[:count]


def share_of_batch(least, until, progress):
    """Of an exponential fall from 1 to `least` at `until`."""
    return max(least, math.exp(math.log(least) * progress / until))
