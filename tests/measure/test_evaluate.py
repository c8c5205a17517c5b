"""Scores with their protocols: what training and `ganzoo evaluate` write, when two may be compared,
and that a run, its file and its pictures are measured alike.
"""

import json
import shutil

import pytest
import torch

import ganzoo
from ganzoo.contracts import Dataset, Metric, Spec
from ganzoo.errors import BadFile, Incompatible
from ganzoo.generate import generator_file
from ganzoo.generate.images import to_image
from ganzoo.generate.pictures import png
from ganzoo.measure import Figure, Score, differs, measuring, scores_file, text_of
from ganzoo.measure.records import figures_of

SWD = ("--metric", "swd", "--set", "metric.swd.projections=16")


@pytest.fixture(scope="module")
def run(tmp_path_factory, cli):
    """A run that was measured at its end, with few samples."""
    root = tmp_path_factory.mktemp("measured")
    done = cli(
        *("train", "--gen", "dcgan", "--loss", "nonsat", "--images", "128", "--batch-size", "16"),
        *("--resolution", "8", "--set", "gen.width=4", "--set", "disc.width=4", *SWD),
        *("--set", "metric.swd.count=96", "--set", "data.holdout=0.2", "--out", root),
    )
    assert done.code == 0, done.err
    return next(root.iterdir())


@pytest.fixture
def copy(run, tmp_path):
    """The same, to be changed."""
    return shutil.copytree(run, tmp_path / "run")


def records(cli, *arguments):
    done = cli("evaluate", *arguments, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)


def figure(record, name="distance"):
    return record["figures"][name]["value"]


def pictures(folder, stored):
    folder.mkdir()
    for number, image in enumerate(stored):
        (folder / f"{number:05d}.png").write_bytes(png(to_image(image)))
    return folder


# Records.


def test_a_training_writes_what_it_measured_with_its_protocol(run):
    (line,) = (run / "scores.jsonl").read_text().splitlines()
    record = json.loads(line)
    assert [*record] == ["metric", "images", "date", "figures", "protocol"]
    assert (record["metric"], record["images"]) == ("swd", 128)
    assert [*record["figures"]["distance"]] == ["value", "values", "floor", "larger"]
    assert record["figures"]["distance"]["floor"] > 0
    protocol = record["protocol"]
    assert all(not isinstance(value, dict | list) for value in protocol.values()), "flat"
    wanted = {"data": "digits", "split": "train", "real": 96, "fake": 96, "size": "1x8x8"}
    wanted |= {"weights": "average", "truncation": None, "seeds": 1, "projections": 16}
    assert wanted.items() <= protocol.items()
    assert (
        protocol["versions"]
        == f"ganzoo {ganzoo.__version__}, torch " + (torch.__version__.partition("+")[0])
    )
    header = ganzoo.load(run).header
    assert [score.model_dump() for score in header.measured] == [record | {"date": ""}]
    assert header.scores["swd.distance"] == record["figures"]["distance"]["value"]


def test_protocols_that_differ_are_named():
    one = {"data": "a", "fingerprint": "1", "fake": 10, "weights": "average", "seeds": 1}
    assert differs(one, one) == ()
    assert differs(one, {**one, "seeds": 3, "generator": "x"}) == (), "which samples were drawn"
    assert differs(one, {**one, "data": "b"}) == (), "the same data under another name"
    assert differs(one, {**one, "data": "b", "fingerprint": "2"}) == ("data", "fingerprint")
    assert differs(one, {**one, "fake": 20, "weights": "raw"}) == ("fake", "weights")
    assert differs(one, {**one, "features": "values"}) == ("features",)
    assert differs({**one, "features": "values"}, one) == ("features",)
    unknown = {"data": "a"}
    assert differs(unknown, {"data": "b"}) == ("data",), "nothing says that they are the same"
    assert text_of({"data": "a", "truncation": None, "fake": 10}) == "data a, fake 10"


def test_figures_have_mean_spread_and_floor():
    found = [{"low": 1.0, "floor_low": 0.5, "high": 2.0}, {"low": 3.0, "floor_low": 0.7, "high": 2}]
    figures = figures_of(found, ("high",), {"high": 9.0})
    low, high = figures["low"], figures["high"]
    assert (low.value, low.values, low.floor, low.larger) == (2.0, [1.0, 3.0], 0.6, False)
    assert low.spread == pytest.approx(2**0.5)
    assert (high.floor, high.larger) == (9.0, True)
    assert figures_of([{"low": float("nan")}], ()) == {}
    assert figures_of([{"floor_x": 1.0}], ())["floor_x"].floor is None, "no floor of a figure"
    assert Figure(value=1, values=[1], floor=None, larger=False).spread is None


