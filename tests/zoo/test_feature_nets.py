"""Other feature nets than Inception: those of torch-fidelity give its own figures, those of timm
what timm gives; on weights by chance, since no test waits for a download.
"""

import warnings

import pytest
import torch
from made import unlike_folders
from safetensors.torch import save_file
from torch import nn
from torch.nn.functional import interpolate

import ganzoo
from ganzoo.contracts import Spec
from ganzoo.errors import BadData, BadOption

fidelity = pytest.importorskip("torch_fidelity")
SPEC = Spec((3, 16, 16))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return unlike_folders(tmp_path_factory.mktemp("pictures"))


def images(folder):
    data = ganzoo.data.load_pictures(folder)
    return data.batch(torch.arange(len(data)))[0]


def clip_weights(folder):
    """A small CLIP, whose form torch-fidelity reads from its weights."""
    from torch_fidelity.feature_extractor_clip import CLIPVisual

    made = CLIPVisual(16, 32, 1, 64, 16)
    state = {name: tensor.detach().contiguous() for name, tensor in made.state_dict().items()}
    state["text_projection"] = torch.zeros(4, 16)
    save_file(state, folder / "net.safetensors")
    holder = nn.Module()
    holder.register_buffer("text_projection", state["text_projection"])
    holder.add_module("visual", made.visual)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace_module(Held(holder), {"forward": ()}), folder / "net.pt")
    return folder / "net.pt"


class Held(nn.Module):
    """A module with the names of another's weights, and nothing else."""

    def __init__(self, other):
        super().__init__()
        for name, child in other.named_children():
            self.add_module(name, Held(child))
        for name, tensor in [*other._parameters.items(), *other._buffers.items()]:
            if tensor is not None:
                self.register_buffer(name, tensor.detach())

    def forward(self):
        return torch.zeros(1)


