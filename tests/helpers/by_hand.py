"""Trainings written out in plain torch, as documented and
without a line of ganzoo: what ganzoo's are compared with.
"""

import copy
import hashlib
import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

# Random numbers, as docs/how-a-run-flows.md has them: one seed, a stream for each use.


def seed_for(seed, *use):
    text = ":".join(str(part) for part in (seed, *use))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") // 2


def batches(count, size, seed, flip):
    """Endless indices and flips: each epoch a permutation, batches across the border of two."""

    def stream(purpose, epoch):
        digest = hashlib.sha256(f"{seed} {purpose} {epoch}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") // 2)

    epoch, waiting, coins = 0, [], []
    while True:
        while len(waiting) < size:
            waiting += torch.randperm(count, generator=stream("order", epoch)).tolist()
            if flip:
                coins += (torch.rand(count, generator=stream("flip", epoch)) < 0.5).tolist()
            epoch += 1
        yield waiting[:size], coins[:size]
        del waiting[:size], coins[:size]


# Nets


class Scale(nn.Module):
    """The mean of points, by coordinate, and how far they lie from it, in all of them alike."""

    def __init__(self, points):
        super().__init__()
        count = points.shape[0]
        mean = points.sum(0) / count
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", ((points - mean) ** 2).mean().sqrt())


class Points(nn.Module):
    """Linear layers with leaky rectifiers between them, for points; either side."""

    def __init__(self, sizes, points, shape=()):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.scale, self.shape = Scale(points), shape

    @property
    def unit(self):
        """Slopes are counted over the deviation."""
        return self.scale.deviation

    def forward(self, x, labels=None):
        x = x.flatten(1)
        if not self.shape:
            x = (x - self.scale.mean) / self.scale.deviation
        for layer in self.layers[:-1]:
            x = F.leaky_relu(layer(x), 0.2)
        x = self.layers[-1](x)
        if not self.shape:
            return x[:, 0]
        return (x * self.scale.deviation + self.scale.mean).reshape(len(x), *self.shape)


class LabelledMaker(nn.Module):
    """One hidden layer, to which the class's vector is added."""

    def __init__(self, latent, width, classes, shape):
        super().__init__()
        self.classes = nn.Embedding(classes, width)
        self.hidden, self.draw = nn.Linear(latent, width), nn.Linear(width, math.prod(shape))
        self.shape = shape

    def forward(self, z, labels):
        x = self.draw(F.relu(self.hidden(z) + self.classes(labels)))
        return x.tanh().reshape(len(x), *self.shape)


class Projection(nn.Module):
    """The class's vector times the features, added to the logit."""

    def __init__(self, inputs, width, classes):
        super().__init__()
        self.hidden, self.judge = nn.Linear(inputs, width), nn.Linear(width, 1)
        self.classes = nn.Embedding(classes, width)

    def forward(self, x, labels):
        h = F.leaky_relu(self.hidden(x.flatten(1)), 0.2)
        return self.judge(h)[:, 0] + (self.classes(labels) * h).sum(1)


class ConvMaker(nn.Module):
    """DCGAN's generator as pytorch/examples writes it, for powers of two; latents [n, latent]."""

    def __init__(self, latent, width, channels, size):
        super().__init__()
        stages = int(math.log2(size)) - 2
        widths = [width * min(2**k, 8) for k in reversed(range(stages))]
        layers = [nn.ConvTranspose2d(latent, widths[0], 4, 1, 0, bias=False)]
        for a, b in zip(widths, [*widths[1:], None], strict=True):
            layers += [nn.BatchNorm2d(a), nn.ReLU()]
            layers += [nn.ConvTranspose2d(a, b or channels, 4, 2, 1, bias=False)]
        self.net = nn.Sequential(*layers, nn.Tanh())

    def forward(self, z, labels=None):
        return self.net(z[:, :, None, None])