def score(images=1, **protocol):
    found = {"d": Figure(value=1.0, values=[1.0], floor=None, larger=False)}
    date = "2026-11-22T04:00:00Z"
    return Score(metric="swd", images=images, date=date, figures=found, protocol=protocol)


def test_lines_of_a_lost_future_and_broken_ones_are_dropped(tmp_path):
    scores_file.append(tmp_path, [score(10), score(20)])
    with (tmp_path / "scores.jsonl").open("a") as file:
        file.write('{"metric": "swd", "im')
    assert [each.images for each in scores_file.read(tmp_path)] == [10, 20]
    scores_file.forget_after(tmp_path, 10)
    assert [each.images for each in scores_file.read(tmp_path)] == [10]
    assert len((tmp_path / "scores.jsonl").read_text().splitlines()) == 1
    (tmp_path / "none").mkdir()
    scores_file.forget_after(tmp_path / "none", 10)
    assert scores_file.read(tmp_path / "none") == []


@pytest.mark.parametrize(
    "bad",
    [
        {"figures": {"d": {"value": 1, "values": [], "floor": None, "larger": False}}},
        {"date": "yesterday"},
        {"images": -1},
        {"protocol": {"data": ["a"]}},
        {"protocol": {"x": float("inf")}},
        {"protocol": {str(number): 1 for number in range(65)}},
        {"more": 1},
    ],
)
@pytest.mark.filterwarnings("ignore:Pydantic serializer")
def test_a_generator_file_with_a_wrong_score_is_refused(copy, bad):
    path = copy / "generator.safetensors"
    header = generator_file.read_header(path)
    weights = generator_file.read_weights(path, header)
    wrong = {**header.measured[0].model_dump(), **bad}
    made = generator_file.Header.model_construct(**{**dict(header), "measured": [wrong]})
    path.write_bytes(generator_file.generator_bytes(made, weights))
    with pytest.raises(BadFile, match="bad header"):
        ganzoo.load(path)


def test_text_in_a_score_is_cleaned():
    assert score(data="a\x1b[2Jb").protocol["data"] == "a [2Jb"


def test_a_new_score_takes_the_place_of_one_under_the_same_protocol(copy):
    path = copy / "generator.safetensors"
    before = generator_file.read_header(path).measured
    generator_file.add_scores(path, [score(fake=1), score(fake=2)])
    generator_file.add_scores(path, [score(images=5, fake=2, seeds=3)])
    found = generator_file.read_header(path).measured
    assert [each.protocol.get("fake") for each in found] == [before[0].protocol["fake"], 1, 2]
    assert found[-1].images == 5
    ganzoo.load(path).sample(1)
    generator_file.add_scores(path, [score(fake=number) for number in range(100)])
    assert len(generator_file.read_header(path).measured) == generator_file.SCORES


# Evaluating.


def test_a_run_its_file_and_its_pictures_are_measured_alike(cli, copy, tmp_path):
    trained = json.loads((copy / "scores.jsonl").read_text())
    (of_run,) = records(cli, copy)
    assert of_run.pop("source") == str(copy)
    assert (of_run["figures"], of_run["protocol"]) == (trained["figures"], trained["protocol"])
    assert len((copy / "scores.jsonl").read_text().splitlines()) == 2
    file = shutil.copy(copy / "generator.safetensors", tmp_path / "given.safetensors")
    assert len(generator_file.read_header(file).measured) == 1, "one under one protocol"
    (of_file,) = records(cli, file, *SWD, "--count", "96")
    assert of_file["figures"] == trained["figures"]
    drawn = tmp_path / "drawn"
    assert cli("generate", file, "--count", "96", "--seed", "0", "--out", drawn).code == 0
    data, _ = opened(copy)
    real = pictures(tmp_path / "real", torch.cat([*measuring.Real(data, 96).blocks()]))
    (of_pictures,) = records(cli, drawn, real, *SWD)
    assert of_pictures["figures"]["distance"]["values"] == trained["figures"]["distance"]["values"]
    assert of_pictures["protocol"]["weights"] == "pictures"
    zipped = shutil.make_archive(str(tmp_path / "zipped"), "zip", drawn)
    (of_zip,) = records(cli, zipped, real, *SWD)
    assert of_zip["figures"] == of_pictures["figures"]
    (against,) = records(cli, file, real, *SWD, "--count", "96")
    assert against["figures"] == of_pictures["figures"]


def opened(folder):
    from ganzoo import evaluation
    from ganzoo.components.loading import zoo

    return evaluation.open_data(evaluation.config_of(folder)[0], zoo().registry)


