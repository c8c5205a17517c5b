"""Tables, texts, videos and arrays: what is read from files, what comes back out of samples, and
what is refused.
"""

import csv
import io
import shutil
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from ganzoo.contracts import Column, Spec
from ganzoo.data import load_array, load_table, load_texts, load_videos
from ganzoo.data import tables as reading
from ganzoo.data import texts as lines
from ganzoo.errors import BadConfig, BadData, GanzooError, Incompatible
from ganzoo.generate.tables import cells, csv_of
from ganzoo.generate.texts import texts

TABLE = """age,income,city,kind
31,1200.50,Bern,b
25,-3.5e2,"Zug, See",a
78,0.125,Bern,a

64,99.75,Chur,b
"""


def written(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def whole(data):
    return data.batch(torch.arange(len(data)))[0]


# Specs.


def test_the_modality_follows_from_shape_and_meaning():
    table = (Column("n"), Column("c", ("x", "y")))
    found = [
        Spec((2,)),
        Spec((1, 8)),
        Spec((1, 8, 8)),
        Spec((1, 4, 8, 8)),
        Spec((4, 2), alphabet=("", "a")),
        Spec((3,), columns=table),
    ]
    names = ["points", "signal", "image", "video", "tokens", "table"]
    assert [spec.modality for spec in found] == names
    assert found[4].with_shape(8, 2).modality == "tokens"
    assert found[4].with_shape(4, 4).modality == "signal"
    assert found[5].with_shape(3) == found[5] and found[5].with_shape(6).modality == "points"
    assert len({*found}) == 6


@pytest.mark.parametrize(
    "wrong",
    [
        {"shape": (1, 2, 3, 4, 5)},
        {"shape": (4, 3), "alphabet": ("a", "b")},
        {"shape": (4, 2), "alphabet": ("a", "a")},
        {"shape": (2,), "columns": (Column("c", ("x", "y", "z")),)},
        {"shape": (1, 1), "columns": (Column("c"),)},
    ],
)
def test_a_spec_that_does_not_fit_its_meaning_is_refused(wrong):
    with pytest.raises(ValueError):
        Spec(**wrong)


# Tables.


def test_a_table_comes_back_in_its_own_units(tmp_path):
    data = load_table(written(tmp_path / "t.csv", TABLE), label="kind")
    assert data.spec.modality == "table" and data.spec.shape == (5,)
    age, income, city = data.spec.columns
    assert age.whole and not income.whole and city.values == ("Bern", "Chur", "Zug, See")
    assert data.classes == ["a", "b"] and data.labels.tolist() == [1, 0, 0, 1]
    numbers = whole(data)[:, :2]
    assert torch.allclose(numbers.mean(0), torch.zeros(2), atol=1e-6)
    assert torch.allclose(numbers.square().mean(0), torch.ones(2), atol=1e-6)
    assert torch.equal(whole(data)[:, 2:].sum(1), torch.ones(4))
    found = list(csv.reader(io.StringIO(csv_of(whole(data), data.spec).decode())))
    assert found[0] == ["age", "income", "city"]
    assert [row[0] for row in found[1:]] == ["31", "25", "78", "64"]
    incomes = [float(row[1]) for row in found[1:]]
    assert incomes == pytest.approx([1200.5, -350, 0.125, 99.75], abs=1e-3)
    assert [row[2] for row in found[1:]] == ["Bern", "Zug, See", "Bern", "Chur"]


def test_what_a_generator_makes_of_a_table_is_a_row_of_it():
    columns = (
        Column("n", (), 100.0, 0.5),
        Column("w", (), 7.0, 3.0, True),
        Column("c", ("x", "y")),
    )
    rows = torch.tensor([[1.0, 0.4, 0.2, 0.8], [float("nan"), -2.0, 0.9, 0.1]])
    found = cells(rows, Spec((4,), columns=columns))
    assert found == [["100.5", "8", "y"], ["nan", "1", "x"]]


def test_columns_are_left_out_and_numbers_taken_for_names(tmp_path):
    path = written(tmp_path / "t.csv", "id;zone;x\nq1;3;1\nq2;20;1\nq3;3;1\n")
    data = load_table(path, drop="id", categories="zone")
    zone, x = data.spec.columns
    assert zone.values == ("3", "20")  # in the order of numbers
    assert (x.offset, x.scale) == (1.0, 0.0)  # all alike: they stay so
    assert cells(whole(data) + 0.3, data.spec)[1] == ["20", "1"]


def test_numbers_without_names_are_points(tmp_path):
    data = load_table(written(tmp_path / "p.csv", "1,2\n3.5,-4\n"))
    assert data.spec.modality == "points"
    assert torch.equal(data.samples, torch.tensor([[1.0, 2.0], [3.5, -4.0]]))


def test_the_meaning_of_a_table_is_in_its_fingerprint(tmp_path):
    first = load_table(written(tmp_path / "a.csv", "x,c\n1,u\n3,v\n"))
    other = load_table(written(tmp_path / "b.csv", "x,c\n2,u\n6,v\n"))
    assert torch.equal(first.samples, other.samples)
    assert first.fingerprint() != other.fingerprint()


LONG = "x," + "y" * 101 + "\n1,2\n"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "empty"),
        ("a,b\n", "has no rows"),
        ("a,b\n1,2\n3\n", "line 3 has 1 cells, and the first line 2"),
        ("a,a\n1,2\n", "two columns are called 'a'"),
        ("a,\n1,2\n", "column 2 has no name"),
        (LONG, "a name of 101 letters"),
        ("a,b\n1,2\n,3\n", "column 'a' holds numbers, and nothing in line 3"),
        ("id,b\n" + "".join(f"n{i},{i}\n" for i in range(300)), "more than 256 different texts"),
        ("a,b\n1,\xff\n".encode("latin-1"), "no text in UTF-8"),
        ('a,b\n1,"2"x\n', "no table"),
        (",".join(f"c{i}" for i in range(257)) + "\n", "257 columns, more than 256"),
        ("a\n1e999\n1\n" + "".join(f"t{i}\n" for i in range(260)), "different texts"),
    ],
)
def test_tables_that_are_none_are_refused_in_a_line(tmp_path, content, says):
    with pytest.raises(BadData) as error:
        load_table(written(tmp_path / "t.csv", content))
    assert says in str(error.value) and "\n" not in str(error.value)


