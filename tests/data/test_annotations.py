"""Labels and vectors that stand in a table beside the pictures."""

import json
import zipfile
from functools import partial

import numpy as np
import pytest
import torch
from ganzoo_plugins.resnet.nets import ResNetGenerator
from made import png

from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.contracts import Spec
from ganzoo.data import annotations, load_pictures
from ganzoo.data.pairs import layout_of, load_two, split
from ganzoo.errors import BadData, Incompatible

NAMES = [f"{i}.png" for i in range(6)]
VECTORS = [[i / 2, -1.0, float(i == 3)] for i in range(6)]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))


def picture(i):
    return png(np.full((8, 8), 40 * i, np.uint8))


def folder(path, table="", content=""):
    path.mkdir(exist_ok=True)
    for i, name in enumerate(NAMES):
        (path / name).write_bytes(picture(i))
    if table:
        (path / table).write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def rows(values, start="file,label\n"):
    return start + "".join(f"{name},{value}\n" for name, value in zip(NAMES, values, strict=True))


def listed(values):
    return {"labels": [[name, value] for name, value in zip(NAMES, values, strict=True)]}


@pytest.mark.parametrize("lazy", [False, True])
def test_classes_by_number(tmp_path, lazy):
    values = [3, 0, 1, 3, 3, 0]
    for table, content in (("labels.json", listed(values)), ("labels.csv", rows(values))):
        found = load_pictures(folder(tmp_path / table, table, content), lazy=lazy)
        batch = found.gather(torch.arange(6))
        assert batch.labels.tolist() == values and list(found.classes) == ["0", "1", "2", "3"]
        assert batch.samples[:, 0, 0, 0].tolist() == [40 * i for i in range(6)]
        assert f"labels from {table}: 4 classes" in found.notes
        again = load_pictures(tmp_path / table, lazy=lazy)
        assert again.gather(torch.arange(6)).labels.tolist() == values


def test_classes_by_name_in_their_order(tmp_path):
    content = rows(["owl", "cat", "owl", "éléphant", "cat", "cat"], start="")
    found = load_pictures(folder(tmp_path / "a", "labels.csv", content))
    assert list(found.classes) == ["cat", "owl", "éléphant"]
    assert found.labels.tolist() == [1, 0, 1, 2, 0, 0]


@pytest.mark.parametrize("lazy", [False, True])
def test_vectors_are_given_with_each_picture(tmp_path, lazy):
    lines = rows([",".join(map(str, v)) for v in VECTORS], start="")
    forms = {"vectors.csv": lines, "labels.csv": lines, "labels.json": listed(VECTORS)}
    for table, content in forms.items():
        here = folder(tmp_path / table, table, content)
        (here / "2.png").write_bytes(b"no picture")
        for _ in range(2):  # made, and read from the cache
            found = load_pictures(here, lazy=lazy)
            batch = found.gather(torch.arange(5))
            assert batch.given["vector"].tolist() == [v for i, v in enumerate(VECTORS) if i != 2]
            assert batch.samples[:, 0, 0, 0].tolist() == [0, 40, 120, 160, 200]
            assert found.spec.given == {"vector": Spec((3,))} and found.labels is None
            assert any(note.startswith("vectors of 3 numbers") for note in found.notes)


def test_a_table_changes_what_is_kept(tmp_path):
    here = folder(tmp_path / "a", "labels.csv", rows([0] * 6))
    assert load_pictures(here).labels.tolist() == [0] * 6
    (here / "labels.csv").write_text(rows([1] * 6))
    assert load_pictures(here).labels.tolist() == [1] * 6
    (here / "labels.csv").unlink()
    assert load_pictures(here).labels is None