class ConvCritic(nn.Module):
    """DCGAN's discriminator as pytorch/examples writes it, for powers of two."""

    def __init__(self, width, channels, size, norm="batch"):
        super().__init__()
        make = {
            "batch": lambda c: nn.BatchNorm2d(c, track_running_stats=False),
            "layer": lambda c: nn.GroupNorm(1, c),
            "instance": lambda c: nn.InstanceNorm2d(c, affine=True),
            "none": lambda c: nn.Identity(),
        }[norm]
        bias, layers, before = norm == "none", [], channels
        for stage in range(int(math.log2(size)) - 2):
            after = width * min(2**stage, 8)
            layers += [nn.Conv2d(before, after, 4, 2, 1, bias=bias)]
            layers += [make(after) if stage else nn.Identity(), nn.LeakyReLU(0.2)]
            before = after
        self.net = nn.Sequential(*layers, nn.Conv2d(before, 1, 4, 1, 0, bias=bias))

    def forward(self, x, labels=None):
        return self.net(x)[:, 0, 0, 0]


def copied(net, source):
    """The net with the values of another's parameters, which come in the same order; its buffers,
    computed here, are compared.

    A linear layer beside a convolution over all of a map is the same numbers in another shape.
    """
    with torch.no_grad():
        for mine, theirs in zip(net.parameters(), source.parameters(), strict=True):
            if mine.shape == theirs.shape:
                mine.copy_(theirs)
            elif mine.shape[0] == 1:  # the last layer of a discriminator
                mine.copy_(theirs.reshape(mine.shape))
            else:  # the first of a generator: [outputs, latent] beside [latent, c, h, w]
                mine.copy_(theirs.t().reshape(mine.shape))
        for mine, theirs in zip(net.buffers(), source.buffers(), strict=True):
            torch.testing.assert_close(mine, theirs)
    return net


# Losses: (of the discriminator's update, of the generator's), from logits of real and fake.

LOSSES = {
    "minimax": (
        lambda r, f: -r.sigmoid().log().mean() - (1 - f.sigmoid()).log().mean(),
        lambda r, f: (1 - f.sigmoid()).log().mean(),
    ),
    "nonsat": (
        lambda r, f: (
            F.binary_cross_entropy_with_logits(r, torch.ones_like(r))
            + F.binary_cross_entropy_with_logits(f, torch.zeros_like(f))
        ),
        lambda r, f: F.binary_cross_entropy_with_logits(f, torch.ones_like(f)),
    ),
    "lsgan": (
        lambda r, f: 0.5 * ((r - 1) ** 2).mean() + 0.5 * (f**2).mean(),
        lambda r, f: 0.5 * ((f - 1) ** 2).mean(),
    ),
    "wgan": (lambda r, f: f.mean() - r.mean(), lambda r, f: -f.mean()),
    "hinge": (
        lambda r, f: (1 - r).clamp(min=0).mean() + (1 + f).clamp(min=0).mean(),
        lambda r, f: -f.mean(),
    ),
    "rpgan": (
        lambda r, f: -(r - f).sigmoid().log().mean(),
        lambda r, f: -(f - r).sigmoid().log().mean(),
    ),
}


def slopes(critic, x, labels):
    """|dD/dx|² of each sample, differentiable."""
    x = x.detach().requires_grad_()
    (slope,) = torch.autograd.grad(critic(x, labels).sum(), x, create_graph=True)
    return ((slope * getattr(critic, "unit", 1)) ** 2).flatten(1).sum(1)


def penalty(name, critic, real, fake, labels):
    """The unweighted value of one penalty; what it draws, it draws in the order of the docs."""
    if name == "r1":
        return slopes(critic, real, labels).mean() / 2
    if name == "r2":
        return slopes(critic, fake, labels).mean() / 2
    mix = torch.rand(len(real)).reshape(-1, *[1] * (real.dim() - 1))
    at = (1 - mix) * real + mix * fake
    if name == "dragan":
        at = real + mix * 0.5 * real.std() * torch.rand(real.shape)
    return ((slopes(critic, at, labels).sqrt() - 1) ** 2).mean()


# The loop