def test_a_column_of_all_different_texts_says_how_to_leave_it_out(tmp_path):
    path = written(tmp_path / "t.csv", "id,b\n" + "".join(f"n{i},{i}\n" for i in range(300)))
    with pytest.raises(BadData) as error:
        load_table(path)
    assert error.value.change == {"data.drop": "id"}
    assert load_table(path, drop="id").spec.shape == (1,)
    with pytest.raises(BadConfig, match="did you mean 'id'"):
        load_table(path, drop="ids")


def test_tables_stay_within_limits(tmp_path, monkeypatch):
    path = written(tmp_path / "t.csv", TABLE)
    for name, limit in (("MAX_ROWS", 3), ("MAX_WIDTH", 3), ("MAX_BYTES", 10), ("MAX_CLASSES", 1)):
        with monkeypatch.context() as patch:
            patch.setattr(reading, name, limit)
            with pytest.raises(BadData):
                load_table(path, label="kind")
    monkeypatch.setenv("GANZOO_MEMORY", "1K")
    with pytest.raises(BadData, match="do not fit in memory"):
        load_table(written(tmp_path / "u.csv", "a\n" + "1\n" * 200))


def test_a_pipe_is_no_table(tmp_path):
    import os

    os.mkfifo(tmp_path / "t.csv")
    with pytest.raises(BadData, match="no regular file"):
        load_table(tmp_path / "t.csv")


# Texts.


def test_text_comes_back_as_it_was(tmp_path):
    said = ["Grüezi mitenand", "a b", "x", "日本"]
    data = load_texts(written(tmp_path / "t.txt", "\n".join([*said[:2], "", "  ", *said[2:]])))
    assert data.samples.dtype == torch.uint8 and data.samples.shape == (4, 15)
    assert data.spec.modality == "tokens" and data.alphabet[0] == ""
    samples = whole(data)
    assert samples.dtype == torch.float32 and torch.equal(samples.sum(2), torch.ones(4, 15))
    assert texts(samples, data.spec) == said
    assert any("empty lines left out: 2" in note for note in data.notes)


def test_long_lines_are_cut_and_files_are_classes(tmp_path):
    for name in ("de", "fr"):
        written(tmp_path / f"{name}.txt", f"{name}abcdefg\n{name}\n")
    data = load_texts(tmp_path, length=4)
    assert data.classes == ["de", "fr"] and data.labels.tolist() == [0, 0, 1, 1]
    assert texts(whole(data), data.spec) == ["deab", "de", "frab", "fr"]
    assert any("cut after 4 letters: 2" in note for note in data.notes)


