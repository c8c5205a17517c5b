"""Nets that break one promise each, and parts that say too little of themselves."""

import torch
from torch import nn

from ganzoo.contracts import Spec
from ganzoo.errors import Incompatible

from .sound import Good, Judge, Silent
from .wrong import documented, wrong


@wrong("generator", "has no summary")
class NoDocstring(Good):
    __doc__ = ""


@wrong("tracker", "option 'path' has no help")
@documented()
class NoHelp(Silent):
    def __init__(self, *, path: str = ""):
        pass


@wrong("tracker", "option 'path' has no type")
@documented("Writes.\n\n    path: where")
class NoType(Silent):
    def __init__(self, *, path=""):
        pass


@wrong("tracker", "default of option 'level' fails")
@documented("Writes.\n\n    level: how much")
class BadDefault(Silent):
    def __init__(self, *, level: int = "much"):
        pass


@wrong("tracker", "has 7 options")
@documented("Writes.\n\n" + "".join(f"    {x}: it\n" for x in "abcdefg"))
class TooMany(Silent):
    def __init__(self, *, a: int = 1, b: int = 1, c: int = 1, d: int = 1, e: int = 1, f: int = 1, g: int = 1):
        pass


@wrong("generator", r"draws \(4, 256\) on image \[1, 16, 16\]")
@documented()
class WrongShape(Good):
    def forward(self, latents, labels=None):
        return super().forward(latents).flatten(1)


@wrong("generator", r"draws values up to \d+.* tanh")
@documented()
class WrongRange(Good):
    def forward(self, latents, labels=None):
        return 3 * super().forward(latents)


@wrong("generator", "draws torch.float64")
@documented()
class WrongType(Good):
    def forward(self, latents, labels=None):
        return super().forward(latents).double()


@wrong("generator", "no gradient reaches unused.weight, unused.bias")
@documented()
class Unused(Good):
    def __init__(self, spec: Spec, *, latent_dim: int = 8):
        super().__init__(spec, latent_dim=latent_dim)
        self.unused = nn.Linear(2, 2)


@wrong("generator", "no gradient reaches its parameters")
@documented()
class Detached(Good):
    def forward(self, latents, labels=None):
        return super().forward(latents).detach()


@wrong("generator", "differs between two runs of one seed")
@documented()
class OwnSeed(Good):
    stream = torch.Generator().manual_seed(0)

    def forward(self, latents, labels=None):
        noise = torch.randn(latents.shape, generator=self.stream)
        return super().forward(latents + noise)


@wrong("generator", "ignores the latents")
@documented()
class OneSample(Good):
    def forward(self, latents, labels=None):
        return super().forward(torch.ones_like(latents))


@wrong("generator", "ignores the labels")
@documented()
class DeafGenerator(Good):
    conditional = True


@wrong("generator", "running it without classes fails")
@documented()
class NeedsLabels(Good):
    conditional = True

    def forward(self, latents, labels=None):
        return super().forward(latents + labels[:, None])


@wrong("generator", "latents do not come from the generator given")
@documented()
class OwnLatents(Good):
    def draw_latents(self, count, generator=None):
        return torch.randn(count, self.latent_dim)


@wrong("generator", "'calls' changes in use")
@documented()
class HiddenState(Good):
    calls = 0

    def __init__(self, spec: Spec, *, latent_dim: int = 8):
        super().__init__(spec, latent_dim=latent_dim)
        self.calls = 0

    def forward(self, latents, labels=None):
        self.calls += 1
        return super().forward(latents)


@wrong("generator", "compiling forward as one graph fails")
@documented()
class HostBranch(Good):
    def forward(self, latents, labels=None):
        if latents.mean().item() > 100:
            latents = -latents
        return super().forward(latents)


@wrong("generator", "its sorts claim points, and it takes none")
@documented()
class ClaimsTooMuch(Good):
    def __init__(self, spec: Spec, *, latent_dim: int = 8):
        if spec.sort == "points":
            raise Incompatible("--gen wrong: no points")
        super().__init__(spec, latent_dim=latent_dim)


@wrong("generator", r"building it for points \[2\] fails: .*refuse what it cannot do")
@documented()
class Crashes(Good):
    def __init__(self, spec: Spec, *, latent_dim: int = 8):
        super().__init__(spec, latent_dim=latent_dim)
        self.height = spec.shape[1]


@wrong("generator", "loading its state into a second instance fails")
@documented()
class GrowingState(Good):
    def forward(self, latents, labels=None):
        self.register_buffer("last", latents.detach())
        return super().forward(latents)


@wrong("generator", "is no Generator")
@documented()
class NotAGenerator(nn.Linear):
    def __init__(self, spec: Spec):
        super().__init__(2, 2)


@wrong("discriminator", r"gives \(4, 1\)")
@documented()
class Column(Judge):
    def forward(self, samples, labels=None):
        return super().forward(samples)[:, None]


@wrong("discriminator", "says per_sample, and a logit changes")
@documented()
class MixesTheBatch(Judge):
    def forward(self, samples, labels=None):
        return super().forward(samples - samples.mean(0))


@wrong("discriminator", "has no 'per_sample' with {}")
@documented()
class WrongRemedy(Judge):
    per_sample = False
    adapts = {"per_sample": {}}  # noqa: RUF012


@wrong("discriminator", r"forward is not score\(features\)")
@documented()
class TwoTruths(Judge):
    def features(self, samples):
        return 2 * samples

    def score(self, features, labels=None):
        return Judge.forward(self, features)

    def forward(self, samples, labels=None):
        return Judge.forward(self, samples)


@wrong("discriminator", "gradient of its slope's size is wrong")
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
        return self.outer(torch.sigmoid(self.Twice.apply(self.inner(samples.flatten(1))))).squeeze(1)
