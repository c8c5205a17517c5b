"""What an option is tried with: read from text and TOML, drawn, laid over a configuration."""

import math
import random

import pytest

from ganzoo import config as configuration
from ganzoo.components.loading import zoo
from ganzoo.errors import BadConfig, UsageError
from ganzoo.sweeps import page
from ganzoo.sweeps import preset as presets
from ganzoo.sweeps import settings as setting_up
from ganzoo.sweeps.spaces import Choice, Each, Range, Times, parse, space_of

TREE = configuration.defaults()


def test_what_people_type_is_read():
    read = {
        "32,64": Choice((32, 64)),
        "hinge": Choice(("hinge",)),
        "true,false": Choice((True, False)),
        "[0.0,0.9],[0.5,0.999]": Choice(([0.0, 0.9], [0.5, 0.999])),
        '{from=1,to=0},"a,b"': Choice(({"from": 1, "to": 0}, "a,b")),
        "{r1={weight=0.1},r2={}},none": Choice(({"r1": {"weight": 0.1}, "r2": {}}, "none")),
        "log(1e-4,1e-2)": Range("log", 1e-4, 1e-2),
        "uniform(0, 1)": Range("uniform", 0, 1),
        "int(1,5)": Range("int", 1, 5),
        "times(0.1,10)": Times((0.1, 10.0)),
        "[uniform(0,1),0.999]": Each((Range("uniform", 0, 1), 0.999)),
    }
    for text, space in read.items():
        assert parse(text, "gen.width") == space
        assert space_of(space.plain(), "gen.width") == space, "as sweep.toml gives it back"


def test_what_cannot_be_meant_is_refused_with_the_way_out():
    wrong = {
        "": "write the values with commas between",
        "32,,64": "write the values with commas between",
        "lag(1,2)": "no range 'lag'; did you mean 'log'",
        "log(1e-2,1e-4)": "the lower first",
        "log(0,1)": "log takes numbers above 0",
        "int(0.5,2)": "int takes whole numbers",
        "uniform(a,1)": "uniform takes numbers",
        "uniform(0,inf)": "uniform takes numbers",
        "8,16,8": "8 is there twice",
    }
    for text, said in wrong.items():
        with pytest.raises(BadConfig, match=said.replace("(", r"\(")) as raised:
            parse(text, "gen.width")
        assert (raised.value.section, raised.value.key) == ("gen", "width")
    with pytest.raises(BadConfig, match="no list of values and no range: 3"):
        space_of(3, "gen.width")
    with pytest.raises(BadConfig, match="True is there twice"):
        space_of([True, 1, True], "gen.width")


def test_draws_fill_their_range_evenly():
    """Each tenth of the range, on its own scale, has a tenth of the draws, within 5 deviations."""
    stream = random.Random(0)
    count = 4000
    scales = {
        Range("log", 1e-4, 1e-2): lambda x: math.log(x / 1e-4) / math.log(100),
        Range("uniform", -1.0, 3.0): lambda x: (x + 1) / 4,
        Range("int", 1, 10): lambda x: (x - 0.5) / 10,
    }
    for space, scale in scales.items():
        tenths = [0] * 10
        for _ in range(count):
            tenths[int(10 * scale(space.draw(stream)))] += 1
        most = 5 * math.sqrt(count * 0.1 * 0.9)
        assert all(abs(n - count / 10) < most for n in tenths), (space, tenths)
    drawn = Each((Range("uniform", 0, 1), 0.999)).draw(stream)
    assert 0 <= drawn[0] < 1 and drawn[1] == 0.999


def test_settings_are_every_combination_or_drawn_or_one_by_one():
    tries = {"gen.width": Choice((8, 16, 32)), "loss.name": Choice(("hinge", "wgan"))}
    every = setting_up.settings_of(tries, "every", 0, 0)
    assert len(every) == 6 and every[0] == {"gen.width": 8, "loss.name": "hinge"}
    assert len({str(s) for s in every}) == 6
    some = setting_up.settings_of(tries, "random", 4, 0)
    assert len({str(s) for s in some}) == 4 and all(s in every for s in some), "none twice"
    assert setting_up.settings_of(tries, "random", 9, 0) == every, "there are no more"
    alone = setting_up.settings_of(tries, "alone", 0, 0)
    assert alone[0] == {} and alone[1:] == [
        *({"gen.width": n} for n in (8, 16, 32)),
        *({"loss.name": name} for name in ("hinge", "wgan")),
    ]
    ranged = tries | {"optim.gen.lr": Range("log", 1e-4, 1e-2)}
    drawn = setting_up.settings_of(ranged, "random", 5, 0)
    assert drawn == setting_up.settings_of(ranged, "random", 9, 0)[:5], "more come after"
    assert drawn != setting_up.settings_of(ranged, "random", 5, 1)
    with pytest.raises(UsageError, match=r"has a range.*how many settings to draw"):
        setting_up.settings_of(ranged, "every", 0, 0)
    with pytest.raises(UsageError, match="a sweep has at most 10,000"):
        setting_up.settings_of({"train.batch_size": Choice(tuple(range(20_000)))}, "every", 0, 0)
    with pytest.raises(UsageError, match="fewer settings than that: 2 were found"):
        setting_up.settings_of({"gen.width": Range("int", 1, 2)}, "random", 9, 0)


