"""Features of real samples on disk: taken again for other data, other samples and another metric,
made anew where the file is damaged, and kept only where they took long.
"""

import pytest
import torch

from ganzoo.contracts import Dataset, Metric, Spec
from ganzoo.data import kept
from ganzoo.measure import feature_cache, measuring

SPEC = Spec((1, 4, 4))


class Counted(Metric):
    """The mean, and how many samples it was shown."""

    def __init__(self, spec, sum_of="a"):
        super().__init__(spec, count=8)
        self.shown, self.sum_of = 0, sum_of

    def features(self, samples):
        self.shown += len(samples)
        return samples.flatten(1).mean(1, keepdim=True)

    def compare(self, real, fake):
        return {"apart": float((real.mean() - fake.mean()).abs())}

    def protocol(self):
        return {"sum": self.sum_of}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path))
    monkeypatch.setattr(feature_cache, "SLOW", 0.0)
    return tmp_path / "features"


def data_of(seed=0, count=30):
    stream = torch.Generator().manual_seed(seed)
    return Dataset(torch.randint(0, 256, (count, 1, 4, 4), generator=stream, dtype=torch.uint8))


def shown(data, count=20, options=None, metric=None, owner="a:b 1"):
    """How many real samples a metric is shown, and its figure."""
    metric = metric or Counted(SPEC)
    own = measuring.Asked("counted", metric, options or {"count": count}, owner)
    fake = data_of(seed=9, count=5).samples
    found = own.ask(measuring.Real(data, count), lambda *_: iter([fake]), 5, [0])
    return metric.shown - 5, found[0]["apart"]


def test_features_are_read_where_nothing_that_matters_has_changed(cache):
    first = shown(data_of())
    assert first[0] == 20
    assert shown(data_of()) == (0, first[1])
    assert len([*cache.iterdir()]) == 1
    for other in (
        {"data": data_of(seed=1)},
        {"data": data_of(), "count": 19},
        {"data": data_of(), "options": {"k": 3}},
        {"data": data_of(), "metric": Counted(SPEC, "b")},
        {"data": data_of(), "owner": "a:b 2"},
    ):
        assert shown(**other)[0] == other.get("count", 20)
    assert len([*cache.iterdir()]) == 6


def test_a_damaged_file_is_made_again(cache):
    _, figure = shown(data_of())
    (path,) = cache.iterdir()
    content = path.read_bytes()
    changed = content[:-3] + bytes([content[-3] ^ 1]) + content[-2:]
    for wrong in (b"", content[:-4], changed, b"x" * 500):
        path.write_bytes(wrong)
        assert shown(data_of()) == (20, figure)
        assert shown(data_of()) == (0, figure)
    path.unlink()
    path.mkdir()
    assert shown(data_of()) == (20, figure), "a folder in its place"


def test_what_is_quick_or_cannot_be_kept_leaves_no_file(cache, monkeypatch):
    monkeypatch.setattr(feature_cache, "SLOW", 60.0)
    assert shown(data_of())[0] == shown(data_of())[0] == 20
    assert not cache.exists()
    monkeypatch.setattr(feature_cache, "SLOW", 0.0)
    cache.write_text("in the way")
    assert shown(data_of())[0] == shown(data_of())[0] == 20


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.bool, torch.complex64])
def test_tensors_of_any_type_are_kept(tmp_path, monkeypatch, kind):
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path))
    asked = []

    def make():
        asked.append(1)
        return {"some": torch.tensor([[1, 0], [2, 3]]).to(kind), "one": torch.tensor(2).to(kind)}

    found = [kept("any", ["key"], make) for _ in range(2)]
    assert len(asked) == 1 and found[1]["some"].dtype == kind
    assert all(torch.equal(found[0][name], found[1][name]) for name in ("some", "one"))
