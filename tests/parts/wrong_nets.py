"""Nets that break one promise each, and parts that say too little of themselves."""

import torch
from torch import nn

from ganzoo.contracts import Spec
from ganzoo.errors import Incompatible

from .sound import Good, Judge, Silent
from .wrong import documented, wrong


@wrong("generator", "described", "has no summary")
class NoDocstring(Good):
    __doc__ = ""


@wrong("tracker", "described", "option 'path' has no help")
@documented()
class NoHelp(Silent):
    def __init__(self, *, path: str = ""):
        pass


@wrong("tracker", "described", "option 'path' has no type")
@documented("Writes.\n\n    path: where")
class NoType(Silent):
    def __init__(self, *, path=""):
        pass


@wrong("tracker", "described", "default of option 'level' fails")
@documented("Writes.\n\n    level: how much")
class BadDefault(Silent):
    def __init__(self, *, level: int = "much"):
        pass


@wrong("tracker", "described", "has 7 options")
@documented("Writes.\n\n" + "".join(f"    {x}: it\n" for x in "abcdefg"))
class TooMany(Silent):
    def __init__(
        self, *, a: int = 1, b: int = 1, c: int = 1, d: int = 1, e: int = 1, f: int = 1, g: int = 1
    ):
        pass


@wrong("generator", "shapes", r"draws \(4, 256\) on image \[1, 16, 16\]")
@documented()
class WrongShape(Good):
    def forward(self, latents, labels=None):
        return super().forward(latents).flatten(1)


@wrong("generator", "ranges", r"draws values up to \d+.* tanh")
@documented()
class WrongRange(Good):
    def forward(self, latents, labels=None):
        return 3 * super().forward(latents)


@wrong("generator", "shapes", "draws torch.float64")
@documented()
class WrongType(Good):
    def forward(self, latents, labels=None):
        return super().forward(latents).double()


@wrong("generator", "gradients", "no gradient reaches unused.weight, unused.bias")
@documented()
class Unused(Good):
    def __init__(self, spec: Spec, *, latent_dim: int = 8):
        super().__init__(spec, latent_dim=latent_dim)
        self.unused = nn.Linear(2, 2)


@wrong("generator", "gradients", "no gradient reaches its parameters")
@documented()
class Detached(Good):
    def forward(self, latents, labels=None):
        return super().forward(latents).detach()


@wrong("generator", "determinism", "differs between two runs of one seed")
@documented()
class OwnSeed(Good):
    stream = torch.Generator().manual_seed(0)

    def forward(self, latents, labels=None):
        noise = torch.randn(latents.shape, generator=self.stream)
        return super().forward(latents + noise)


@wrong("generator", "inputs", "ignores the latents")
@documented()
class OneSample(Good):
    def forward(self, latents, labels=None):
        return super().forward(torch.ones_like(latents))


@wrong("generator", "labels", "ignores the labels")
@documented()
class DeafGenerator(Good):
    conditional = True


@wrong("generator", "labels", "running it without classes fails")
@documented()
class NeedsLabels(Good):
    conditional = True

    def forward(self, latents, labels=None):
        return super().forward(latents + labels[:, None])


@wrong("generator", "latents", "latents do not come from the generator given")
@documented()
class OwnLatents(Good):
    def draw_latents(self, count, generator=None):
        return torch.randn(count, self.latent_dim)


@wrong("generator", "state", "'calls' changes in use")
@documented()
class HiddenState(Good):
    calls = 0

    def __init__(self, spec: Spec, *, latent_dim: int = 8):
        super().__init__(spec, latent_dim=latent_dim)
        self.calls = 0

    def forward(self, latents, labels=None):
        self.calls += 1
        return super().forward(latents)


@wrong("generator", "compiles", "compiling the generator's update as one graph fails")
@documented()
class HostBranch(Good):
    def forward(self, latents, labels=None):
        if latents.mean().item() > 100:
            latents = -latents
        return super().forward(latents)


@wrong("generator", "builds", "its modalities claim points, and it takes none")
@documented()
class ClaimsTooMuch(Good):
    def __init__(self, spec: Spec, *, latent_dim: int = 8):
        if spec.modality == "points":
            raise Incompatible("--gen wrong: no points")
        super().__init__(spec, latent_dim=latent_dim)


@wrong("generator", "builds", r"building it for points \[2\] fails: .*refuse what it cannot do")
@documented()
class Crashes(Good):
    def __init__(self, spec: Spec, *, latent_dim: int = 8):
        super().__init__(spec, latent_dim=latent_dim)
        self.height = spec.shape[1]


@wrong("generator", "state", "loading its state into a second instance fails")
@documented()
class GrowingState(Good):
    def forward(self, latents, labels=None):
        self.register_buffer("last", latents.detach())
        return super().forward(latents)


@wrong("generator", "builds", "is no Generator")
@documented()
class NotAGenerator(nn.Linear):
    def __init__(self, spec: Spec):
        super().__init__(2, 2)


@wrong("discriminator", "shapes", r"gives \(4, 1\)")
@documented()
class Column(Judge):
    def forward(self, samples, labels=None):
        return super().forward(samples)[:, None]


@wrong("discriminator", "per-sample", "says per_sample, and a logit changes")
@documented()
class MixesTheBatch(Judge):
    def forward(self, samples, labels=None):
        return super().forward(samples - samples.mean(0))


@wrong("discriminator", "adapts", "has no 'per_sample' with {}")
@documented()
class WrongRemedy(Judge):
    per_sample = False
    adapts = {"per_sample": {}}  # noqa: RUF012


@wrong("discriminator", "shapes", r"forward is not score\(features\)")
@documented()
class TwoTruths(Judge):
    def features(self, samples):
        return 2 * samples

    def score(self, features, labels=None):
        return Judge.forward(self, features)

    def forward(self, samples, labels=None):
        return Judge.forward(self, samples)


@wrong("discriminator", "slopes", "gradient of its slope's size is wrong")
@documented()
class OneDerivative(Judge):
    class Twice(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x):
            return x * x

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, gradient):
            return (2 * ctx.saved_tensors[0] * gradient).detach()

    def forward(self, samples, labels=None):
        return self.outer(torch.sigmoid(self.Twice.apply(self.inner(samples.flatten(1))))).squeeze(
            1
        )


@wrong("generator", "types", "the generator's update in float64 fails: .*(same dtype|double)")
@documented()
class SingleOnly(Good):
    def forward(self, latents, labels=None):
        return super().forward(latents + latents @ torch.ones(self.latent_dim, self.latent_dim))


@wrong("generator", "devices", "the generator's update on another device fails: .*cpu.*meta")
@documented()
class StaysBehind(Good):
    def forward(self, latents, labels=None):
        return super().forward(latents + torch.zeros(latents.shape, dtype=latents.dtype))


@wrong("discriminator", "bf16", "the discriminator's update in bf16 is not finite")
@documented()
class Cancels(Judge):
    def features(self, samples):
        hidden = self.inner(samples.flatten(1)).tanh()
        small = 1 + 1e-3 * hidden.square().clamp(0.1, 1) - 1
        return hidden * small / small

    def score(self, features, labels=None):
        return self.outer(features).squeeze(1)

    def forward(self, samples, labels=None):
        return self.score(self.features(samples), labels)


@wrong("discriminator", "per-sample", "says per_sample = False, and no logit changes")
@documented()
class TooModest(Judge):
    per_sample = False