class Hand:
    """One training. `given` has the settings by name; every one has to be there."""

    def __init__(self, maker, critic, optimizers, data, labels, given):
        self.maker, self.critic, self.optimizers = maker, critic, optimizers
        self.data, self.labels, self.given = data, labels, given
        self.average = copy.deepcopy(maker)
        self.rates = {net: optimizer.param_groups[0]["lr"] for net, optimizer in optimizers.items()}
        self.latents = torch.Generator().manual_seed(seed_for(given["seed"], "latents"))
        self.images, self.losses = 0, []

    def run(self):
        given, n = self.given, self.given["batch"]
        order = batches(len(self.data), n, seed_for(given["seed"], "order"), given["flip"])
        torch.manual_seed(seed_for(given["seed"], "updates"))
        count = 0
        while self.images < given["images"]:
            self.set_rates()
            for _ in range(given["n_critic"]):
                real, labels = self.batch(*next(order))
                self.update_critic(real, labels, count)
                count += 1
            self.update_maker(real, labels)
            self.images += given["n_critic"] * n
            self.move_average()

    @property
    def done(self):
        return self.images / self.given["images"]

    def set_rates(self):
        for net, optimizer in self.optimizers.items():
            share = {
                "constant": 1.0,
                "linear": 1 - self.done,
                "cosine": 0.5 + 0.5 * math.cos(math.pi * self.done),
            }[self.given["schedule"][net]]
            for group in optimizer.param_groups:
                group["lr"] = self.rates[net] * share

    def batch(self, indices, coins):
        real = self.data[indices]
        if real.dtype == torch.uint8:
            real = real.float() / 255 * 2 - 1
        for place, coin in enumerate(coins):
            if coin:
                real[place] = real[place].flip(-1)  # left and right
        return real, None if self.labels is None else self.labels[indices]

    def draw(self, labels):
        z = torch.randn(self.given["batch"], self.given["latent"], generator=self.latents)
        return self.maker(z, labels)

    def seen(self, samples):
        """With noise that fades out until half of the training."""
        std = self.given["noise"]
        if not std:
            return samples
        return samples + std * max(0.0, 1 - self.done / 0.5) * torch.randn(samples.shape)

    def update_critic(self, real, labels, count):
        given, critic = self.given, self.critic
        with torch.no_grad():
            fake = self.draw(labels)
        real, fake = self.seen(real), self.seen(fake)
        judged = critic(real, labels)
        loss = LOSSES[given["loss"]][0](judged, critic(fake, labels))
        for name, (first, last, every) in given["slopes"].items():
            if count % every == 0:
                weight = last + (first - last) * (0.5 + 0.5 * math.cos(math.pi * self.done))
                loss = loss + weight * every * penalty(name, critic, real, fake, labels)
        if given["smooth"]:
            loss = loss + (1 - given["smooth"]) * judged.mean()
        for weight in (p for p in critic.parameters() if p.dim() > 1):
            loss = loss + given["l2"] * 0.5 * (weight**2).sum()
        self.step("critic", loss)
        if given["bound"]:
            for p in critic.parameters():
                p.data = p.data.clamp(-given["bound"], given["bound"])

    def update_maker(self, real, labels):
        fake = self.seen(self.draw(labels))
        judged = None
        if self.given["loss"] == "rpgan":
            judged = self.critic(self.seen(real), labels)
        loss = LOSSES[self.given["loss"]][1](judged, self.critic(fake, labels))
        self.step("maker", loss)

    def step(self, which, loss):
        net, optimizer = getattr(self, which), self.optimizers[which]
        for other in (self.maker, self.critic):
            other.zero_grad()
        loss.backward()
        gradients = [p.grad for p in net.parameters() if p.grad is not None]
        norm = math.sqrt(sum(float((g.double() ** 2).sum()) for g in gradients))
        largest, entry = self.given["clip"]
        for g in gradients:
            if largest and norm > largest:
                g *= largest / (norm + 1e-6)
            if entry:
                g.clamp_(-entry, entry)
        optimizer.step()
        self.losses.append(loss.item())

    def move_average(self):
        """Half of it is renewed every `half_life` images,
        and early on every twentieth of those so far.
        """
        shown = self.given["batch"] * self.given["n_critic"]
        horizon = min(self.given["half_life"], self.images / 20)
        keep = 2 ** (-shown / horizon) if horizon else 0.0
        old, new = self.average.state_dict(), self.maker.state_dict()
        for name, value in new.items():
            if value.is_floating_point():
                old[name].copy_(keep * old[name] + (1 - keep) * value)
            else:
                old[name].copy_(value)