def test_many_letters_take_two_bytes_each(tmp_path):
    letters = "".join(chr(0x4E00 + i) for i in range(400))
    data = load_texts(written(tmp_path / "t.txt", f"{letters[:200]}\n{letters[200:]}"))
    assert data.samples.dtype == torch.int16
    assert "".join(texts(whole(data), data.spec)) == letters


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("\n \n", "no lines with text"),
        (b"\xff\xfe\x00", "no text in UTF-8"),
        ("".join(chr(0x4E00 + i) for i in range(600)), "600 different letters, and 511"),
    ],
)
def test_texts_that_are_none_are_refused_in_a_line(tmp_path, content, says):
    with pytest.raises(BadData) as error:
        load_texts(written(tmp_path / "t.txt", content))
    assert says in str(error.value)


def test_texts_stay_within_limits(tmp_path, monkeypatch):
    path = written(tmp_path / "t.txt", "one\ntwo\nthree\n")
    for name, limit in (("MAX_LINES", 2), ("MAX_BYTES", 4), ("MAX_LINE", 3)):
        with monkeypatch.context() as patch:
            patch.setattr(lines, name, limit)
            with pytest.raises(BadData):
                load_texts(path)


def test_what_would_steer_a_terminal_is_one_letter(tmp_path):
    data = load_texts(written(tmp_path / "t.txt", "a\x1b[31mb\n"))
    assert "\x1b" not in data.alphabet and "\N{REPLACEMENT CHARACTER}" in data.alphabet


# Videos.


def frames(count, side=8, start=0):
    """Frames whose grey tells their number, with a mark that makes them differ."""
    made = [np.full((side, side), start + 10 * i, np.uint8) for i in range(count)]
    return [Image.fromarray(each) for each in made]


def gif(path, count, **about):
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *rest = frames(count, **about)
    first.save(path, save_all=True, append_images=rest, duration=50)


def test_animated_pictures_are_videos(tmp_path):
    for name in ("a/one", "a/two", "b/three"):
        gif(tmp_path / f"{name}.gif", 5)
    data = load_videos(tmp_path)
    assert data.spec.modality == "video" and data.spec.shape == (1, 5, 8, 8)
    assert data.classes == ["a", "b"] and data.labels.tolist() == [0, 0, 1]
    assert data.samples[2, 0, :, 3, 3].tolist() == [0, 10, 20, 30, 40]
    assert whole(data).min() == -1
    flipped = data.gather(torch.tensor([0]))
    assert flipped.samples.dtype == torch.uint8


def test_folders_of_frames_are_videos_in_the_order_of_their_numbers(tmp_path):
    with zipfile.ZipFile(tmp_path / "v.zip", "w") as archive:
        for clip in ("x", "y"):
            for number, frame in enumerate(frames(11)):
                buffer = io.BytesIO()
                frame.save(buffer, "PNG")
                archive.writestr(f"{clip}/f{number}.png", buffer.getvalue())
    data = load_videos(tmp_path / "v.zip", frames=11, resolution=(4, 4), channels=3)
    assert data.spec.shape == (3, 11, 4, 4) and len(data) == 2 and data.labels is None
    assert data.samples[1, 0, :, 0, 0].tolist() == [10 * i for i in range(11)]


def test_videos_of_several_lengths_are_cut_when_that_is_asked_for(tmp_path):
    for number, length in enumerate((5, 3, 5, 8)):
        gif(tmp_path / f"{number}.gif", length)
    with pytest.raises(BadData, match="3 to 8 frames") as error:
        load_videos(tmp_path)
    assert error.value.change == {"data.frames": 5}
    data = load_videos(tmp_path, frames=5)
    assert data.samples.shape == (3, 1, 5, 8, 8)
    assert "1 of fewer than 5 frames left out" in data.notes
    with pytest.raises(BadData, match="the longest has 8"):
        load_videos(tmp_path, frames=9)


def test_still_and_moving_pictures_are_not_mixed(tmp_path):
    gif(tmp_path / "a.gif", 3)
    frames(1)[0].save(tmp_path / "b.png")
    with pytest.raises(BadData, match="1 animated pictures among 2"):
        load_videos(tmp_path)


