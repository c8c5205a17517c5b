"""The perceptual path length is torch-fidelity's own, on weights by chance."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import ganzoo
from ganzoo.contracts import Dataset, Generator, Spec
from ganzoo.errors import BadData, Incompatible
from ganzoo.measure import measuring

fidelity = pytest.importorskip("torch_fidelity")

from ganzoo_plugins.fidelity import paths  # noqa: E402

SPEC = Spec((1, 8, 8))


class Bars(Generator):
    """A picture that changes with the first number, and how often it was asked."""

    def forward(self, latents, labels=None):
        steps = torch.linspace(-2, 2, 8)
        rows = torch.tanh(4 * (steps + latents[:, :1]))
        return rows[:, None, :, None].expand(-1, 1, 8, 8)


class Uniform(Bars):
    def draw_latents(self, count, generator=None):
        return torch.rand(count, self.latent_dim, generator=generator)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Files of VGG16 and LPIPS, of small random numbers; the layers behind the features of VGG16,
    which nothing reads, are nothing.
    """
    import torchvision

    folder = tmp_path_factory.mktemp("weights")
    with torch.device("meta"):
        shapes = torchvision.models.vgg16(weights=None).state_dict()
    stream = torch.Generator().manual_seed(0)
    state = {}
    for name, like in shapes.items():
        state[name] = torch.zeros(like.shape)
        if name.startswith("features") and like.dim() > 1:
            scale = (2 / like[0].numel()) ** 0.5
            state[name] = scale * torch.randn(like.shape, generator=stream)
    save_file(state, folder / "vgg.safetensors")
    widths = (64, 128, 256, 512, 512)
    lins = {
        f"lin{k}.model.1.weight": torch.rand(1, width, 1, 1, generator=stream)
        for k, width in enumerate(widths)
    }
    save_file(lins, folder / "lpips.safetensors")
    return {"weights_file": folder / "vgg.safetensors", "lpips_file": folder / "lpips.safetensors"}


def asked(metric, generator, seeds=(0,)):
    own = measuring.Asked("ppl", metric, {})
    data = Dataset(torch.zeros(4, 1, 8, 8, dtype=torch.uint8))
    return own.ask(measuring.Real(data, 4), None, 4, seeds, generator=generator)


def by_hand(generator, weights, count, epsilon, seed):
    """Karras et al. 2019 in the nets of torch-fidelity, pair by pair."""
    from ganzoo_plugins.fidelity import nets
    from torch_fidelity.sample_similarity_lpips import SampleSimilarityLPIPS

    files = {nets.VGG: weights["weights_file"], nets.LPIPS: weights["lpips_file"]}
    with nets.similarity_at("ppl", files, lambda: False):
        net = SampleSimilarityLPIPS("lpips-vgg16", 64, "uint8")
    chance = np.random.RandomState(seed)
    ends = [torch.from_numpy(chance.randn(count, generator.latent_dim)).float() for _ in "ab"]
    ends[1] = ends[0] + (ends[1] - ends[0]) * epsilon
    found = []
    for one, other in zip(*ends, strict=True):
        drawn = [((generator(z[None]) + 1) * 127.5).round().to(torch.uint8) for z in (one, other)]
        found.append(float(net(*(d.expand(-1, 3, -1, -1) for d in drawn))) / epsilon**2)
    return found


@pytest.mark.slow
def test_it_is_that_of_torch_fidelity(weights, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    generator = Bars(SPEC, latent_dim=3).train()
    metric = ganzoo.create("metric", "ppl", SPEC, count=6, epsilon=0.3, **weights)
    before, state = torch.hub.get_dir(), torch.random.get_rng_state()
    (found,) = asked(metric, generator)
    assert torch.hub.get_dir() == before and generator.training
    assert torch.equal(torch.random.get_rng_state(), state)
    wanted = np.array(by_hand(generator, weights, 6, 0.3, 0))
    inside = np.sort(wanted)  # of six, none is in the outer hundredths
    assert found["length"] == pytest.approx(inside.mean(), rel=1e-4) and found["length"] > 0
    assert found["deviation"] == pytest.approx(inside.std(), rel=1e-3)
    still = Bars(SPEC, latent_dim=3)
    still.forward = lambda latents, labels=None: torch.zeros(len(latents), 1, 8, 8)
    assert asked(metric, still)[0]["length"] == 0
    assert metric.protocol()["features"] == "lpips-vgg16"


def test_the_generator_stays_where_it_is(monkeypatch, tmp_path):
    """On the CPU beside a GPU, too: torch-fidelity would move what is in training."""
    from torch_fidelity import metric_ppl

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    told = {}

    def calculate(number, **given):
        told.update(given)
        return {metric_ppl.KEY_METRIC_PPL_RAW: np.ones((2, 1), np.float32)}

    monkeypatch.setattr(metric_ppl, "calculate_ppl", calculate)
    any_ = tmp_path / "any.safetensors"
    save_file({"a": torch.zeros(1)}, any_)
    metric = ganzoo.create("metric", "ppl", SPEC, count=2, weights_file=any_, lpips_file=any_)
    assert metric.of_generator(Bars(SPEC), 0)["length"] == 1 and told["cuda"] is False


def test_an_error_of_the_generator_is_its_own(monkeypatch, tmp_path):
    """And not one of the weights, which were read before it was asked."""
    from torch_fidelity import metric_ppl

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(
        metric_ppl, "calculate_ppl", lambda _, input1, **given: input1(torch.zeros(2, 3))
    )
    any_ = tmp_path / "any.safetensors"
    save_file({"a": torch.zeros(1)}, any_)
    metric = ganzoo.create("metric", "ppl", SPEC, count=2, weights_file=any_, lpips_file=any_)
    generator = Bars(SPEC)
    generator.forward = lambda latents, labels=None: latents @ torch.zeros(5, 1)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied") as caught:
        metric.of_generator(generator, 0)
    assert not isinstance(caught.value, BadData)
    assert torch.hub.get_dir() == str(tmp_path / "hub")  # put back all the same


def test_outer_hundredths_are_left_out_as_torch_fidelity_does():
    distances = torch.rand(777, generator=torch.Generator().manual_seed(0)).double()
    low = np.percentile(distances.numpy(), 1, method="lower")
    high = np.percentile(distances.numpy(), 99, method="higher")
    wanted = distances[(distances >= low) & (distances <= high)]
    assert torch.equal(paths.inner(distances), wanted) and len(wanted) < 777


def test_what_has_no_path_or_no_weights_is_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(BadData, match=r"vgg16-397923af.pth is published at .*SHA-256 397923af"):
        ganzoo.create("metric", "ppl", SPEC)
    any_ = tmp_path / "any.safetensors"
    save_file({"a": torch.zeros(1)}, any_)
    with pytest.raises(BadData, match=r"weights-vgg16-lpips.pth is published at .*as .safetens"):
        ganzoo.create("metric", "ppl", SPEC, weights_file=any_)
    metric = ganzoo.create("metric", "ppl", SPEC, weights_file=any_, lpips_file=any_, count=2)
    with pytest.raises(BadData, match="no weights of vgg16 and lpips-vgg16"):
        asked(metric, Bars(SPEC))
    with pytest.raises(Incompatible, match="standard normal vectors"):
        asked(metric, Uniform(SPEC))
    with pytest.raises(Incompatible, match="measures a generator itself"):
        asked(metric, None)
    with pytest.raises(Incompatible, match=r"metric\.ppl: .*2 channels"):
        ganzoo.create("metric", "ppl", Spec((2, 8, 8)), weights_file=any_, lpips_file=any_)
