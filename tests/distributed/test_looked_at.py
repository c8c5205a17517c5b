"""What is said of a run that two ranks trained is what is said of one that one process trained."""

import json
import re

import pytest
from launched import finished, lines, only_run, torchrun

pytestmark = pytest.mark.slow
FLAGS = ["--data", "ring", "--gen", "mlp", "--disc", "mlp", "--loss", "hinge", "--reg", "gp"]
FLAGS += ["--batch-size", "16", "--images", "3200", "--precision", "fp32", "--metric", "swd"]
FLAGS += [
    flag
    for setting in (
        *("gen.width=8", "disc.width=8", "log.images=320", "measure.images=1600"),
        *("optim.gen.name=sgd", "optim.disc.name=sgd", "optim.gen.lr=0.01", "optim.disc.lr=0.01"),
    )
    for flag in ("--set", setting)
]


def flat(tree, path=""):
    """The values of a log line by their paths."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from flat(value, f"{path}{key}.")
        elif "second" not in key:
            yield f"{path}{key}", value


def parts(line):
    """(its texts, its numbers) of a log line."""
    found = dict(flat(line))
    texts = {key: value for key, value in found.items() if isinstance(value, str)}
    return texts, {key: value for key, value in found.items() if key not in texts}


def words(page):
    """What a page says, without its numbers, which differ by rounding and by the clock."""
    text = re.sub(r"<(script|style).*?</\1>|data:[^\"]*|<[^>]*>", "\n", page, flags=re.S)
    return re.sub(r"-?\d[\d.,e-]*", "#", text).split()


def test_the_log_the_doctor_and_the_page_are_those_of_any_run(tmp_path, monkeypatch, ran):
    logs, found, pages = [], [], []
    for ranks in (1, 2):
        place = tmp_path / str(ranks)
        place.mkdir()
        code, text = finished(torchrun(place, *FLAGS, ranks=ranks))
        assert code == 0, text
        run = only_run(place)
        logs.append([parts(line) for line in lines(run)])
        monkeypatch.chdir(place)
        found.append(json.loads(ran("doctor", run.relative_to(place), "--json")))
        ran("report", run.relative_to(place), "--out", "page.html")
        pages.append(words((place / "page.html").read_text()))
    assert len(logs[0]) == 12  # two of them scores
    for one, other in zip(*logs, strict=True):
        assert one[0] == other[0]
        assert one[1] == pytest.approx(other[1], rel=1e-3, abs=1e-4)
    assert found[0] == found[1] and found[0]["findings"]
    assert len(pages[0]) > 500 and pages[0] == pages[1]
