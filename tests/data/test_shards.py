"""Pictures in shards of tar files: those of their folder, in an order that stays near, exactly
resumed, from a disk or an address, and one line where something is wrong.
"""

import io
import json
import statistics
import tarfile
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import numpy as np
import pytest
import torch
from made import png

from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.contracts import Spec
from ganzoo.data import Order, load_pictures, load_shards, shard_tables, write_shards
from ganzoo.data import shards as shards_module
from ganzoo.data.holdout import split
from ganzoo.data.loader import Feed
from ganzoo.data.pairs import layout_of, load_two
from ganzoo.errors import BadData, GanzooError, Incompatible
from ganzoo.io import checkpoints
from ganzoo.io.activity import heard
from ganzoo.spec import Runs
from ganzoo.training.loop import Training


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))


def picture(i, side=8):
    return png(np.full((side, side), i, np.uint8))


def photos(path, count=12, classes=("cats", "dogs")):
    """Pictures whose grey is their number, in class folders."""
    for i in range(count):
        place = path / classes[i % len(classes)] if classes else path
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{i:02d}.png").write_bytes(picture(i))
    return path


def tar(path, members):
    """A tar as Python writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def everything(data):
    return data.gather(torch.arange(len(data)))


def greys(batch):
    return [int(sample[0, 0, 0]) for sample in batch.samples]


# Written and read.


@pytest.fixture
def shards(tmp_path):
    """Twelve pictures of two classes in six shards."""
    made = write_shards(photos(tmp_path / "photos"), tmp_path / "shards", size=5000)
    assert [each.count for each in made.index.shards] == [2] * 6
    return tmp_path / "shards"


def test_a_folder_as_shards_is_the_same_data(tmp_path, shards):
    data = load_shards(shards)
    whole = everything(data)
    assert data.spec == Spec((1, 8, 8), 2) and len(data) == 12 and data.size is None
    assert sorted(greys(whole)) == list(range(12)) and list(data.classes) == ["cats", "dogs"]
    assert whole.labels.tolist() == [grey % 2 for grey in greys(whole)]
    folder = load_pictures(tmp_path / "photos")
    pairs = [
        set(zip(greys(b), b.labels.tolist(), strict=True)) for b in (everything(folder), whole)
    ]
    assert pairs[0] == pairs[1]
    for path in (f"{shards}/{{000000..000005}}.tar", f"{shards}/00000{{0,1,2,3,4,5}}.tar"):
        assert load_shards(path).fingerprint() == data.fingerprint()
    assert len(load_shards(shards / "000003.tar")) == 2


def test_writing_again_writes_the_same_bytes(tmp_path, shards):
    again = write_shards(tmp_path / "photos", tmp_path / "again", size=5000)
    for each in again.index.shards:
        assert (tmp_path / "again" / each.name).read_bytes() == (shards / each.name).read_bytes()
    assert (shards / "index.json").read_text() == (tmp_path / "again/index.json").read_text()
    with tarfile.open(shards / "000000.tar") as archive:  # which other programs can read
        names = [member.name for member in archive]
    assert names == ["00000000.png", "00000000.cls", "00000001.png", "00000001.cls"]
    with pytest.raises(GanzooError, match=r"holds 000000.tar already"):
        write_shards(tmp_path / "photos", shards)


def test_pairs_vectors_and_broken_pictures_go_with_them(tmp_path):
    for side, add in (("A", 0), ("B", 100)):
        for i in range(6):
            (tmp_path / "two" / side).mkdir(parents=True, exist_ok=True)
            (tmp_path / "two" / side / f"{i}.png").write_bytes(picture(i + add))
    lines = [f"{i}.png,{i},{i / 2}" for i in range(6)]
    (tmp_path / "two" / "vectors.csv").write_text("\n".join(lines))
    write_shards(tmp_path / "two", tmp_path / "shards", size=7000)
    for given in ("A", "B"):
        found = load_shards(tmp_path / "shards", given=given)
        layout = layout_of(tmp_path / "two", "auto")
        wanted = load_two(partial(load_pictures, tmp_path / "two"), layout, given)
        assert found.spec == wanted.spec and f"paired: {given} is given" in found.notes
        rows = []
        for data in (found, wanted):
            batch = everything(data)
            parts = torch.stack([batch.samples, batch.given["image"]], 1)[:, :, 0, 0, 0]
            rows.append(sorted(parts.tolist()))
            assert [v[0] for v in batch.given["vector"].tolist()] == [g % 100 for g in greys(batch)]
        assert rows[0] == rows[1]
    broken = photos(tmp_path / "broken", classes=())
    (broken / "03.png").write_bytes(picture(3)[:-30])
    made = write_shards(broken, tmp_path / "whole")
    assert len(load_shards(tmp_path / "whole")) == 11 and made.notes[0].startswith(
        "left out: 03.png ("
    )


def test_what_others_write_is_read(tmp_path):
    """Names in folders, names that take long headers, labels in JSON, other files beside."""
    long = "d" * 90 + "/" + "k" * 80
    members = {
        "a/1.png": picture(1),
        "a/1.json": json.dumps({"label": "owl", "caption": "an owl", "vector": [1, 0.5]}).encode(),
        "a/1.txt": b"an owl",
        f"{long}.PNG": picture(2),
        f"{long}.json": json.dumps({"label": "cat", "vector": [2, 0.5]}).encode(),
        "note.txt": b"",
    }
    forms = (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT)
    for number, form in enumerate(forms):
        with tarfile.open(tmp_path / f"{number}.tar", "w", format=form) as archive:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size, info.mtime = len(content), 1.5  # which takes a PAX header
                archive.addfile(info, io.BytesIO(content))
    data = load_shards(str(tmp_path / "{0..1}.tar"))
    batch = everything(data)
    assert greys(batch) == [1, 2, 1, 2] and list(data.classes) == ["cat", "owl"]
    assert batch.labels.tolist() == [1, 0, 1, 0]
    assert batch.given["vector"].tolist() == [[1, 0.5], [2, 0.5]] * 2
    assert "2 other files left out" in data.notes


def test_resolution_and_channels_follow_the_headers(tmp_path):
    colour = png(np.zeros((20, 30, 3), np.uint8))
    tar(tmp_path / "a.tar", {"1.png": colour, "2.png": picture(7, 16), "3.png": picture(7, 16)})
    data = load_shards(tmp_path / "a.tar")
    assert data.spec.shape == (3, 16, 16)
    assert any("1 of 3 pictures looked at are of another size" in note for note in data.notes)
    assert any("several kinds" in note for note in data.notes)
    assert load_shards(tmp_path / "a.tar", resolution=(4, 6), channels=1).spec.shape == (1, 4, 6)


# The order.


def test_the_order_reads_a_window_of_shards_at_a_time():
    runs = Runs([3] * 10, 2)
    order = Order(30, 6, seed=1, runs=runs)
    epochs = [[order.next()[0] for _ in range(5)] for _ in range(2)]
    for batches in epochs:
        assert sorted(torch.cat(batches).tolist()) == list(range(30))
        assert all(len({i // 3 for i in batch.tolist()}) == 2 for batch in batches)
    assert not torch.equal(torch.cat(epochs[0]), torch.cat(epochs[1]))
    again = Order(30, 6, seed=1, runs=runs)
    again.load_state_dict({"epoch": 1, "position": 12})
    assert torch.equal(again.next()[0], epochs[1][2])
    few = Order(30, 6, seed=1, runs=Runs([15, 15], 2)).next()[0]
    assert torch.equal(few, Order(30, 6, seed=1).next()[0])  # one window is the order of a folder


def test_what_is_held_out_keeps_the_rest_near(shards):
    data = load_shards(shards, window=2)
    seen, kept = split(data, 0.3)
    assert data.runs == Runs([2] * 6, 2) and sum(seen.runs.lengths) == len(seen)
    expected = [sum(int(i) // 2 == run for i in seen.chosen) for run in range(6)]
    assert seen.runs.lengths == expected and len(kept) + len(seen) == 12
    order = Order(len(seen), 1, 0, runs=seen.runs)
    assert sorted(int(order.next()[0]) for _ in range(len(seen))) == list(range(len(seen)))


def training(name, folder=None, **layers):
    tree = configuration.defaults()
    small = {
        "data": {"name": str(name), "flip": True},
        "gen": {"name": "mlp", "width": 8, "labels": True},
        "disc": {"name": "mlp", "width": 8, "labels": True},
        "train": {"images": 24, "batch_size": 4, "device": "cpu"},
        "log": {"images": 8},
        "checkpoint": {"images": 12, "minutes": 0},
    }
    for layer in (small, layers):
        tree = configuration.merge(tree, layer)
    return Training(assemble(configuration.check(tree), zoo().registry), folder)


def weights(run):
    return torch.cat([p.flatten() for p in run.pipeline.parts.generator.parameters()])


def test_a_training_on_shards_resumes_exactly(tmp_path, shards):
    (tmp_path / "run").mkdir()
    data = {"window": 2}
    whole = training(f"{shards}/{{000000..000005}}.tar", tmp_path / "run", data=data)
    assert whole.feed.order.runs == Runs([2] * 6, 2)
    whole.run()
    again = training(f"{shards}/{{000000..000005}}.tar", tmp_path / "run", data=data)
    saved = sorted((tmp_path / "run" / "checkpoints").iterdir())[0]
    again.load_state_dict(checkpoints.load(saved, again.largest_state)[0])
    assert 0 < again.images < 24
    again.run()
    assert torch.equal(weights(again), weights(whole))


# What cannot be read.


def damage(path, at, content=b"\xff" * 64):
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


def test_a_picture_that_cannot_be_read_is_named_and_another_taken(shards):
    data = load_shards(shards, skip=0.1)
    before = everything(data).samples
    damage(shards / "000002.tar", 512)  # the first picture of it
    said = []
    with heard(lambda what, now: said.append(what)):
        after = everything(data)
        again = everything(data)
    (line,) = said
    assert line.startswith("left out: 000002.tar: 00000004.png (")
    assert torch.equal(after.samples[4], before[5])  # the next one
    rest = [i for i in range(12) if i != 4]
    assert torch.equal(after.samples[rest], before[rest])
    assert torch.equal(after.samples, again.samples)
    with pytest.raises(BadData, match=r"1 of 12 samples cannot be read, as 000002.tar: 00000004"):
        everything(load_shards(shards))  # more than one in a hundred
    assert len(data) == 12


def test_a_training_says_what_it_leaves_out(shards):
    run = training(shards, data={"skip": 0.2})
    damage(shards / "000002.tar", 512)
    said = []
    with heard(lambda what, now: said.append(what)):
        run.run()
    assert any(line.startswith("left out: 000002.tar: 00000004.png (") for line in said)


def test_shards_that_cannot_be_read_are_named_and_left_out_within_a_share(tmp_path, shards):
    (shards / "000001.tar").unlink()
    damage(shards / "000004.tar", 0)
    cut = (shards / "000005.tar").read_bytes()[:900]
    (shards / "000005.tar").write_bytes(cut)
    with pytest.raises(BadData, match=r"4 of 12 samples cannot be read, as .*more than the share"):
        load_shards(shards)
    data = load_shards(shards, skip=0.5)
    note = next(note for note in data.notes if "left out" in note)
    assert len(data) == 8 and note.startswith("4 samples left out: 000001.tar (No such file")
    assert "000005.tar (has 900 bytes, and index.json says" in note
    said = []
    with heard(lambda what, now: said.append(what)):
        assert len(set(greys(everything(data)))) == 6
    (line,) = said
    assert line.startswith("left out: 000004.tar (no header at byte 0")
    (shards / "index.json").unlink()
    lone = load_shards(f"{shards}/{{000000..000005}}.tar", skip=0.6)
    assert "000005.tar (00000010.png is cut short" in next(n for n in lone.notes if "left" in n)


WRONG = {
    "there is no shard, as .*x/000.tar": "x/{000..099}.tar",
    "no shard can be read, as empty.tar: holds no samples": "empty.tar",
    "names no shards": "{5..1}.tar",
    "more than 100,000 shards": "{0..999}{0..999}.tar",
    "labels are numbers and names": "{names,numbers}.tar",
    "mixed.tar: labels are numbers and names": "mixed.tar",
    "1 samples have no label": "{numbers,single}.tar",
    "none of its pictures can be read": "texts.tar",
    "no index of shards .shards.0.sha256": "indexed/{0..1}.tar",
}


@pytest.mark.parametrize("says", WRONG)
def test_what_is_wrong_is_one_line(says, tmp_path):
    tar(tmp_path / "empty.tar", {})
    tar(tmp_path / "names.tar", {"1.png": picture(1), "1.cls": b"owl"})
    tar(tmp_path / "numbers.tar", {"1.png": picture(1), "1.cls": b"3"})
    mixed = {"1.png": picture(1), "1.cls": b"owl", "2.png": picture(1), "2.cls": b"2"}
    tar(tmp_path / "mixed.tar", mixed)
    tar(tmp_path / "single.tar", {"1.png": picture(1)})
    tar(tmp_path / "texts.tar", {"1.png": b"no picture"})
    tar(tmp_path / "indexed" / "0.tar", {"1.png": picture(1)})
    listed = {"name": "0.tar", "size": 1, "count": 1, "sha256": "x"}
    index = {"format": "ganzoo-shards-1", "shards": [listed]}
    (tmp_path / "indexed" / "index.json").write_text(json.dumps(index))
    with pytest.raises(BadData, match=says) as caught:
        load_shards(str(tmp_path / WRONG[says]))
    assert "\n" not in str(caught.value)


def test_samples_that_are_none_are_left_out(tmp_path):
    members = {
        "1.png": picture(1),
        "2.png": picture(2),
        "2.jpg": picture(2),
        "3.a.png": picture(3),
        "4.json": b"{}",
        "5.png": picture(5),
        "5.json": b"{",
        "6.png": b"",
        "7.png": picture(7),
        "7.cls": b"x" * 2000,
    }
    table = shard_tables.read_table(tar(tmp_path / "a.tar", members))
    assert len(table) == 1 and table.lost == 6
    assert [broken.name for broken in table.left] == ["2", "3", "4", "5", "6", "7"]


def test_a_table_is_kept_until_its_shard_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(shard_tables, "SLOW", 0)
    path = tar(tmp_path / "a.tar", {"1.png": picture(1), "1.cls": b"owl"})
    first = shard_tables.read_table(path)
    with monkeypatch.context() as patch:
        patch.setattr(shard_tables, "_scanned", None)
        again = shard_tables.read_table(path)
    assert torch.equal(first.places, again.places) and again.names == ("owl",)
    tar(path, {"1.png": picture(1), "2.png": picture(2), "3.png": picture(3)})
    assert len(shard_tables.read_table(path)) == 3


# From addresses.


class Server(SimpleHTTPRequestHandler):
    """Serves a folder, and counts what was asked for; `/silent` never answers."""

    asked: ClassVar[list] = []
    over = threading.Event()

    def do_GET(self):
        self.asked.append(self.path)
        if self.path.startswith("/silent"):
            self.over.wait(10)
        elif self.path.startswith("/inward"):
            self.send_response(302)
            self.send_header("Location", "file:///etc/passwd")
            self.end_headers()
        else:
            super().do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def address(tmp_path):
    Server.asked, Server.over = [], threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Server, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    Server.over.set()
    server.shutdown()
    server.server_close()


def test_shards_are_fetched_when_they_are_needed_and_kept(address, shards, tmp_path):
    pattern = f"{address}/shards/{{000000..000005}}.tar"
    data = load_shards(pattern, window=1)
    assert len(data) == 12 and list(data.classes) == ["cats", "dogs"]
    asked = [path for path in Server.asked if path.endswith(".tar")]
    assert asked == ["/shards/000000.tar"]  # of one are the headers looked at; counts are listed
    local = load_shards(shards)
    assert data.fingerprint() == local.fingerprint()
    assert torch.equal(everything(data).samples, everything(local).samples)
    Server.asked.clear()
    assert torch.equal(everything(load_shards(pattern)).samples, everything(local).samples)
    assert Server.asked == ["/shards/index.json"]  # all others lie in the cache


def test_another_file_at_an_address_is_fetched_anew(address, shards, tmp_path):
    pattern = f"{address}/shards/{{000000..000005}}.tar"
    before = everything(load_shards(pattern)).samples
    for file in shards.iterdir():
        file.unlink()
    (tmp_path / "photos" / "cats" / "00.png").write_bytes(picture(99))
    write_shards(tmp_path / "photos", shards, size=5000)
    after = everything(load_shards(pattern)).samples
    assert int((before != after).any(3).any(2).sum()) == 1 and 99 in after


def test_an_index_of_another_program_is_passed_over(shards):
    (shards / "index.json").write_text('{"shardlist": []}')
    assert len(load_shards(shards)) == 12


def test_the_cache_stays_within_its_budget(address, shards, tmp_path):
    size = (shards / "000000.tar").stat().st_size
    data = load_shards(f"{address}/shards/{{000000..000005}}.tar", cache=2.5 * size / 2**30)
    local = load_shards(shards)
    for _ in range(2):
        for i in range(12):
            assert torch.equal(*(d.gather(torch.tensor([i])).samples for d in (data, local)))
            there = list((tmp_path / "cache" / "shards").glob("*.tar"))
            assert sum(each.stat().st_size for each in there) <= 2.5 * size
    small = f"{address}/shards/000001.tar"
    with pytest.raises(BadData, match=r"may be kept; set: data.cache = 1"):
        load_shards(small, cache=0.5 * size / 2**30)


def test_a_start_fetches_one_shard(address, shards, tmp_path):
    run = training(f"{address}/shards/{{000000..000005}}.tar", tmp_path)
    run.gallery._real()
    assert len(run.pipeline.dataset) == 12 and run.pipeline.dataset.at_hand == 2
    assert [path for path in Server.asked if path.endswith(".tar")] == ["/shards/000000.tar"]


def test_shards_without_an_index_are_fetched_to_be_counted(address, shards):
    (shards / "index.json").unlink()
    data = load_shards(f"{address}/shards/{{000000..000005}}.tar")
    assert len(data) == 12 and len(Server.asked) == 7 and list(data.classes) == ["0", "1"]


def test_another_file_than_the_index_lists_is_left_out(address, shards):
    swapped = (shards / "000002.tar").read_bytes().replace(b"00000004", b"00000005")
    (shards / "000002.tar").write_bytes(swapped)
    data = load_shards(f"{address}/shards/{{000000..000005}}.tar", skip=0.2)
    said = []
    with heard(lambda what, now: said.append(what)):
        batch = everything(data)
    assert said == [
        "left out: 000002.tar (is not the file that index.json lists: its SHA-256 is another)"
    ]
    assert torch.equal(batch.samples[4], batch.samples[6]) and len(batch.samples) == 12
    assert Server.asked.count("/shards/000002.tar") == 1


NO_ANSWER = {
    r"/silent/index.json: does not answer within 0.2 s; set: data.t": "silent/{0..1}.tar",
    r"/gone/0.tar: there is nothing .404.": "gone/{0..1}.tar",
    r"/inward/index.json: answers 302": "inward/{0..1}.tar",
    r"/shards: no address of shards": "shards",
}


@pytest.mark.parametrize("says", NO_ANSWER)
def test_a_server_that_does_not_answer_is_one_line(says, address, monkeypatch):
    from ganzoo.data import fetching

    monkeypatch.setattr(fetching, "PAUSE", 0)
    with pytest.raises(BadData, match=says) as caught:
        load_shards(f"{address}/{NO_ANSWER[says]}", timeout=0.2)
    assert "\n" not in str(caught.value)


def test_nobody_at_an_address_is_one_line():
    with pytest.raises(BadData, match=r"127.0.0.1:9/index.json: does not answer .Connection refus"):
        load_shards("http://127.0.0.1:9/{0..3}.tar")


def test_no_room_is_one_line(address, shards, monkeypatch):
    from ganzoo.data import fetching

    monkeypatch.setattr(fetching, "PAUSE", 0)
    usage = type("usage", (), {"free": 10})
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(BadData, match=r"no room for .* set GANZOO_CACHE"):
        load_shards(f"{address}/shards/{{000000..000005}}.tar")


# By command.


def test_the_commands(tmp_path, cli):
    photos(tmp_path / "photos")
    done = cli("data", "shard", tmp_path / "photos", "--out", tmp_path / "s", "--size", "5KB")
    assert done.code == 0 and "12 samples in 6 shards" in done.out, done.err
    done = cli("data", "shard", tmp_path / "photos", "--out", tmp_path / "s")
    assert done.code == 1 and "holds 000000.tar already" in done.err
    done = cli("data", "shard", tmp_path / "photos", "--out", tmp_path / "t", "--size", "all")
    assert done.code == 2 and "no size" in done.err
    done = cli("data", "inspect", f"{tmp_path}/s/{{000000..000005}}.tar")
    assert done.code == 0 and "12 samples as 1x8x8" in done.out, done.err
    flags = ["--gen=mlp", "--batch-size=4", "--images=8", "--set=gen.width=4", "--set=data.skip=0"]
    for data in (tmp_path / "s", f"{tmp_path}/s/{{000000..000003}}.tar"):
        done = cli("train", "--data", data, *flags, "--out", tmp_path / "runs")
        assert done.code == 0, done.err
    damage(tmp_path / "s" / "000000.tar", 512)
    done = cli(
        "train",
        "--data",
        tmp_path / "s",
        *flags[:-1],
        "--set=data.skip=0.1",
        "--out",
        tmp_path / "r",
    )
    assert done.code == 0 and "left out: 000000.tar: 00000000.png (" in done.err, done.err
    done = cli("train", "--data", tmp_path / "s", *flags, "--out", tmp_path / "runs")
    assert done.code == 1 and "1 of 12 samples cannot be read" in done.err, done.err
    done = cli(
        "train", "--data", tmp_path / "s", *flags, "--set=data.split=2", "--out", tmp_path / "r"
    )
    assert done.code == 2 and "no picture is halved" in done.err, done.err
    done = cli("train", "--data", f"{tmp_path}/none/{{0..3}}.tar", *flags, "--out", tmp_path / "r")
    assert done.code == 1 and len(done.err.strip().splitlines()) == 1 and "no shard" in done.err


def test_options_of_shards_are_checked(shards):
    with pytest.raises(GanzooError, match=r"data.skip"):
        training(shards, data={"skip": 2})
    with pytest.raises(Incompatible, match="larger than the data"):
        training(shards, train={"batch_size": 50})


@pytest.mark.slow
@pytest.mark.alone
def test_shards_keep_up_on_a_slow_disk(tmp_path, monkeypatch):
    """An accelerator that takes 100 ms for a batch of 64 pictures of 64x64 waits for shards, on a
    disk that takes 4 ms for each reading, for a tenth of its time at most.
    """
    chance = np.random.default_rng(0)
    pictures = [png(chance.integers(0, 256, (64, 64, 3), np.uint8)) for _ in range(100)]
    (tmp_path / "photos").mkdir()
    for i in range(1000):
        (tmp_path / "photos" / f"{i:04d}.png").write_bytes(pictures[i % 100])
    made = write_shards(tmp_path / "photos", tmp_path / "shards", size=1 << 20)
    kept, read = load_pictures(tmp_path / "photos"), load_shards(tmp_path / "shards", window=4)
    plain = shards_module.Shard.read

    def slowly(shard, place):
        time.sleep(0.004)
        return plain(shard, place)

    monkeypatch.setattr(shards_module.Shard, "read", slowly)
    speeds = {"resident": [], "read": []}
    for _ in range(3):  # by turns, so that a busy machine slows both
        for name, data in (("resident", kept), ("read", read)):
            feed = Feed(data, Order(1000, 64, 0, runs=data.runs), torch.device("cpu"))
            feed.next()  # threads start
            began = time.perf_counter()
            for _ in range(20):
                feed.next()
                time.sleep(0.1)
            speeds[name].append(20 * 64 / (time.perf_counter() - began))
            feed.close()
    resident, streamed = (statistics.median(each) for each in speeds.values())
    print(f"{len(made.index.shards)} shards: resident {resident:.0f}, read {streamed:.0f} images/s")
    assert streamed >= 0.9 * resident