def test_a_damaged_video_is_left_out_and_named(tmp_path):
    for number in range(3):
        gif(tmp_path / f"{number}.gif", 6, side=64, start=number)
    content = (tmp_path / "1.gif").read_bytes()
    (tmp_path / "2.gif").write_bytes(content[:40])
    data = load_videos(tmp_path)
    assert len(data) == 2 and any("2.gif" in note for note in data.notes)


def test_videos_must_fit_in_memory(tmp_path, monkeypatch):
    gif(tmp_path / "a.gif", 6, side=64)
    monkeypatch.setenv("GANZOO_MEMORY", "4K")
    with pytest.raises(GanzooError, match="does not fit in memory"):
        load_videos(tmp_path)


@pytest.mark.parametrize("form", ["animated", "frames", "a zip of frames"])
def test_videos_beyond_memory_are_decoded_when_they_are_asked_for(form, tmp_path, monkeypatch):
    place = tmp_path / "v"
    for number, clip in enumerate(("a/x", "a/y", "b/z")):
        if form == "animated":
            gif(place / f"{clip}.gif", 4, start=number)
            continue
        (place / clip).mkdir(parents=True)
        for i, frame in enumerate(frames(4, start=number)):
            frame.save(place / clip / f"f{i}.png")
    if form == "a zip of frames":
        shutil.make_archive(str(place), "zip", place)
        place = tmp_path / "v.zip"
    kept = load_videos(place)
    monkeypatch.setenv("GANZOO_MEMORY", "600")  # bytes: two videos, and there are three
    read = load_videos(place)
    assert kept.size == 768 and read.size is None and read.spec == kept.spec
    some = torch.tensor([2, 0, 2])
    assert torch.equal(read.gather(some).samples, kept.samples[some])
    assert torch.equal(read.gather(some).labels, kept.labels[some])
    assert read.notes == [*kept.notes, "videos are decoded each time that they are asked for"]


def test_a_lazy_video_that_is_damaged_ends_what_asks_for_it(tmp_path):
    for number in range(3):
        (tmp_path / str(number)).mkdir()
        frames(1)[0].save(tmp_path / str(number) / "f0.png")
        frames(1)[0].save(tmp_path / str(number) / "f1.png")
    data = load_videos(tmp_path, lazy=True)
    (tmp_path / "1" / "f1.png").write_bytes(b"gone")
    assert len(data.gather(torch.tensor([0, 2])).samples) == 2
    with pytest.raises(BadData, match=r"1: not a picture"):
        data.gather(torch.tensor([1]))


def test_a_training_on_lazy_videos_is_that_on_kept_ones(tmp_path):
    import ganzoo

    for name in "abcd":
        gif(tmp_path / "v" / f"{name}.gif", 3)
    ends = []
    for lazy in (False, True):
        layers = {
            "data": {"name": str(tmp_path / "v"), "frames": 3, "lazy": lazy},
            "gen": {"name": "mlp", "width": 4},
            "disc": {"name": "mlp", "width": 4},
            "train": {"batch_size": 2, "images": 4, "device": "cpu"},
        }
        ganzoo.train(layers, tmp_path / str(lazy))
        loaded = ganzoo.load(tmp_path / str(lazy) / "generator.safetensors")
        ends.append(loaded.sample(2, seed=0))
    assert torch.equal(*ends)


# Arrays.


@pytest.mark.parametrize(
    ("shape", "modality"),
    [
        ((6, 2), "points"),
        ((6, 1, 9), "signal"),
        ((6, 1, 4, 4), "image"),
        ((6, 4, 4, 2), "map"),
        ((6, 1, 3, 4, 4), "video"),
    ],
)
def test_arrays_are_told_apart_by_their_dimensions(tmp_path, shape, modality):
    chance = np.random.default_rng(0)
    pictures = len(shape) > 3 and modality != "map"
    made = chance.integers(0, 256, shape, np.uint8) if pictures else chance.normal(size=shape)
    np.save(tmp_path / "a.npy", made)
    data = load_array(tmp_path / "a.npy")
    assert data.spec.modality == modality and data.spec.shape == shape[1:]
    assert np.array_equal(data.samples.numpy(), made.astype(data.samples.numpy().dtype))


@pytest.mark.parametrize("kind", ["float16", "float32", "float64", ">f4"])
def test_maps_are_taken_as_they_are_in_any_floats(tmp_path, kind):
    made = np.random.default_rng(0).normal(size=(6, 4, 4, 2)).astype(kind)
    np.save(tmp_path / "a.npy", made)
    data = load_array(tmp_path / "a.npy")
    assert data.samples.element_size() == min(made.dtype.itemsize, 4)
    assert np.array_equal(data.batch(torch.arange(6))[0].numpy(), made.astype(np.float32))
    assert data.notes == ["6 maps of 4x4x2"]