def test_in_a_zip_below_a_folder_and_over_class_folders(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for i, name in enumerate(NAMES):
            archive.writestr(f"top/{'xy'[i % 2]}/{name}", picture(i))
        labels = [[f"{'xy'[i % 2]}/{name}", i // 3] for i, name in enumerate(NAMES)]
        archive.writestr("top/labels.json", json.dumps({"labels": [*labels, ["gone.png", 1]]}))
    found = load_pictures(path)
    batch = found.gather(torch.arange(6))
    values = {40 * i: i // 3 for i in range(6)}
    assert batch.labels.tolist() == [values[int(v)] for v in batch.samples[:, 0, 0, 0]]
    assert "1 names in top/labels.json are of no picture here, as gone.png" in found.notes


def test_no_labels_are_no_labels(tmp_path):
    assert load_pictures(folder(tmp_path / "a", "labels.json", {"labels": None})).labels is None


def test_stylegans_own_file(tmp_path):
    """Its names have a folder for each thousand pictures, which is no class."""
    values = [3, 0, 1, 3, 3, 0]
    for said, wanted in ((values, values), (None, None)):
        path = tmp_path / str(said is None)
        for i in range(6):
            place = path / f"0000{i // 3}"
            place.mkdir(parents=True, exist_ok=True)
            (place / f"img{i}.png").write_bytes(picture(i))
        pairs = [[f"0000{i // 3}/img{i}.png", label] for i, label in enumerate(said or ())]
        (path / "dataset.json").write_text(json.dumps({"labels": pairs or None}))
        found = load_pictures(path)
        assert wanted == (None if found.labels is None else found.labels.tolist())
        assert len(found) == 6 and not (wanted is None and found.classes)


@pytest.mark.parametrize("content", [{"name": "faces", "size": 6}, ["labels"], '"labels"', 3, None])
def test_a_file_of_that_name_of_another_program_is_passed_over(tmp_path, content):
    found = load_pictures(folder(tmp_path / "a", "dataset.json", content))
    assert len(found) == 6 and found.labels is None


def paired(path, drawn):
    """A and B with a table of classes in one, of vectors in the other."""
    folder(path / "A", "vectors.csv", rows([",".join(map(str, v)) for v in VECTORS]))
    folder(path / "B", "labels.csv", rows("xyzxyz"))
    return load_two(partial(load_pictures, path, lazy=drawn), layout_of(path, "auto"), "A")


@pytest.mark.parametrize("lazy", [False, True])
def test_tables_within_pairs(tmp_path, lazy):
    (tmp_path / "pairs").mkdir()
    found = paired(tmp_path / "pairs", lazy)
    batch = found.gather(torch.tensor([0, 3, 4]))
    assert list(found.classes) == ["x", "y", "z"] and batch.labels.tolist() == [0, 0, 1]
    assert batch.given["vector"].tolist() == [VECTORS[i] for i in (0, 3, 4)]
    assert torch.equal(batch.given["image"], batch.samples) and found.spec.given.keys() == {
        "image",
        "vector",
    }


def two_sets(path, first="A", second="B"):
    """Two folders of the same names, below a folder of their own, without a table."""
    (path / "top").mkdir(parents=True)
    for side in (first, second):
        folder(path / "top" / side)
    return path / "top"


def both(here, lazy=False, given="A"):
    return load_two(partial(load_pictures, here, lazy=lazy), layout_of(here, "auto"), given)


TABLES_ABOVE = {
    "names that both have": rows("xyzxyz"),
    "names of one set": rows("xyzxyz", start="").replace("\n", "\nB/", 5).join(["B/", ""]),
    "names of the other": rows("xyzxyz", start="").replace("\n", "\nA/", 5).join(["A/", ""]),
}


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("form", TABLES_ABOVE)
def test_one_table_above_pairs(form, lazy, tmp_path):
    here = two_sets(tmp_path)
    (here / "labels.csv").write_text(TABLES_ABOVE[form])
    vectors = [[f"A/{name}", vector] for name, vector in zip(NAMES, VECTORS, strict=True)]
    (here / "labels.json").write_text(json.dumps({"labels": [*vectors, ["B/gone.png", [0.0]]]}))
    for path in (here, zipped_as(here, tmp_path / "a.zip")):
        found = both(path, lazy)
        batch = found.gather(torch.tensor([0, 3, 4]))
        assert list(found.classes) == ["x", "y", "z"] and batch.labels.tolist() == [0, 0, 1]
        assert batch.given["vector"].tolist() == [VECTORS[i] for i in (0, 3, 4)]
        (unknown,) = [note for note in found.notes if "of no picture" in note]
        assert unknown.startswith("1 names in ") and unknown.endswith("as B/gone.png")


def zipped_as(here, path):
    """A zip of a folder, below a folder of its own."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(here.rglob("*.*")):
            archive.write(file, f"top/{file.relative_to(here)}")
    return path


def test_one_table_above_sets_that_are_no_pairs(tmp_path):
    """Each set has its own vectors, in names with the folder; the drawn one's count."""
    here = two_sets(tmp_path, "trainA", "trainB")
    lines = [
        f"train{side}/{name},{i},{side == 'B':d}" for side in "AB" for i, name in enumerate(NAMES)
    ]
    (here / "vectors.csv").write_text("\n".join(lines))
    found = both(here)
    assert found.given["vector"].tolist() == [[i, 1] for i in range(6)]
    assert found.others["other"].given["vector"].tolist() == [[i, 0] for i in range(6)]
    (here / "vectors.csv").write_text(rows([1] * 6))  # of which set?
    with pytest.raises(BadData, match=r"vectors.csv: says nothing of 6 pictures, as 0.png"):
        both(here)


ABOVE_WRONG = {
    "A/labels.csv: labels.csv has labels already; keep one|"
    "labels.csv: A/labels.csv has labels already; keep one": {
        "labels.csv": rows("xyzxyz"),
        "A/labels.csv": rows("xyzxyz"),
    },
    "labels.csv: names 0.png twice": {"labels.csv": "A/0.png,x\n0.png,x\n"},
    "labels.csv: says nothing of 5 pictures, as 1.png": {"labels.csv": "A/0.png,x\n"},
    "labels.csv: says nothing of 6 pictures": {"labels.csv": "C/0.png,x\n"},
}


@pytest.mark.parametrize("says", ABOVE_WRONG)
def test_what_is_wrong_with_a_table_above_is_one_line(says, tmp_path):
    here = two_sets(tmp_path)
    for name, content in ABOVE_WRONG[says].items():
        (here / name).write_text(content)
    with pytest.raises(BadData, match=says) as caught:
        both(here)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("lazy", [False, True])
def test_tables_beside_pictures_that_hold_a_pair(tmp_path, lazy):
    whole = load_pictures(folder(tmp_path / "a", "labels.csv", rows("xyzxyz")), lazy=lazy)
    found = split(whole, "A")
    batch = found.gather(torch.tensor([1, 2]))
    assert batch.labels.tolist() == [1, 2] and batch.samples.shape == (2, 1, 8, 4)
    assert batch.given["image"].shape == (2, 1, 8, 4)


WRONG = {
    "nothing of": ("labels.json", {"labels": [["0.png", 1]]}),
    "says nothing of 5 pictures, as 1.png": ("labels.csv", "0.png,1\n"),
    "names 0.png twice": ("labels.csv", rows([0] * 6) + "0.png,1\n"),
    "give one kind": ("labels.json", listed([1, 2, 3, "a", 4, 5])),
    "numbers and lists": ("labels.json", listed([1, 2, 3, [1], 4, 5])),
    "vectors of several lengths": ("labels.json", listed([[1]] * 5 + [[1, 2]])),
    "vectors hold more than numbers": ("vectors.csv", rows(["a,b"] * 6)),
    "not finite, or beyond": ("vectors.csv", rows(["1,nan"] * 6)),
    "or beyond 1,000,000": ("vectors.csv", rows(["1,2e6"] * 6)),
    "1 to 4,096 are taken": ("labels.json", listed([[0] * 5000] * 6)),
    "at most 100,000": ("labels.csv", rows([200_000] * 6)),
    "a whole number from 0, or a name": ("labels.json", listed([-1] * 6)),
    "from 0, or a name": ("labels.json", listed([True] * 6)),
    "LABEL": ("labels.json", {"labels": "all"}),
    "nested deeper": ("labels.json", "[" * 100 + "]" * 100),
    "line 2 is no name and label": ("labels.csv", "0.png,1\nfile\n"),
    "has no rows": ("labels.csv", "\n"),
    "labels.json: no JSON: Expecting": ("labels.json", "{"),
}


@pytest.mark.parametrize("reason", WRONG)
def test_what_is_wrong_with_a_table_is_one_line(reason, tmp_path):
    table, content = WRONG[reason]
    with pytest.raises(BadData, match=reason) as caught:
        load_pictures(folder(tmp_path / "a", table, content))
    assert table in str(caught.value) and "\n" not in str(caught.value)


def test_sizes_come_before_contents(tmp_path, monkeypatch):
    here = folder(tmp_path / "a", "labels.csv", rows([0] * 6))
    monkeypatch.setattr(annotations, "MAX_TABLE", 20)
    with pytest.raises(BadData, match=r"labels.csv: larger than"):
        load_pictures(here)


def test_two_tables_of_one_kind_and_links_are_refused(tmp_path):
    here = folder(tmp_path / "a", "labels.csv", rows([0] * 6))
    (here / "labels.json").write_text(json.dumps(listed([0] * 6)))
    with pytest.raises(BadData, match=r"labels.csv has labels already; keep one"):
        load_pictures(here)
    path = tmp_path / "b.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("0.png", picture(0))
        link = zipfile.ZipInfo("labels.csv")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(BadData, match=r"labels.csv: a link"):
        load_pictures(path)


# Nets that read them.


def pipeline(here, net, **sections):
    tree = configuration.defaults()
    told = {"name": net, "width": 4, "labels": True}
    layer = {"gen": told, "disc": told, "data": {"name": str(here)}}
    for each in (layer, {"train": {"batch_size": 4, "device": "cpu"}}, sections):
        tree = configuration.merge(tree, each)
    return assemble(configuration.check(tree), zoo().registry)


@pytest.mark.parametrize("net", ["mlp", "dcgan"])
def test_small_nets_read_a_vector_where_labels_are_wanted(net, tmp_path):
    lines = rows([",".join(map(str, v)) for v in VECTORS], start="")
    here = folder(tmp_path / "a", "vectors.csv", lines)
    built = pipeline(here, net, aug={"diffaug": {}})  # which moves pictures, and no vector
    generator, discriminator = built.parts.generator, built.parts.discriminator
    assert generator.reads == discriminator.reads == ("vector",)
    assert built.spec.given["vector"].shape == (3,) and built.spec.classes == 0
    for each in (generator, discriminator):
        each.eval()
    z, x = torch.randn(2, generator.latent_dim), torch.rand(2, 1, 8, 8)
    one, other = torch.tensor(VECTORS[:2]), torch.tensor(VECTORS[3:5])
    assert not torch.allclose(generator(z, None, one), generator(z, None, other))
    found = [discriminator(x, None, vector=each) for each in (one, other)]
    assert not torch.allclose(*found)
    off = pipeline(here, net, train={"conditional": False})
    assert off.parts.generator.reads == () and off.spec.given == {}


def test_nets_that_read_no_vectors_ask_for_classes(tmp_path, monkeypatch):
    monkeypatch.setattr(ResNetGenerator, "may_read", ())  # as a third party's
    lines = rows([",".join(map(str, v)) for v in VECTORS], start="")
    here = folder(tmp_path / "a", "vectors.csv", lines)
    with pytest.raises(Incompatible, match="has no labels, which this pipeline reads"):
        pipeline(here, "resnet")


def test_a_run_with_vectors_is_drawn_from_a_table(tmp_path, cli):
    lines = rows([",".join(map(str, v)) for v in VECTORS], start="")
    here = folder(tmp_path / "a", "vectors.csv", lines)
    flags = ["--set=gen.width=4", "--set=disc.width=4", "--set=gen.labels=true"]
    flags += ["--set=disc.labels=true", "--batch-size=4", "--images=16", "--reg=r1"]
    runs, out = tmp_path / "runs", tmp_path / "drawn.png"
    assert cli("train", "--data", here, *flags, "--out", runs).code == 0
    (run,) = runs.iterdir()
    done = cli("generate", run, "--out", out)
    assert done.code == 2 and "reads the vector of pictures; give a folder" in done.err
    done = cli("generate", run, "--given", folder(tmp_path / "b"), "--out", out)
    assert done.code == 2 and "has no vectors.csv" in done.err
    done = cli("generate", run, "--given", here, "--count", 3, "--out", out)
    assert done.code == 0 and "3 samples" in done.out, done.err
