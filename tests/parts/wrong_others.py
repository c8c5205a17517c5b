"""Losses, regularizers and all that is no net, each breaking one promise."""

import torch
from torch import nn

from ganzoo.contracts import Augmentation, Dataset, Regularizer, Spec

from .sound import Drift, Flat, Means, Mirror, Plain, Silent, few
from .wrong import documented, wrong


@wrong("loss", "shapes", "the discriminator's loss is \\(4,\\)")
@documented()
class NotScalar(Plain):
    def discriminator(self, step):
        return step.fake_logits - step.real_logits


@wrong("loss", "ranges", r"not finite")
@documented()
class Overflows(Plain):
    def discriminator(self, step):
        return (
            -(step.real_logits.sigmoid()).log().mean()
            - (1 - step.fake_logits.sigmoid()).log().mean()
        )


@wrong("loss", "direction", "the generator's loss does not want its samples' logits higher")
@documented()
class WrongSign(Plain):
    def generator(self, step):
        return step.fake_logits.mean()


@wrong("loss", "shapes", "calls backward")
@documented()
class Backward(Plain):
    def generator(self, step):
        loss = super().generator(step)
        loss.backward(retain_graph=True)
        return loss


@wrong("loss", "gradients", "the generator's loss gives its net no gradient")
@documented()
class Cut(Plain):
    def generator(self, step):
        return -step.fake_logits.detach().mean()


@wrong("loss", "builds", "has parameters of its own")
@documented()
class Learns(Plain):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))


@wrong("regularizer", "acts", "does nothing")
@documented()
class Nothing(Regularizer):
    pass


@wrong("regularizer", "gradients", "gives the generator no gradient")
@documented()
class WrongSide(Drift):
    side = "generator"


@wrong("regularizer", "state", "'seen' changes in use")
@documented()
class Counts(Drift):
    def __init__(self):
        super().__init__()
        self.seen = 0

    def penalty(self, step):
        self.seen += 1
        return super().penalty(step)


@wrong("regularizer", "state", "'_seen' changes in use")
@documented()
class CountsInPrivate(Drift):
    def penalty(self, step):
        self._seen = getattr(self, "_seen", 0) + 1
        return super().penalty(step)


@wrong("regularizer", "state", "'inner.seen' changes in use")
@documented()
class CountsWithin(Drift):
    def __init__(self):
        super().__init__()
        self.inner = Counts()

    def penalty(self, step):
        return self.inner.penalty(step)


@wrong("regularizer", "slopes", "a slope of zero has no finite gradient")
@documented()
class NoRoot(Flat):
    def of(self, slope):
        return (slope.square().flatten(1).sum(1).sqrt() - 1).square().mean()


@wrong("regularizer", "slopes", "is not that of plain double backward")
@documented()
class ForgetsTheSlope(Flat):
    def of(self, slope):
        return (
            slope.square().mean()
            if slope.requires_grad and not torch._C._functorch.is_gradtrackingtensor(slope)
            else 0 * slope.sum()
        )


@wrong(
    "regularizer", "shapes", "needs a discriminator with the trait 'wise', and none is installed"
)
@documented()
class NeedsTheImpossible(Drift):
    needs = {"discriminator": "wise"}  # noqa: RUF012


@wrong("regularizer", "shapes", "its view makes")
@documented()
class Crops(Regularizer):
    def view(self, samples, step):
        return samples[..., 1:]


@wrong("regularizer", "shapes", "leaves weights that are not finite")
@documented()
class Divides(Drift):
    def after_update(self, net):
        [p.div_(0) for p in net.parameters()]


@wrong("augmentation", "shapes", "respec says")
@documented()
class NoRespec(Augmentation):
    def forward(self, samples):
        return torch.cat([samples, samples], 1)


@wrong("augmentation", "gradients", "lets no gradient through")
@documented()
class Rounds(Augmentation):
    def forward(self, samples):
        return samples.round()


@wrong("augmentation", "state", "its tensor 'p' is no buffer")
@documented()
class LosesState(Mirror):
    def __init__(self, spec: Spec):
        super().__init__(spec)
        self.p = torch.zeros(())


@wrong("dataset", "builds", "its samples are torch.float64")
@documented()
def wide() -> Dataset:
    return Dataset(torch.randn(20, 2, generator=torch.Generator().manual_seed(0)).double())


@wrong("dataset", "labels", "labels outside its 2 classes")
@documented()
def three_of_two() -> Dataset:
    return Dataset(few().samples, torch.arange(20) % 3, ("a", "b"))


@wrong("dataset", "determinism", "differs from one opening to the next")
@documented()
def new_every_time() -> Dataset:
    return Dataset(torch.randn(20, 2))


@wrong("optimizer", "builds", "takes no `lr`")
@documented()
def no_rate(params):
    return torch.optim.SGD(params, lr=0.1)


@wrong("optimizer", "direction", "does not go down a bowl")
@documented("Climbs.\n\n    lr: learning rate")
def climbs(params, *, lr: float = 0.1):
    return torch.optim.SGD(params, lr=lr, maximize=True)


class _Forgets(torch.optim.SGD):
    def __init__(self, params, lr):
        super().__init__(params, lr)
        self.turns = 0

    def step(self, closure=None):
        self.turns += 1
        self.param_groups[0]["lr"] = 0.1 / self.turns
        super().step()


@wrong("optimizer", "state", "goes on differently from saved state")
@documented("Forgets.\n\n    lr: learning rate")
def forgets(params, *, lr: float = 0.1):
    return _Forgets(params, lr)


class _Looks(torch.optim.SGD):
    """Takes an average from time to time: nothing shows that it is not saved, until then."""

    def __init__(self, params, lr):
        super().__init__(params, lr)
        self._turns, self.slow = 0, [p.detach().clone() for p in params]

    def step(self, closure=None):
        super().step()
        self._turns += 1
        if self._turns % 50 == 0:
            for slow, p in zip(self.slow, self.param_groups[0]["params"], strict=True):
                p.data.copy_(slow.lerp_(p.detach(), 0.5))


@wrong("optimizer", "state", "its attribute '_turns', 'slow' changes in use, and is not saved")
@documented("Looks ahead.\n\n    lr: learning rate")
def looks_ahead(params, *, lr: float = 0.1):
    return _Looks(list(params), lr)


@wrong("metric", "shapes", "returns")
@documented()
class Tensors(Means):
    def measure(self, real, fake):
        return {"difference": (real.mean() - fake.mean()).abs()}


@wrong("metric", "inputs", "changes the samples")
@documented()
class InPlace(Means):
    def measure(self, real, fake):
        return {"x": float(real.mul_(0).sum())}


@wrong("tracker", "listens", "log fails: KeyError")
@documented()
class Demanding(Silent):
    def log(self, record):
        print(record["fid"])
