"""Loading plugins: what is sound is there with its owner,
what is broken is one line, and neither stops the other.
"""

import sys
import textwrap
from importlib.metadata import entry_points

import pytest
from parts.fakes import entries

import ganzoo
from ganzoo.components import loading as plugins
from ganzoo.components.kinds import KINDS
from ganzoo.components.registry import Component, Registry
from ganzoo.errors import AmbiguousComponent, UnknownComponent

SOUND = """
    class {name}(Loss):
        '''The loss called {name}. And more about it.'''
        def discriminator(self, step): return step.fake_logits.mean()
        def generator(self, step): return -step.fake_logits.mean()
"""
HEADER = """
    from ganzoo import hookimpl
    from ganzoo.contracts import Loss, Regularizer
"""


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A function that installs a module as a plugin
    of a distribution, and returns its entry points.
    """
    monkeypatch.syspath_prepend(str(tmp_path))
    modules = set(sys.modules)

    def install(distribution, module, code, version="1.0"):
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(HEADER) + textwrap.dedent(code))
        return entries(tmp_path, distribution, {module.rpartition("_")[2]: module}, version)

    yield install
    for module in sys.modules.keys() - modules:
        if module.startswith("plug_"):
            del sys.modules[module]


def sound(distribution, name, site, module, version="1.0"):
    code = (
        SOUND.format(name=name.title())
        + f"""
    @hookimpl
    def register_losses(register): register("{name}", {name.title()}, paper="arXiv:0000.00000")
    """
    )
    return site(distribution, module, code, version)


def test_a_component_knows_who_ships_it(site):
    zoo = plugins.load(sound("ganzoo-one", "softer", site, "plug_one", "2.5"))
    found = zoo.registry.get("loss", "softer")
    assert (found.distribution, found.plugin, found.version) == ("ganzoo-one", "one", "2.5")
    assert found.summary == "The loss called Softer" and found.paper == "arXiv:0000.00000"
    assert zoo.broken == [] and [p.who for p in zoo.plugins] == ["ganzoo-one:one"]


def test_one_name_from_two_plugins_is_refused_and_the_qualified_forms_work(site):
    zoo = plugins.load(
        [
            *sound("ganzoo-one", "softer", site, "plug_one"),
            *sound("ganzoo-two", "softer", site, "plug_two"),
        ]
    )
    with pytest.raises(AmbiguousComponent) as caught:
        zoo.registry.get("loss", "softer")
    assert str(caught.value) == (
        "loss 'softer' is offered by ganzoo-one:one and ganzoo-two:two: write ganzoo-one/softer "
        "or ganzoo-two/softer"
    )
    for owner in ("one", "two"):
        for form in (f"ganzoo-{owner}/softer", f"{owner}/softer", f"ganzoo-{owner}:{owner}/softer"):
            assert zoo.registry.get("loss", form).plugin == owner


def test_two_plugins_of_one_distribution_are_told_apart():
    both = [Component("loss", "softer", int, plugin, "ganzoo-one", "1") for plugin in ("a", "b")]
    registry = Registry(both)
    with pytest.raises(
        AmbiguousComponent, match="write ganzoo-one:a/softer or ganzoo-one:b/softer"
    ):
        registry.get("loss", "softer")
    assert registry.get("loss", "ganzoo-one:b/softer") is both[1]


def test_a_third_party_cannot_take_a_built_in_name_in_silence(site):
    code = (
        SOUND.format(name="Mine")
        + """
    @hookimpl
    def register_losses(register): register("hinge", Mine)
    """
    )
    registry = plugins.load(
        [*entry_points(group=plugins.GROUP), *site("ganzoo-one", "plug_one", code)]
    ).registry
    with pytest.raises(
        AmbiguousComponent,
        match=r"ganzoo:losses and ganzoo-one:one: write ganzoo/hinge or ganzoo-one/hinge",
    ):
        registry.get("loss", "hinge")
    assert registry.get("loss", "ganzoo/hinge").distribution == "ganzoo"


BROKEN = {
    "raises": ("raise RuntimeError('no engine')", "RuntimeError: no engine"),
    "exits": ("import sys; sys.exit('gone')", "SystemExit: gone"),
    "missing": ("import no_such_module_anywhere", "No module named 'no_such_module_anywhere'"),
    "syntax": ("def (", "SyntaxError"),
    "lines": ("raise ValueError('one\\ntwo \\x1b[31mred')", "ValueError: one two [31mred"),
    "misspelt": (
        "@hookimpl\n    def register_loses(register): pass",
        "unknown hook 'register_loses'",
    ),
    "arguments": ("@hookimpl\n    def register_losses(registry): pass", "registry"),
    "hook": ("@hookimpl\n    def register_losses(register): raise KeyError('x')", "KeyError"),
    "rubbish": (
        "@hookimpl\n    def register_losses(register): register('odd', 3)",
        "loss 'odd': 3 is no class, function or dotted",
    ),
    "name": (
        "@hookimpl\n    def register_losses(register): register('Not A Name', Loss)",
        "loss name 'Not A Name': use lower-case",
    ),
    "about": (
        "@hookimpl\n    def register_losses(register): register('odd', Loss, color='red')",
        "about takes summary and paper, and of data recipe",
    ),
    "recipe": ("@hookimpl\n    def register_recipes(register): register('odd', 3)", "recipe 'odd'"),
    "twice": (
        "@hookimpl\n    def register_losses(register): register('odd', Loss); register('odd', "
        "Loss)",
        "registered twice",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plugin_is_one_reason_and_stops_no_other(site, case):
    code, reason = BROKEN[case]
    zoo = plugins.load(
        [
            *sound("ganzoo-before", "before", site, "plug_before"),
            *site("ganzoo-broken", f"plug_{case}", "    " + code),
            *sound("ganzoo-later", "later", site, "plug_later"),
        ]
    )
    assert [p.who for p in zoo.broken] == [f"ganzoo-broken:{case}"]
    broken = zoo.broken[0]
    assert reason in broken.broken and broken.broken.isprintable()
    assert broken.components == [] and broken.version == "1.0"
    assert [c.name for c in zoo.registry.components()] == ["before", "later"]


def test_what_a_plugin_registered_before_it_broke_is_taken_back(site):
    code = (
        SOUND.format(name="Half")
        + """
    @hookimpl
    def register_losses(register): register("half", Half)
    @hookimpl
    def register_regularizers(register):
        register("half", Half)
        raise RuntimeError("midway")
    """
    )
    zoo = plugins.load(site("ganzoo-half", "plug_half", code))
    assert zoo.broken[0].broken == "RuntimeError: midway" and zoo.registry.components() == []
    with pytest.raises(UnknownComponent):
        zoo.registry.get("loss", "half")


@pytest.mark.parametrize(
    ("requires", "broken"),
    [
        (
            ["ganzoo>=0.2,<0.3"],
            "it is for ganzoo <0.3,>=0.2, and this is ganzoo 0.1.7; install a version of "
            "ganzoo-for for it",
        ),
        (["numpy", "Ganzoo (<0.1)"], "it is for ganzoo <0.1, and this is ganzoo 0.1.7"),
        (["ganzoo[dev]==0.1.6"], "it is for ganzoo ==0.1.6"),
        (["ganzoo>=0.1,<0.2"], ""),
        (["ganzoo"], ""),
        ([], ""),
        (["ganzoo-other<0.1"], ""),
        (["ganzoo<0.1; extra == 'old'"], ""),
        (["ganzoo<0.1; python_version < '3'"], ""),
        (["ganzoo is what it wants"], ""),
    ],
)
def test_a_plugin_for_another_ganzoo_is_broken_with_that_reason(
    requires, broken, site, tmp_path, monkeypatch
):
    monkeypatch.setattr(plugins, "__version__", "0.1.7")
    sound("ganzoo-one", "softer", site, "plug_one")
    zoo = plugins.load(entries(tmp_path, "ganzoo-for", {"for": "plug_one"}, requires=requires))
    assert zoo.plugins[0].broken.startswith(broken) and bool(zoo.broken) == bool(broken)
    assert len(zoo.registry.components()) == (0 if broken else 1)


@pytest.mark.parametrize(
    ("version", "broken"),
    [("0.2.0.dev3", False), ("0.2.0rc1+local", False), ("0.3.0", True), ("0+unknown", False)],
)
def test_versions_before_a_release_count_for_it(version, broken, site, tmp_path, monkeypatch):
    monkeypatch.setattr(plugins, "__version__", version)
    sound("ganzoo-one", "softer", site, "plug_one")
    zoo = plugins.load(
        entries(tmp_path, "ganzoo-for", {"for": "plug_one"}, requires=["ganzoo>=0.2.0.dev1,<0.3"])
    )
    assert bool(zoo.broken) == broken


@pytest.mark.parametrize(
    ("hook", "hint"),
    [
        ("register_lossses", "did you mean 'register_losses'?"),
        ("register_samplers", "a newer ganzoo may have it"),
    ],
)
def test_an_unknown_hook_is_said_by_name(hook, hint, site):
    zoo = plugins.load(
        site(
            "ganzoo-odd",
            "plug_odd",
            f"@hookimpl\n    def {hook}(register): pass".replace("@", "    @", 1),
        )
    )
    assert zoo.broken[0].broken == f"unknown hook {hook!r} in ganzoo {ganzoo.__version__}; {hint}"


def test_a_hook_of_another_version_may_be_marked_as_optional(site):
    code = """
    @hookimpl(optionalhook=True)
    def register_samplers(register):
        raise RuntimeError("not called by a ganzoo that has no such hook")
    """
    assert plugins.load(site("ganzoo-both", "plug_both", code)).broken == []


def test_a_plugin_that_fails_to_register_does_not_spoil_those_after_it(site):
    """Half of this one is registered when its second hook is refused."""
    code = """
    @hookimpl
    def register_generaters(register): pass
    @hookimpl
    def register_losses(registry): pass
    """
    zoo = plugins.load(
        [*site("ganzoo-a", "plug_a", code), *sound("ganzoo-later", "later", site, "plug_later")]
    )
    assert [p.who for p in zoo.broken] == ["ganzoo-a:a"] and zoo.registry.get("loss", "later")


def test_metadata_without_a_name_breaks_nothing(site, tmp_path):
    found = sound("ganzoo-one", "softer", site, "plug_one")
    (tmp_path / "ganzoo_one-1.0.dist-info" / "METADATA").write_text("nothing of use")
    zoo = plugins.load([*found, *sound("ganzoo-two", "harder", site, "plug_two")])
    assert {p.distribution for p in zoo.plugins} == {"unknown", "ganzoo-two"}
    assert {c.name for c in zoo.registry.components()} == {"softer", "harder"}


def test_an_entry_point_to_nowhere_is_broken(tmp_path):
    zoo = plugins.load(entries(tmp_path, "ganzoo-nowhere", {"nowhere": "ganzoo_nowhere_at_all"}))
    assert "No module named 'ganzoo_nowhere_at_all'" in zoo.broken[0].broken


def test_a_plugin_that_registers_nothing_is_no_error(site):
    zoo = plugins.load(site("ganzoo-idle", "plug_idle", ""))
    assert zoo.broken == [] and zoo.plugins[0].components == []


def test_two_distributions_may_use_one_entry_point_name(tmp_path, site):
    first = sound("ganzoo-one", "softer", site, "plug_same")
    (tmp_path / "other.py").write_text(
        (tmp_path / "plug_same.py").read_text().replace("softer", "harder")
    )
    zoo = plugins.load([*first, *entries(tmp_path, "ganzoo-two", {"same": "other"})])
    assert [c.name for c in zoo.registry.components("loss")] == [
        "harder",
        "softer",
    ] and zoo.broken == []


def test_an_entry_point_listed_twice_is_loaded_once(site):
    found = sound("ganzoo-one", "softer", site, "plug_one")
    zoo = plugins.load([*found, *found])
    assert len(zoo.plugins) == 1 and zoo.registry.get("loss", "softer")


def test_the_environment_narrows_what_is_loaded(site, monkeypatch):
    found = [
        *sound("ganzoo-one", "softer", site, "plug_one"),
        *sound("ganzoo-two", "harder", site, "plug_two"),
    ]
    monkeypatch.setenv("GANZOO_LOAD_PLUGINS", "ganzoo-two, ganzoo-three")
    zoo = plugins.load([*entry_points(group=plugins.GROUP), *found])
    assert {p.distribution for p in zoo.plugins} == {"ganzoo", "ganzoo-two"}
    monkeypatch.setenv("GANZOO_LOAD_PLUGINS", "")
    assert {
        p.distribution for p in plugins.load([*entry_points(group=plugins.GROUP), *found]).plugins
    } == {"ganzoo"}


def test_a_component_that_cannot_be_imported_is_broken_when_used_only(site):
    code = """
    @hookimpl
    def register_losses(register): register("late", "no_such_module:Late")
    """
    zoo = plugins.load(site("ganzoo-late", "plug_late", code))
    assert zoo.broken == [] and zoo.registry.get("loss", "late").summary == ""
    with pytest.raises(
        Exception, match=r"loss 'late' of ganzoo-late:late cannot be imported: ModuleNotFoundError"
    ):
        zoo.registry.create("loss", "late")


@pytest.mark.parametrize(
    ("kind", "name", "hint"),
    [
        ("loss", "hinges", "did you mean 'hinge'?"),
        ("loss", "zzz", "installed: began, ebgan, hinge, lsgan"),
        ("lose", "hinge", "no kind 'lose'; did you mean 'loss'?"),
    ],
)
def test_an_unknown_name_says_what_there_is(kind, name, hint):
    with pytest.raises(UnknownComponent, match=hint.replace("?", r"\?")):
        plugins.zoo().registry.get(kind, name)


def test_the_catalogue_says_what_to_install(monkeypatch):
    known = {"plugins": {"big": {"distribution": "ganzoo-biggan", "generators": ["hugegan"]}}}
    monkeypatch.setattr("ganzoo.components.catalogue.catalogue", lambda: known)
    with pytest.raises(
        UnknownComponent,
        match="no generator named 'hugegan'; it is in ganzoo-biggan: pip install ganzoo-biggan",
    ):
        plugins.zoo().registry.get("generator", "hugegan")


def test_without_any_plugin_the_reason_is_said():
    with pytest.raises(
        UnknownComponent, match="no plugin is loaded, not even ganzoo's own: pip install it"
    ):
        Registry().get("loss", "zzz")


def test_every_kind_has_a_hook():
    from ganzoo.components.hooks import Hooks

    hooks = {name: hook for name, hook in vars(Hooks).items() if name.startswith("register_")}
    assert hooks.keys() == {f"register_{kind.plural}" for kind in KINDS.values()}
    for kind in KINDS.values():
        assert kind.offers in getattr(Hooks, kind.hook).__doc__