def test_raw_and_best_weights_are_others_than_the_average(cli, copy):
    shutil.copy(copy / "generator.safetensors", copy / "best.safetensors")
    found = {
        weights: records(cli, copy, "--weights", weights)[0]
        for weights in ("average", "best", "raw")
    }
    assert figure(found["best"]) == figure(found["average"]) != figure(found["raw"])
    assert differs(found["average"]["protocol"], found["raw"]["protocol"]) == ("weights",)
    assert len(generator_file.read_header(copy / "best.safetensors").measured) == 2


def test_a_run_in_training_keeps_its_file(cli, copy):
    from ganzoo.training.run_folder import Lock

    before = (copy / "generator.safetensors").read_bytes()
    lock = Lock(copy)
    try:
        done = cli("evaluate", copy, "--seeds", "2")
    finally:
        lock.release()
    assert done.code == 0 and "note: a training is writing to this run" in done.err
    assert (copy / "generator.safetensors").read_bytes() == before
    assert len((copy / "scores.jsonl").read_text().splitlines()) == 2


def test_seeds_spread_and_what_is_held_out(cli, copy):
    (three,) = records(cli, copy, "--seeds", "3", "--print-only")
    found = three["figures"]["distance"]
    assert len(set(found["values"])) == 3
    assert found["value"] == pytest.approx(sum(found["values"]) / 3)
    assert len((copy / "scores.jsonl").read_text().splitlines()) == 1, "nothing was written"
    (held,) = records(cli, copy, "--split", "held", "--print-only")
    assert held["protocol"]["split"] == "held"
    assert set(differs(three["protocol"], held["protocol"])) == {"split", "fingerprint"}


def test_a_table_for_people_and_none_without_a_metric_is_empty(cli, copy):
    done = cli("evaluate", copy, "--metric", "spectrum", "--count", "64", "--seeds", "2")
    assert done.code == 0, done.err
    names = [line.split("\t")[0] for line in done.out.splitlines()]
    assert names == ["spectrum.distance", "spectrum.excess"]
    assert "spectrum: data digits, split train" in done.err
    tree = ganzoo.load(copy).header.training["config"]
    assert "metric" in tree


def test_the_usual_metric_is_a_trait(cli, trained, tmp_path):
    mine = shutil.copytree(trained, tmp_path / "run")
    (record,) = records(cli, mine, "--count", "64", "--print-only")
    assert record["metric"] == "swd"


class Mean(Metric):
    """The mean, by features, and how often it was asked for some."""

    def __init__(self, spec, count=8):
        super().__init__(spec, count=count)
        self.asked = 0

    def features(self, samples):
        self.asked += len(samples)
        return samples.flatten(1).mean(1, keepdim=True)

    def compare(self, real, fake):
        return {"apart": float((real.mean() - fake.mean()).abs()), "first": float(fake[0])}


class InOrder(Mean):
    in_order = True


def data_of(count=50, seed=0):
    stream = torch.Generator().manual_seed(seed)
    return Dataset(torch.randint(0, 256, (count, 1, 4, 4), generator=stream, dtype=torch.uint8))


def asked(metric, real, fake, **more):
    own = measuring.Asked("mean", metric, {"count": 8})
    part = measuring.Real(real, len(real))

    def draw(count, seed):
        yield from fake.samples[:count].split(more.get("block", 7))

    return own.ask(part, draw, len(fake), [0])[0]


def test_figures_hang_neither_on_order_nor_on_blocks(monkeypatch):
    real, fake = data_of(), data_of(40, seed=1)
    found = asked(Mean(Spec((1, 4, 4))), real, fake)
    mixed = Dataset(fake.samples[torch.randperm(40)])
    assert asked(Mean(Spec((1, 4, 4))), real, mixed, block=3) == found
    assert asked(InOrder(Spec((1, 4, 4))), real, mixed)["first"] != found["first"]
    monkeypatch.setattr(measuring, "BLOCK", 5)
    assert asked(Mean(Spec((1, 4, 4))), real, fake) == found
    for name in ("swd", "frechet", "prdc", "spectrum", "ms-ssim"):
        metric = ganzoo.create("metric", name, Spec((1, 4, 4)))
        one = asked(metric, real, fake)
        assert asked(metric, Dataset(real.samples.flip(0)), mixed, block=40) == pytest.approx(one)


def test_real_features_are_taken_once():
    metric, real = Mean(Spec((1, 4, 4))), data_of()
    own = measuring.Asked("mean", metric, {})
    part = measuring.Real(real, 20)
    own.ask(part, lambda count, seed: iter([data_of(20, seed).samples]), 20, [0, 1, 2])
    assert metric.asked == 20 + 3 * 20
    own.ask(measuring.Real(real, 20), lambda count, seed: iter([data_of(20).samples]), 20, [0])
    assert metric.asked == 20 + 4 * 20


