"""The metrics of torch-fidelity give its own figures; on weights by chance, since no test waits for
a download.
"""

import json
import subprocess
import sys

import pytest
import torch
from made import unlike_folders
from safetensors.torch import save_file

import ganzoo
from ganzoo.contracts import Spec
from ganzoo.errors import BadData, BadOption, Incompatible

SPEC = Spec((3, 16, 16))


def test_nothing_heavy_is_imported_before_a_metric_is_asked_for():
    code = (
        "import sys, ganzoo_plugins.fidelity.scores\n"
        "from ganzoo.components.loading import zoo\n"
        "zoo().registry.get('metric', 'fid').options()\n"
        "print(*sorted({'torch_fidelity', 'scipy'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_without_the_package_there_is_one_line(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BadData, match=r"not installed: pip install 'ganzoo\[metrics\]'"):
        ganzoo.create("metric", "fid", SPEC)


fidelity = pytest.importorskip("torch_fidelity")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights of the Inception net by chance, as safetensors and as torch-fidelity reads them."""
    from torch_fidelity import feature_extractor_inceptionv3 as module

    folder = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng():
        torch.manual_seed(0)
        patch.setattr(module, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(module.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        made = module.FeatureExtractorInceptionV3("inception-v3-compat", ["64"])
    state = {name: tensor.contiguous() for name, tensor in made.state_dict().items()}
    save_file(state, folder / "inception.safetensors")
    torch.save(state, folder / "inception.pth")
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return unlike_folders(tmp_path_factory.mktemp("pictures"))


def theirs(weights, folders, **asked):
    """What torch-fidelity itself says of the two folders."""
    return fidelity.calculate_metrics(
        input1=str(folders / "fake"),
        input2=str(folders / "real"),
        feature_extractor="inception-v3-compat",
        feature_extractor_weights_path=str(weights / "inception.pth"),
        cuda=False,
        cache=False,
        save_cpu_ram=True,
        verbose=False,
        **asked,
    )


def test_distances_are_those_of_torch_fidelity(cli, weights, folders):
    file = weights / "inception.safetensors"
    arguments = []
    for name, more in (("fid", []), ("kid", ["subset_size=6", "subsets=5"])):
        options = [f"weights_file={file}", "layer=64", *more]
        arguments += ["--metric", name]
        arguments += [part for each in options for part in ("--set", f"metric.{name}.{each}")]
    done = cli("evaluate", folders / "fake", folders / "real", *arguments, "--json")
    assert done.code == 0, done.err
    fid, kid = json.loads(done.out)
    asked = {"fid": True, "feature_layer_fid": "64", "kid": True, "feature_layer_kid": "64"}
    found = theirs(weights, folders, **asked, kid_subset_size=6, kid_subsets=5)
    for record, figure, key in (
        (fid, "distance", "frechet_inception_distance"),
        (kid, "distance", "kernel_inception_distance_mean"),
        (kid, "deviation", "kernel_inception_distance_std"),
    ):
        assert record["figures"][figure]["value"] == pytest.approx(found[key], rel=1e-6)
    assert fid["figures"]["distance"]["value"] > 0
    protocol = fid["protocol"]
    assert protocol["features"] == "inception-v3-compat 64"
    assert protocol["package"] == f"torch-fidelity {fidelity.__version__}"
    assert len(protocol["weights_file"]) == 16 and str(weights) not in done.out, (
        "no path of this machine"
    )


def images(folder):
    data = ganzoo.data.load_pictures(folder)
    return data.batch(torch.arange(len(data)))[0]


def test_precision_and_recall_are_those_of_torch_fidelity(weights, folders):
    """In the features of the smaller net: weights of VGG16 are half a gigabyte."""
    metric = ganzoo.create(
        "metric",
        "pr",
        SPEC,
        net="inception-v3-compat",
        weights_file=weights / "inception.safetensors",
        neighbours=2,
    )
    assert metric.extractor.layer == "2048", "torch-fidelity's own choice"
    metric.extractor.layer = "64"
    ours = metric.measure(images(folders / "real"), images(folders / "fake"))
    asked = {"prc": True, "feature_layer_prc": "64", "prc_neighborhood": 2}
    found = theirs(weights, folders, **asked)
    assert ours == {name: pytest.approx(found[name], abs=1e-6) for name in ("precision", "recall")}


@pytest.mark.slow
def test_the_inception_score_is_that_of_torch_fidelity(weights, tmp_path, folders):
    few = tmp_path / "few"
    for name in ("fake", "real"):
        (few / name).mkdir(parents=True)
        for path in sorted((folders / name).iterdir())[:5]:
            (few / name / path.name).write_bytes(path.read_bytes())
    metric = ganzoo.create(
        "metric", "isc", SPEC, weights_file=weights / "inception.safetensors", splits=2
    )
    fake = metric.features(images(few / "fake"))
    ours = metric.compare(fake, fake)
    found = theirs(weights, few, isc=True, isc_splits=2)
    assert ours["score"] == pytest.approx(found["inception_score_mean"], rel=1e-6)
    assert ours["deviation"] == pytest.approx(found["inception_score_std"], rel=1e-4, abs=1e-9)


def test_grey_and_clear_images_are_shown_in_colour(weights):
    file = weights / "inception.safetensors"
    made = {
        channels: ganzoo.create(
            "metric", "fid", Spec((channels, 8, 8)), weights_file=file, layer=64
        )
        for channels in (1, 3, 4)
    }
    grey = torch.rand(2, 1, 8, 8) * 2 - 1
    wanted = made[3].features(grey.expand(-1, 3, -1, -1))
    assert torch.equal(made[1].features(grey), wanted)
    assert torch.equal(made[4].features(grey.expand(-1, 4, -1, -1)), wanted)
    with pytest.raises(Incompatible, match=r"metric\.fid: .*2 channels"):
        ganzoo.create("metric", "fid", Spec((2, 8, 8)), weights_file=file)


def test_a_missing_file_is_named_with_where_it_is_published(tmp_path, monkeypatch, cli, folders):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    done = cli("evaluate", folders / "fake", folders / "real", "--metric", "fid")
    assert done.code == 1 and done.out == ""
    (line,) = done.err.splitlines()[-1:]
    for said in (
        "weights-inception-2015-12-05-6726825d.pth",
        "https://github.com/toshas/",
        "6726825d0af5f7",
    ):
        assert said in line
    gone = tmp_path / "gone.safetensors"
    with pytest.raises(BadData, match=r"gone.safetensors: no such file; vgg16-397923af.pth is pub"):
        ganzoo.create("metric", "pr", SPEC, weights_file=gone)


def test_weights_that_would_run_code_or_fit_no_net_are_refused(weights, tmp_path):
    with pytest.raises(BadData, match=r"may run what it holds; .*SHA-256 6726825d"):
        ganzoo.create("metric", "fid", SPEC, weights_file=weights / "inception.pth")
    other = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(3)}, other)
    metric = ganzoo.create("metric", "fid", SPEC, weights_file=other)
    with pytest.raises(BadData, match=r"no weights of inception-v3-compat"):
        metric.features(torch.zeros(2, 3, 16, 16))
    other.write_bytes(b"nothing")
    metric = ganzoo.create("metric", "fid", SPEC, weights_file=other)
    with pytest.raises(BadData, match=r"no weights of inception-v3-compat"):
        metric.features(torch.zeros(2, 3, 16, 16))


def test_too_few_samples_and_wrong_options_are_one_line(weights):
    file = weights / "inception.safetensors"
    made = {
        "fid": {"layer": 64},
        "kid": {"layer": 64, "subset_size": 10},
        "isc": {"splits": 10},
    }
    for name, options in made.items():
        metric = ganzoo.create("metric", name, SPEC, weights_file=file, **options)
        with pytest.raises(Incompatible, match=f"metric {name}: 1 .* too few; it .*; have more"):
            metric.compare(torch.zeros(1, 4), torch.zeros(1, 4))
    with pytest.raises(BadOption, match="layer"):
        ganzoo.create("metric", "fid", SPEC, weights_file=file, layer=65)


@pytest.mark.slow
def test_its_own_command_line_finds_the_same_in_the_same_files(cli, weights, folders):
    """Both commands, once, on two folders of pictures."""
    file = weights / "inception.safetensors"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch_fidelity.fidelity", "--cpu", "--json", "--silent"),
            *("--input1", folders / "fake", "--input2", folders / "real", "--fid", "--kid"),
            *("--feature-extractor", "inception-v3-compat", "--no-cache", "--save-cpu-ram"),
            *("--feature-extractor-weights-path", weights / "inception.pth"),
            *("--feature-layer-fid", "64", "--feature-layer-kid", "64"),
            *("--kid-subset-size", "6", "--kid-subsets", "5"),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    theirs = json.loads(done.stdout[done.stdout.index("{") :])
    arguments = ["--metric", "fid", "--metric", "kid"]
    for option in ("fid.layer=64", "kid.layer=64", "kid.subset_size=6", "kid.subsets=5"):
        arguments += ["--set", f"metric.{option}"]
    for name in ("fid", "kid"):
        arguments += ["--set", f"metric.{name}.weights_file={file}"]
    fid, kid = json.loads(
        cli("evaluate", folders / "fake", folders / "real", *arguments, "--json").out
    )
    assert fid["figures"]["distance"]["value"] == pytest.approx(
        theirs["frechet_inception_distance"], rel=1e-6, abs=1e-6
    )
    assert kid["figures"]["distance"]["value"] == pytest.approx(
        theirs["kernel_inception_distance_mean"], rel=1e-6, abs=1e-6
    )