def test_a_setting_is_laid_over_the_base():
    laid = setting_up.laid
    tree = laid(TREE, {"optim.gen.lr,optim.disc.lr": 1e-3, "loss.name": "wgan"}, {})
    assert tree["optim"]["gen"]["lr"] == tree["optim"]["disc"]["lr"] == 1e-3
    assert tree["loss"] == {"name": "wgan"}
    both = configuration.merge(TREE, {"reg": {"gp": {"weight": 3.0}, "r1": {}}})
    assert laid(both, {"reg": "gp"}, {})["reg"] == {"gp": {}}, "this one alone, as it comes"
    assert laid(both, {"reg": "none"}, {}).get("reg", {}) == {}
    two = {"r1": {"weight": 0.1}, "r2": {}}
    assert laid(both, {"reg": two}, {})["reg"] == two, "these alone, with their options"
    assert laid(both, {"reg.r1": False}, {})["reg"] == {"gp": {"weight": 3.0}}
    half = laid(TREE, {"train.batch_size": {"times": 0.5}}, {"train.batch_size": 65})
    assert half["train"]["batch_size"] == 32, "a whole number stays one"
    with pytest.raises(BadConfig, match="'gp' is not in this pipeline"):
        laid(TREE, {"reg.gp.weight": 1.0}, {})


def test_what_is_tried_is_said_as_a_person_reads_it():
    two = {"r1": {"weight": 0.1}, "r2": {}}
    said = page.tried({"loss.name": "hinge", "reg": two, "optim.gen.lr": {"times": 10.0}})
    assert said == "loss.name=hinge, reg=r1(weight=0.1)+r2, optim.gen.lr=x10"
    assert page.worded({"from": 1, "to": 0}) == "{'from': 1, 'to': 0}", "a number that moves"


def test_a_wrong_name_or_value_is_found_without_building_anything():
    registry = zoo().registry
    wrong = {
        "gen.widht": (8, "did you mean 'width'"),
        "disc.widht": (8, "did you mean 'width'"),  # of the generator's partner
        "reg": ({"r1": {"wieght": 1.0}}, "did you mean 'weight'"),
        "gen.width": ("many", "give a whole number|does not fit"),
        "loss.name": ("hinje", "did you mean 'hinge'"),
        "trian.batch_size": (8, "did you mean 'train'"),
        "train.batch_siz": (8, "did you mean 'batch_size'"),
        "optim.gen.learning": (0.1, "no option 'learning'"),
    }
    for key, (value, said) in wrong.items():
        with pytest.raises(UsageError, match=said):
            setting_up.check(setting_up.laid(TREE, {key: value}, {}), registry)
    moving = {"optim.gen.lr": {"from": 1e-3, "to": 1e-4}, "gen.width": 8}
    setting_up.check(setting_up.laid(TREE, moving, {}), registry)


def test_presets_have_the_papers_ranges():
    """Lucic et al. 2018, by what version 1 of their code draws from."""
    wide, narrow = presets.preset("lucic-wide"), presets.preset("lucic-narrow")
    rates = "optim.gen.lr,optim.disc.lr"
    assert (wide.draws, wide.seeds) == (100, 1) and (narrow.draws, narrow.seeds) == (50, 1)
    assert wide.tries[rates] == Range("log", 1e-5, 1e-2)
    assert narrow.tries[rates] == Range("log", 1e-4, 1e-3)
    assert wide.tries["train.n_critic"] == Choice((1, 5))
    assert wide.where["reg.gp.weight"] == Range("log", 0.1, 100.0)
    assert narrow.where["reg.gp.weight"] == Range("log", 0.1, 10.0)
    registry = zoo().registry
    for each in presets.presets():
        for keys in [*each.tries, *each.where]:
            for key in setting_up.keys_of(keys):
                if key.startswith("reg."):
                    _, name, option = key.split(".")
                    assert option in registry.get("regularizer", name).options()
    with pytest.raises(UsageError, match="did you mean 'lucic-wide'"):
        presets.preset("lucic-wyde")