def test_a_floor_is_of_other_real_samples():
    own = measuring.Asked("mean", Mean(Spec((1, 4, 4))), {})
    data = data_of(50)
    first, second = measuring.Real(data, 25), measuring.Real(data, 25, 1)
    assert not set(first.indices.tolist()) & set(second.indices.tolist())
    floor = own.floors(first)["apart"]
    means = [data.samples[part.indices].float().mean() / 127.5 for part in (first, second)]
    assert floor == pytest.approx(float(abs(means[0] - means[1])), abs=1e-5)
    assert own.floors(measuring.Real(data, 26)) == {}, "there are not twice as many"


# What cannot be measured.


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["RUN", "--metric", "nothing"], 2, "no metric named 'nothing'"),
        (["RUN", "--metric", "modes"], 2, "handles points data"),
        (["RUN", "--count", "1"], 2, "too few"),
        (["RUN", "--count", "many"], 2, "--count many: give a count"),
        (["RUN", "--seeds", "0"], 2, "--seeds 0"),
        (["RUN", "--weights", "best"], 2, "no best generator"),
        (["RUN", "--set", "data.holdout=0.5"], 2, "was 0.2 in the training, which has seen"),
        (["FILE", "--data", "digits", "--set", "data.holdout=0.5"], 2, "train with that"),
        (["RUN", "--truncation", "0.5"], 2, "no such option of sampling"),
        (["RUN", "--set", "gen.width=3"], 2, "metric or data"),
        (["RUN", "--set", "metric.swd.projection=3"], 2, "did you mean 'projections'"),
        (["RUN", "--data", "ring"], 2, "ring"),
        (["RUN", "EMPTY"], 1, "no pictures"),
        (["RUN", "WIDE", "--resolution", "16x8"], 2, "samples of 1x8x8"),
        (["FILE", "--weights", "raw"], 2, "give the run's folder"),
        (["EMPTY", "REAL"], 1, "empty: no pictures in it; give a folder or zip"),
        (["REAL", "EMPTY"], 1, "empty: no pictures in it; give a folder or zip"),
        (["REAL", "REAL", "--metric", "classifier"], 2, "in a folder for each class, or leave it"),
        (["REAL"], 2, "give the real pictures too"),
        (["REAL", "WIDE"], 2, "--resolution 8x8"),
        (["REAL", "REAL", "--seeds", "2"], 2, "nothing is drawn"),
        (["REAL", "REAL", "REAL"], 2, "give runs and generator files"),
        (["RUN", "REAL", "--data", "digits"], 2, "given already"),
        (["BEGUN"], 1, "has saved no generator yet; one is written with each checkpoint"),
        (["CUT"], 1, "cut.safetensors"),
        (["NONE"], 2, "no such run, file or folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_nothing_is_written(cli, copy, tmp_path, arguments, code, said):
    content = (copy / "generator.safetensors").read_bytes()
    places = {name: tmp_path / name.lower() for name in ("REAL", "WIDE", "EMPTY", "BEGUN", "NONE")}
    pictures(places["REAL"], data_of(8).samples.repeat(1, 1, 2, 2))
    pictures(places["WIDE"], torch.zeros(8, 1, 8, 16, dtype=torch.uint8))
    places["EMPTY"].mkdir()
    places["BEGUN"].mkdir()
    shutil.copy(copy / "run.toml", places["BEGUN"])
    places |= {"RUN": copy, "FILE": tmp_path / "f.safetensors", "CUT": tmp_path / "cut.safetensors"}
    places["FILE"].write_bytes(content)
    places["CUT"].write_bytes(content[:-10])
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    done = cli("evaluate", *(places.get(each, each) for each in arguments))
    assert (done.code, done.out) == (code, "")
    assert len([line for line in done.err.splitlines() if line.startswith("Error")]) == 1
    assert said in done.err.splitlines()[-1]
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


def test_a_metric_of_held_out_data_is_refused_without_any():
    class Held(Mean):
        reads = ("real", "held")

        def compare(self, real, fake, held):
            return {"held": float(held.mean())}

    own = measuring.Asked("held", Held(Spec((1, 4, 4))), {})
    real, held = data_of(30), data_of(8, seed=2)

    def draw(count, seed):
        return iter([data_of(8).samples])

    with pytest.raises(Incompatible, match=r"held out .*data.holdout = 0.1"):
        own.ask(measuring.Real(real, 8), draw, 8, [0])
    found = own.ask(measuring.Real(real, 8), draw, 8, [0], held)[0]["held"]
    assert found == pytest.approx(float(held.samples.float().mean() / 127.5 - 1), abs=1e-5)
