"""`ganzoo report`: one page that holds all it shows, of runs that strangers may have made."""

import base64
import hashlib
import json
import shutil
import struct
import zlib
from html.parser import HTMLParser
from importlib import resources
from itertools import pairwise

import chromium
import pytest
import torch
from PIL import Image
from run_folders import LINE, made, score

from ganzoo.contracts import Dataset
from ganzoo.report import curves, drawn
from ganzoo.report.account import MOST
from ganzoo.report.encoding import encoded

EVIL = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>\u202e\x1b[2J"
SHORT = "<img src=x onerror=window.hacked=1>"  # a name that a folder may have
# npm's uplot 1.6.32, unpacked
SUMS = {
    "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
}


class Read(HTMLParser):
    """A page's elements, the content of its scripts and styles, and its other text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.inline, self.words, self.open = [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.open = tag if tag in ("script", "style") else None
        if self.open:
            self.inline.append([tag, dict(attrs), ""])

    def handle_endtag(self, tag):
        self.open = None

    def handle_data(self, text):
        if self.open:
            self.inline[-1][2] += text
        else:
            self.words.append(text)

    @property
    def data(self):
        return next(json.loads(text) for _, about, text in self.inline if "id" in about)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def told(ran, tmp_path):
    def write(*runs):
        ran("report", *runs, "--out", tmp_path / "report.html")
        return Read((tmp_path / "report.html").read_text("utf-8"))

    return write


@pytest.fixture(scope="module")
def whole(ran, trained, tmp_path_factory):
    """The page of a run that was trained."""
    out = tmp_path_factory.mktemp("page") / "report.html"
    ran("report", trained, "--out", out)
    return out


def png_claiming(width, height):
    """The beginning of a picture of that size."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(bytes(9)))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


def hostile(root):
    lines = [LINE | {EVIL: 1.0, "images": n, "health": EVIL} for n in (100, 200, 300, 2000)]
    event = {"images": 2000, "event": EVIL, "reason": EVIL, EVIL: EVIL}
    return made(
        root,
        SHORT,
        [*lines, event],
        [score(EVIL, n, {EVIL: EVIL}, **{EVIL: [1.0]}) for n in (1000, 2000)],
        loss={"name": EVIL},
        data={"name": EVIL},
        reg={EVIL: {"weight": 1.0}},
    )


# What others wrote.


def test_text_of_a_run_is_no_part_of_the_page(tmp_path, told):
    page = told(hostile(tmp_path))
    plain = told(made(tmp_path, "0001-plain", [LINE] * 4))
    known = {tag for tag, _ in plain.elements} | {"thead", "th", "tr", "td", "table", "code", "pre"}
    assert {tag for tag, _ in page.elements} <= known | {"details", "summary", "article", "h4"}
    assert [about for tag, about in page.elements if tag == "script"] == [
        about for tag, about in plain.elements if tag == "script"
    ]
    for _, about in page.elements:
        assert not any(name.startswith("on") or name == "style" for name in about)
        assert about.get("href", "#").startswith("#")
        assert about.get("src", "data:image/").startswith("data:image/")
    assert "onerror=window.hacked=1" in page.text  # said, as text
    assert "\u202e" not in page.text and "\x1b" not in page.text
    assert any("onerror" in name for name in page.data["runs"][0]["log"]["figures"])


def test_nothing_but_its_own_scripts_may_run_and_nothing_be_fetched(tmp_path, told):
    page = told(made(tmp_path, "0001-plain"))
    policy = next(a["content"] for t, a in page.elements if a.get("http-equiv"))
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert rules["img-src"] == "data:" and "unsafe" not in policy and "http" not in policy
    for tag in ("script", "style"):
        texts = [text for kind, about, text in page.inline if kind == tag and "id" not in about]
        sums = [base64.b64encode(hashlib.sha256(t.encode()).digest()).decode() for t in texts]
        assert rules[f"{tag}-src"] == " ".join(f"'sha256-{each}'" for each in sums)


def test_links_and_pictures_too_large_are_said_and_not_opened(tmp_path, told):
    run = made(tmp_path, "0001-a")
    (run / "samples").mkdir()
    (run / "samples" / "000001000.png").symlink_to("/dev/zero")
    (run / "real.png").write_bytes(png_claiming(9_000, 9_000))
    page = told(run)
    assert "a link, and nothing in a run folder is followed" in page.text
    assert "real.png: 9000x9000 pixels are too many" in page.text


def test_numbers_of_a_log_stay_numbers(tmp_path, told):
    lines = [
        LINE | {"images": n, "x": x} for n, x in ((1, 1.7976931348623157e308), (2, 1e-320), (9, 0))
    ]
    page = told(made(tmp_path, "0001-a", [*lines, {"images": 5, "event": "x", "more": [1] * 999}]))
    assert page.data["runs"][0]["log"]["figures"]["x"] == [1.7976931348623157e308, 1e-320, 0.0]


# What it says.


def test_a_run_without_nets_has_a_page_that_says_what_is_missing(tmp_path, told):
    run = made(tmp_path, "0001-a", [LINE], [score("swd", distance=[1.0, 2.0])])
    page = told(run)
    assert "Not judged" in page.text and "its log has 1 lines, and 4 are needed" in page.text
    assert page.text.count("Not here: ") == 4
    row = page.text[page.text.index("score value spread") :]
    assert "swd.distance 1.5 0.7071 0.5 smaller 2,000 data ring, fake 1000" in row
    assert f"ganzoo train --config {run}/run.toml" in page.text


def test_what_the_doctor_finds_stands_there_with_its_command(tmp_path, told):
    ill = {"spread": 0.01, "variety": 0.02, "health": "narrow"}
    page = told(
        made(tmp_path, "0001-a", [LINE | ill | {"images": n} for n in range(100, 2001, 100)])
    )
    said = page.text[page.text.index(" Health mode collapse") :]
    assert "Since 100 images: samples vary 1.0% as much as real ones" in said
    assert "0001-a/run.toml --reg " in said


def test_runs_stand_side_by_side_with_what_differs(tmp_path, told):
    one = made(tmp_path, "0001-a", [LINE | {"images": n} for n in (10, 20)])
    other = made(tmp_path, "0002-b", [LINE | {"images": n} for n in (10, 30)], train={"seed": 7})
    page = told(one, other)
    assert "setting 0001-a 0002-b train.seed 0 7 0001-a" in page.text
    assert [run["log"]["images"] for run in page.data["runs"]] == [[10, 20], [10, 30]]
    assert [chart["title"] for chart in page.data["charts"]][:1] == ["Losses"]


def test_a_long_log_is_thinned_out_by_means():
    lines = [{"images": n, "a": float(n)} for n in range(1, 4 * curves.LINES + 1)]
    log = curves.of_log([*lines, {"images": 4.0, "a": 8.0, "b": 1.0}], runs=2)
    assert log["many"] == 8 and len(log["images"]) == curves.LINES // 2
    assert log["images"][:2] == [8, 16] and log["figures"]["a"][:2] == [5.0, 12.5]  # 4 came again
    assert log["figures"]["b"] == [1.0] + [None] * (curves.LINES // 2 - 1)


def test_the_page_of_a_trained_run_has_all_its_pictures(whole, trained):
    page = Read(whole.read_text("utf-8"))
    assert whole.stat().st_size < 5e6 and "Not here" not in page.text
    alts = [about["alt"] for tag, about in page.elements if tag == "img"]
    assert [alt.partition(" of ")[0] for alt in alts] == [
        "Samples",
        "A walk through the latents",
        "Real samples",
        "Generated samples",
        "Pairs",
    ]
    moments = sorted(int(path.stem) for path in (trained / "samples").glob("*.png"))
    run = page.data["runs"][0]
    assert [*(each["images"] for each in run["moments"]), run["last"]] == moments
    assert "torch" in page.text[page.text.index("Versions") :]
    fields = {about["id"] for tag, about in page.elements if tag in ("input", "select")}
    labelled = {about.get("for") for tag, about in page.elements if tag == "label"}
    assert fields - labelled == {"smoothing", "further"}  # which lie in their labels


def test_other_data_than_those_of_the_training_are_not_shown(trained, told, monkeypatch):
    at_hand = drawn.open_data

    def other(config, registry):
        data, held = at_hand(config, registry)
        data.digest = ""
        data.samples = data.samples.flip(0)
        return data, held

    monkeypatch.setattr(drawn, "open_data", other)
    page = told(trained)
    assert "Not here: the data at hand are not those of the training: as many samples" in page.text
    assert page.text.count("Not here") == 1


def test_a_generator_that_fails_takes_no_other_part_along(trained, told, monkeypatch):
    monkeypatch.setattr(drawn, "load", lambda *_: 1 / 0)
    assert told(trained).text.count("Not here: ZeroDivisionError: division by zero") == 2


# Its pictures.


def test_the_nearest_training_samples_are_the_nearest():
    generator = torch.Generator().manual_seed(0)
    samples = torch.randint(0, 256, (300, 1, 40, 64), generator=generator, dtype=torch.uint8)
    data = Dataset(samples)
    asked = data.batch(torch.tensor([7, 250]))[0].float()
    asked[1] += 0.3 * torch.randn(asked[1].shape, generator=generator)
    found = drawn.nearest(asked, data)
    assert found.indices.tolist() == [7, 250] and found.among == 300

    def small(pictures):  # 40 rows to 32 overlap; 64 columns to 32 are pairs
        wide = pictures.reshape(len(pictures), 40, 32, 2).mean(-1)
        rows = [wide[:, i * 40 // 32 : -(-(i + 1) * 40 // 32)].mean(1) for i in range(32)]
        return torch.stack(rows, 1).flatten(1).double()

    real = small(data.batch(torch.arange(300))[0].float())
    gaps = (small(asked)[:, None] - real[None]).square().mean(2).sqrt().min(1).values
    assert gaps[0] == 0 and abs(found.distances[0] - gaps.median()) < 1e-5
    each = torch.cdist(real, real) / 32
    each.fill_diagonal_(torch.inf)
    least = each.min(1).values
    assert least.min() - 1e-5 <= found.distances[1] <= least.max() + 1e-5


@pytest.mark.parametrize("limit", [200_000, 20_000, 2_000])
def test_a_picture_stays_within_its_limit(limit):
    noise = torch.randint(0, 256, (256, 256, 3), dtype=torch.uint8)
    text = encoded(Image.fromarray(noise.numpy()), limit)
    kind, _, content = text.partition(",")
    assert kind in ("data:image/webp;base64", "data:image/jpeg;base64")
    assert 0 < len(base64.b64decode(content)) <= limit


def test_without_webp_pictures_are_jpegs(monkeypatch):
    monkeypatch.setattr("ganzoo.report.encoding.features.check", lambda name: False)
    assert encoded(Image.new("RGB", (64, 64)), 9999).startswith("data:image/jpeg;base64,/9j/")


def test_many_runs_are_a_page_of_usual_size(tmp_path, told):
    runs = [made(tmp_path, f"{i:04d}-a") for i in range(MOST)]
    noise = torch.randint(0, 256, (128, 128, 3), dtype=torch.uint8)  # more than there is room for
    for run in runs:
        (run / "samples").mkdir()
        for n in range(2):
            Image.fromarray(noise.numpy()).save(run / "samples" / f"{n:09d}.png")
    page = told(*runs)
    assert sum(tag == "img" for tag, _ in page.elements) == MOST
    assert (tmp_path / "report.html").stat().st_size < 5e6


# The library that draws the charts.


def test_uplot_is_what_its_authors_published(whole):
    folder = resources.files("ganzoo.report").joinpath("uplot")
    for name, digest in SUMS.items():
        assert hashlib.sha256(folder.joinpath(name).read_bytes()).hexdigest() == digest
    licence = folder.joinpath("LICENSE").read_text("utf-8")
    assert licence.startswith("The MIT License") and "Leon Sorokin" in licence
    assert "Copyright (c) 2022 Leon Sorokin" in Read(whole.read_text("utf-8")).text


# Bad input.


@pytest.mark.parametrize(
    "names, code, said",
    [
        ((), 2, "a page has one to 20 runs"),
        (("0001-a", "0001-a"), 2, "is given twice"),
        (("nothing",), 1, "no run there"),
        (("0001-a", "--out", "x.pdf"), 2, "write a name that ends in .html"),
        (("broken",), 1, "log.jsonl"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path, cli, monkeypatch, names, code, said):
    monkeypatch.chdir(tmp_path)
    made(tmp_path, "0001-a")
    (made(tmp_path, "broken") / "log.jsonl").write_text("rubbish\n" * 9)
    done = cli("report", *names)
    assert done.code == code and said in done.err and done.err.count("\n") == 1
    assert not (tmp_path / "report.html").exists()


# In a browser.

needs_chromium = pytest.mark.skipif(chromium.FOUND is None, reason="no Chromium is installed")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium.browser(tmp_path_factory.mktemp("browser")) as page:
        yield page


@needs_chromium
@pytest.mark.parametrize("phone", [False, True], ids=["desk", "phone"])
def test_the_slider_moves_by_a_key_and_the_console_is_silent(whole, browser, phone):
    browser.said.clear()
    browser.open(whole, width=390 if phone else 1200, dark=phone, phone=phone)
    image, label = "at('moment-0')", "document.querySelector('.moments output').textContent"
    browser.value("at = id => document.getElementById(id)")
    shown = f"[{image}.src, {image}.alt, {label}]"
    last = browser.value(shown)
    browser.value("at('slider-0').focus()")
    browser.press("ArrowLeft", 37)
    assert all(a != b for a, b in zip(last, browser.value(shown), strict=True))
    browser.press("End", 35)
    assert browser.value(shown) == last
    assert browser.value("[...document.images].every(i => i.complete && i.naturalWidth)")
    assert browser.value("document.documentElement.scrollWidth") == (390 if phone else 1200)
    dark = browser.value("getComputedStyle(document.body).backgroundColor")
    assert dark == ("rgb(19, 20, 22)" if phone else "rgb(246, 246, 243)")
    assert browser.said == []


def long(root):
    """A run whose log has a hundred lines."""
    lines = [LINE | {"images": 100 * n, "rank": n % 2, "odd one": float(n)} for n in range(1, 101)]
    return made(root, "0001-a", lines, train={"images": 10_000})


@needs_chromium
def test_charts_zoom_smooth_and_tell_their_points(tmp_path, told, browser):
    told(long(tmp_path))
    browser.said.clear()
    browser.open(tmp_path / "report.html")
    assert browser.value("document.querySelectorAll('#charts .chart canvas').length") == 2
    chart = "document.querySelectorAll('#charts .chart')[0]"
    read = f"{chart}.querySelector('output').textContent"
    browser.value(f"{chart}.querySelector('[tabindex]').focus()")
    browser.press("ArrowRight", 39)
    assert browser.value(read) == (
        "after 100 images: discriminator.total 1.25, generator.total 0.5"
    )
    browser.press("+", 187)  # about that point: 100 to 2,575
    browser.press("ArrowLeft", 37)
    for _ in range(40):
        browser.press("ArrowRight", 39)
    assert browser.value(read).startswith("after 2,500 images")
    browser.press("0", 48)
    browser.press("ArrowRight", 39)
    assert browser.value(read).startswith("after 2,600 images")

    rank = "document.querySelectorAll('#charts .chart')[1]"
    told_by = f"{rank}.querySelector('output').textContent"
    browser.value(f"{rank}.querySelector('[tabindex]').focus()")
    browser.press("ArrowLeft", 37)
    assert browser.value(told_by) == "after 10,000 images: rank 0"
    move = "at.value = 0.5; at.dispatchEvent(new Event('input'))"
    browser.value(f"at = document.getElementById('smoothing'); {move}")
    browser.press("ArrowLeft", 37)
    browser.press("ArrowRight", 39)
    values = [n % 2 for n in range(1, 101)]
    mean = sum(v * 0.5 ** (101 - n) for n, v in enumerate(values, 1)) / (1 - 0.5**100)
    assert browser.value(told_by) == f"after 10,000 images: rank {mean:.4g}"

    choose = "at.value = 'odd one'; at.dispatchEvent(new Event('change'))"
    browser.value(f"at = document.getElementById('further'); {choose}")
    assert browser.value("document.querySelectorAll('#charts .chart').length") == 3
    assert browser.said == []


@needs_chromium
def test_dragging_zooms_all_charts_and_hovering_tells(tmp_path, told, browser):
    told(long(tmp_path))
    browser.said.clear()
    browser.open(tmp_path / "report.html")
    browser.value("document.querySelector('#charts').scrollIntoView()")
    over = "document.querySelectorAll('.u-over')"
    box = browser.value(f"(b => [b.x, b.y, b.width])({over}[0].getBoundingClientRect())")
    ticks = "[...document.querySelectorAll('.u-legend .u-value')].map(e => e.textContent)"
    before = browser.value(ticks)
    browser.mouse("Moved", box[0] + box[2] / 2, box[1] + 20)
    assert browser.value("new Promise(r => requestAnimationFrame(() => r(0)))") == 0
    assert browser.value(ticks) != before
    browser.mouse("Moved", 2, 2)  # away, as below, where it is compared
    browser.value("new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")
    seen = f"{over}[1].parentElement.querySelector('canvas').toDataURL()"
    was = browser.value(seen)
    left = {"button": "left", "buttons": 1, "clickCount": 1}
    browser.mouse("Pressed", box[0] + box[2] / 2, box[1] + 20, **left)
    browser.mouse("Moved", box[0] + box[2] - 5, box[1] + 20, button="left", buttons=1)
    browser.mouse("Released", box[0] + box[2] - 5, box[1] + 20, **left)
    browser.until(lambda: browser.value(seen) != was)  # another chart than the one dragged
    browser.value("document.getElementById('whole').click()")
    browser.mouse("Moved", 2, 2)
    browser.until(lambda: browser.value(seen) == was)
    assert browser.said == []


@needs_chromium
def test_a_hostile_run_does_nothing_in_a_browser(tmp_path, told, browser):
    told(hostile(tmp_path))
    browser.said.clear()
    browser.asked.clear()
    browser.open(tmp_path / "report.html", width=390, phone=True)
    assert browser.value("document.documentElement.scrollWidth") == 390
    assert browser.value("[typeof window.hacked, document.scripts.length]") == ["undefined", 3]
    assert browser.value("document.querySelectorAll('#charts .chart').length") >= 2
    assert browser.said == []
    # And if something of it were to run: its policy lets it fetch nothing.
    tried = "fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'refused')"
    assert browser.value(tried) == "refused"
    assert any("Content Security Policy" in said for said in browser.said)
    assert all(a.startswith(("file:", "data:")) for a in browser.asked if "127.0.0.1" not in a)


@needs_chromium
def test_without_a_log_there_is_a_page(tmp_path, told, browser):
    run = made(tmp_path, "0001-a", [])
    shutil.rmtree(run / "checkpoints")
    told(run)
    browser.said.clear()
    browser.open(tmp_path / "report.html")
    assert "no line of figures yet" in browser.value("document.getElementById('charts').innerText")
    assert browser.said == []


# For those who do not see the page or have no mouse, as far as a program can tell.

READ = """
(() => {
  const number = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const over = (top, below) => {
    const a = top.length > 3 ? top[3] : 1;
    return [0, 1, 2].map(i => a * top[i] + (1 - a) * below[i]);
  };
  const behind = element => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      layers.push(number(getComputedStyle(at).backgroundColor));
    }
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  const light = colour => {
    const [r, g, b] = colour.map(v => v / 255).map(
      v => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  for (const element of document.querySelectorAll('body, body *')) {
    const own = [...element.childNodes].filter(n => n.nodeType === 3 && n.data.trim());
    if (!own.length || !element.checkVisibility({visibilityProperty: true})) continue;
    if (element.matches('.skip:not(:focus)')) continue;
    const style = getComputedStyle(element), back = behind(element);
    const ink = over(number(style.color), back);
    const [low, high] = [light(ink), light(back)].sort((a, b) => a - b);
    const size = parseFloat(style.fontSize), bold = style.fontWeight >= 700;
    const large = size >= 24 || (bold && size >= 18.66);
    found.push([(high + 0.05) / (low + 0.05), large ? 3 : 4.5,
                element.tagName + '.' + element.className + ' ' + own[0].data.trim().slice(0, 30)]);
  }
  return found;
})()
"""


@needs_chromium
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(whole, browser, dark):
    """By WCAG 2.2, 1.4.3: 4.5 to 1, of large letters 3 to 1; what is folded is opened before."""
    browser.open(whole, dark=dark)
    browser.value("document.querySelectorAll('details').forEach(each => { each.open = true })")
    read = browser.value(READ)
    assert len(read) > 100, "text was found"
    assert [one for one in read if one[0] < one[1]] == []


def tree(browser):
    """What an assistive program is told: role, name, level and whether it takes the keyboard."""
    found = []
    for node in browser.call("Accessibility.getFullAXTree")["nodes"]:
        if node["ignored"]:
            continue
        about = {each["name"]: each["value"].get("value") for each in node.get("properties", [])}
        name = node.get("name", {}).get("value", "").strip()
        found.append((node["role"]["value"], name, about))
    return found


@needs_chromium
def test_all_that_is_used_has_a_role_and_a_name(whole, browser):
    browser.open(whole)
    browser.value("document.querySelectorAll('details').forEach(each => { each.open = true })")
    found = tree(browser)
    used = [(role, name) for role, name, about in found if about.get("focusable")]
    assert {"link", "button", "slider", "combobox", "DisclosureTriangle"} <= {r for r, _ in used}
    nameless = [each for each in used if not each[1] and each[0] != "RootWebArea"]
    assert nameless == [], "what takes the keyboard says what it is"
    assert not [role for role, _ in used if role in ("generic", "none", "StaticText")]
    pictures = [name for role, name, _ in found if role in ("img", "image")]
    assert pictures and all(pictures)
    roles = [role for role, *_ in found]
    assert (roles.count("main"), roles.count("navigation")) == (1, 1)
    levels = [about["level"] for role, _, about in found if role == "heading"]
    assert levels.count(1) == 1 and levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert all(name for role, name, _ in found if role in ("heading", "region"))
    assert browser.value("document.documentElement.lang") == "en"


@needs_chromium
def test_the_keyboard_reaches_all_and_shows_where_it_is(whole, browser):
    """With Tab alone, in the order of the page, and each with an outline while it is focused."""
    browser.open(whole)
    taken = "a[href], button, input, select, summary, [tabindex='0']"
    seen = f"[...document.querySelectorAll(`{taken}`)].filter(e => e.checkVisibility())"
    browser.value(f"wanted = {seen}; wanted.length")
    count = browser.value("wanted.length")
    assert count > 20
    reached, outlines = [], []
    for _ in range(count):
        browser.press("Tab", 9)
        reached.append(browser.value("wanted.indexOf(document.activeElement)"))
        style = "getComputedStyle(document.activeElement)"
        outlines.append(browser.value(f"[{style}.outlineStyle, parseFloat({style}.outlineWidth)]"))
    assert reached == [*range(count)]
    assert all(style != "none" and width >= 1 for style, width in outlines)