class SmallVGG(nn.Module):
    """With a tail of seven layers, the last three of which torch-fidelity takes away."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 9, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(2))
        self.classifier = nn.Sequential(
            *(nn.Linear(16, 12), nn.ReLU(), nn.Dropout(), nn.Linear(12, 8)),
            *(nn.ReLU(), nn.Dropout(), nn.Linear(8, 3)),
        )

    def forward(self, images):
        return self.classifier(self.features(images).flatten(1))


def vgg_weights(folder):
    state = {name: tensor.contiguous() for name, tensor in SmallVGG().state_dict().items()}
    save_file(state, folder / "net.safetensors")
    torch.save(state, folder / "net.pth")
    return folder / "net.pth"


NETS = {"clip-vit-b-32": clip_weights, "vgg16": vgg_weights}


@pytest.mark.parametrize("net", NETS)
def test_figures_in_other_nets_are_those_of_torch_fidelity(net, folders, tmp_path, monkeypatch):
    monkeypatch.setattr("torchvision.models.vgg16", SmallVGG)  # else half a gigabyte
    torch.manual_seed(0)
    theirs = NETS[net](tmp_path)
    found = fidelity.calculate_metrics(
        input1=str(folders / "fake"),
        input2=str(folders / "real"),
        feature_extractor=net,
        feature_extractor_weights_path=str(theirs),
        cuda=False,
        cache=False,
        save_cpu_ram=True,
        verbose=False,
        fid=True,
        kid=True,
        prc=True,
        kid_subset_size=6,
        kid_subsets=5,
        prc_neighborhood=2,
    )
    given = {"net": net, "weights_file": tmp_path / "net.safetensors"}
    real, fake = images(folders / "real"), images(folders / "fake")
    fid = ganzoo.create("metric", "fid", SPEC, **given)
    kid = ganzoo.create("metric", "kid", SPEC, **given, subset_size=6, subsets=5)
    pr = ganzoo.create("metric", "pr", SPEC, **given, neighbours=2)
    distance = fid.measure(real, fake)["distance"]
    assert distance == pytest.approx(found["frechet_inception_distance"], rel=1e-5) and distance > 0
    wanted = {
        "distance": found["kernel_inception_distance_mean"],
        "deviation": found["kernel_inception_distance_std"],
    }
    assert kid.measure(real, fake) == pytest.approx(wanted, rel=1e-4, abs=1e-8)
    wanted = {name: found[name] for name in ("precision", "recall")}
    assert pr.measure(real, fake) == pytest.approx(wanted, abs=1e-6)
    assert fid.protocol()["features"].startswith(net)


def test_files_of_clip_are_known_by_the_sums_in_torch_fidelity(tmp_path, monkeypatch):
    from torch_fidelity.feature_extractor_clip import MODEL_METADATA, MODEL_URLS

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    net, sum_ = "clip-rn50", MODEL_METADATA["clip-rn50"]["hash"]
    with pytest.raises(BadData) as missing:
        ganzoo.create("metric", "fid", SPEC, net=net)
    for said in (f"{net}-{sum_}.pt: no such file", MODEL_URLS[net], f"SHA-256 {sum_}"):
        assert said in str(missing.value)
    other = clip_weights(tmp_path)
    with pytest.raises(BadData, match=r"another \.pt than the published one may run what it holds"):
        ganzoo.create("metric", "fid", SPEC, net=net, weights_file=other)


def test_a_layer_is_of_the_inception_net_and_other_names_are_refused(tmp_path):
    vgg_weights(tmp_path)
    given = {"weights_file": tmp_path / "net.safetensors"}
    with pytest.raises(BadOption, match=r"fid\.layer = 64: is of inception-v3.*; vgg16 has one"):
        ganzoo.create("metric", "fid", SPEC, net="vgg16", layer=64, **given)
    with pytest.raises(BadOption, match=r"give inception-v3-compat, .*, or timm:NAME for a net"):
        ganzoo.create("metric", "fid", SPEC, net="dinov2-vit-s-14", **given)


# timm's.


@pytest.fixture(scope="module")
def timm_file(tmp_path_factory):
    """A small net of timm with weights by chance, and its file."""
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    net = timm.create_model("test_vit.r160_in1k", pretrained=False).eval()
    file = tmp_path_factory.mktemp("timm") / "model.safetensors"
    save_file({name: one.contiguous() for name, one in net.state_dict().items()}, file)
    return net, file


def test_features_of_a_net_of_timm_are_what_timm_gives(timm_file, folders):
    net, file = timm_file
    metric = ganzoo.create("metric", "fid", SPEC, net="timm:test_vit.r160_in1k", weights_file=file)
    real, fake = images(folders / "real"), images(folders / "fake")
    config = net.default_cfg
    bytes_ = real.add(1).mul(127.5).round() / 255
    scaled = interpolate(bytes_, (160, 160), mode="bicubic", antialias=True).clamp(0, 1)
    mean, std = (torch.tensor(config[key]).view(3, 1, 1) for key in ("mean", "std"))
    with torch.no_grad():
        wanted = net.forward_head(net.forward_features((scaled - mean) / std), pre_logits=True)
    found = metric.features(real)
    assert found.shape == (8, wanted.shape[1])
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    one, other = (
        fidelity.metric_fid.fid_features_to_statistics(f)
        for f in map(metric.features, (fake, real))
    )
    theirs = fidelity.metric_fid.fid_statistics_to_metric(one, other, False)
    assert metric.compare(found, metric.features(fake))["distance"] == pytest.approx(
        theirs["frechet_inception_distance"], rel=1e-6
    )
    protocol = metric.protocol()
    assert protocol["features"] == "timm:test_vit.r160_in1k" and len(protocol["weights_file"]) == 16
    assert protocol["resizer"] == "bicubic, antialiased, to 160x160"


def test_what_is_wrong_with_a_net_of_timm_is_one_line(timm_file, tmp_path, monkeypatch):
    _, file = timm_file

    def made(net, path):
        return ganzoo.create("metric", "kid", SPEC, net=net, weights_file=path)

    known = "timm:test_vit.r160_in1k"
    for name in ("timm:resnet8", "timm:test_vit.other"):
        with pytest.raises(BadOption, match=r"has no net .*; timm\.list_models"):
            made(name, file)
    with pytest.raises(BadOption, match=r"or timm:NAME for a net of timm"):
        made("timm:../x", file)
    where = r"model\.safetensors is published at https://huggingface\.co/timm/test_vit\.r160_in1k"
    with pytest.raises(BadData, match=rf"gone: no such file; {where}"):
        made(known, tmp_path / "gone")
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    with pytest.raises(BadData, match=rf"weights of test_vit.r160_in1k are not here; {where}"):
        made(known, None)
    other = tmp_path / "other.bin"
    other.write_bytes(b"x")
    with pytest.raises(BadData, match=r"read as \.safetensors"):
        made(known, other)
    small = tmp_path / "small.safetensors"
    save_file({"a": torch.zeros(3)}, small)
    metric = made(known, small)
    with pytest.raises(BadData, match=r"no weights of test_vit\.r160_in1k: "):
        metric.features(torch.zeros(2, 3, 16, 16))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: str(file))
    assert made(known, None).extractor.path == file, "where Hugging Face keeps it"


def test_without_timm_there_is_one_line(monkeypatch):
    import importlib.util as finder

    real = finder.find_spec
    monkeypatch.setattr(finder, "find_spec", lambda name: None if name == "timm" else real(name))
    with pytest.raises(BadData, match=r"not installed: pip install 'ganzoo\[timm\]'"):
        ganzoo.create("metric", "fid", SPEC, net="timm:resnet18")