def test_it_is_said_when_maps_look_like_pictures_or_are_large(tmp_path):
    chance = np.random.default_rng(0)
    for least, most, says in ((0, 1, "within [0, 1]; images are uint8"), (-50, 50, "deviate by 2")):
        np.save(tmp_path / "a.npy", chance.uniform(least, most, (60, 3, 4, 4)).astype(np.float32))
        assert says in load_array(tmp_path / "a.npy").notes[1]


def test_labels_lie_beside_an_array(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((4, 2)))
    np.save(tmp_path / "a.labels.npy", np.array([0, 2, 2, 0], np.uint8))
    data = load_array(tmp_path / "a.npy")
    assert data.labels.tolist() == [0, 2, 2, 0] and data.classes == ["0", "1", "2"]
    assert data.notes[-1] == "labels: 3 classes, of a.labels.npy"


def test_labels_that_are_a_link_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((4, 2)))
    np.save(tmp_path / "b.npy", np.arange(4))
    (tmp_path / "a.labels.npy").symlink_to(tmp_path / "b.npy")
    with pytest.raises(BadData, match=r"a\.labels\.npy: "):
        load_array(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (np.zeros(3, np.int64), "whole numbers [4]"),
        (np.zeros(4), "whole numbers [4]"),
        (np.array([0, 1, -1, 2]), "labels of -1 to 2"),
        (np.array([0, 1, 1 << 40, 2]), "labels of 0 to 1099511627776"),
        (np.array(["a", "b", "c", "d"]), "no numbers"),
    ],
)
def test_labels_that_are_none_are_refused(tmp_path, labels, says):
    np.save(tmp_path / "a.npy", np.ones((4, 2)))
    np.save(tmp_path / "a.labels.npy", labels)
    with pytest.raises(BadData, match=r"a\.labels\.npy: ") as error:
        load_array(tmp_path / "a.npy")
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (np.zeros((2, 1, 4, 4), np.int32), "images are uint8 in 0..255, maps are floats"),
        (np.zeros((2, 1, 2, 4, 4), np.float32), "videos are uint8"),
        (np.full((2, 1, 4, 4), np.nan, np.float16), "not finite"),
        (np.array([["a"]]), "no numbers"),
        (np.zeros(3), "an array of [3]"),
        (np.full((2, 2), np.inf), "not finite"),
        (np.asfortranarray(np.ones((3, 2))), "Fortran"),
        (np.zeros((0, 2)), "an array of [0, 2]"),
    ],
)
def test_arrays_that_hold_no_samples_are_refused(tmp_path, made, says):
    np.save(tmp_path / "a.npy", made)
    with pytest.raises(BadData) as error:
        load_array(tmp_path / "a.npy")
    assert says in str(error.value)


def test_arrays_of_objects_and_cut_ones_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[print]]), allow_pickle=True)
    with pytest.raises(BadData, match="no numbers"):
        load_array(tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", np.zeros((50, 2)))
    content = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(content[:-8])
    with pytest.raises(BadData, match="cut short"):
        load_array(tmp_path / "a.npy")
    (tmp_path / "a.npy").write_bytes(b"no array at all")
    with pytest.raises(BadData, match="no array"):
        load_array(tmp_path / "a.npy")


# As a setting.


def test_options_of_data_are_checked_and_mirrors_refused(tmp_path):
    import ganzoo

    path = str(written(tmp_path / "t.csv", TABLE))
    small = {"gen": {"name": "mlp"}, "train": {"batch_size": 2, "images": 4}}
    with pytest.raises(GanzooError, match="did you mean 'label'"):
        ganzoo.train({**small, "data": {"name": path, "labels": "kind"}})
    with pytest.raises(Incompatible, match="no mirror image"):
        ganzoo.train({**small, "data": {"name": path, "flip": True}})
    with pytest.raises(Incompatible, match="which is read once"):
        ganzoo.train({**small, "data": {"name": path, "lazy": True}})
    with pytest.raises(Incompatible, match="without pictures"):
        ganzoo.train({**small, "data": {"name": path, "resolution": 16}})
    with pytest.raises(Incompatible, match="handles image data"):
        ganzoo.train({**small, "gen": {"name": "dcgan"}, "data": {"name": path}})
