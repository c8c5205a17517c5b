"""Several processes train as one does, with every loss, regularizer, augmentation, game, condition
and net that the registry lists: a new one is tried by itself, or is named here with what it needs.
"""

import fitting
import narrow
import pytest
from ranked import REGISTRY, differences, run_ranks

from ganzoo.config import merge

pytestmark = pytest.mark.slow
ROUNDS, BATCH = 4, 16
ROUNDING = 1e-9  # in float64, far above what was seen (1e-15), far below what a share leaves out
PICTURES = {"data": {"name": "digits", "resolution": 8}}
TRAIN = {"images": ROUNDS * BATCH, "batch_size": BATCH, "device": "cpu"}
TINY = {
    "optim": {"gen": {"name": "sgd", "lr": 0.01}, "disc": {"name": "sgd", "lr": 0.01}},
    "train": {**TRAIN, "engine": "eager", "precision": "fp32"},  # and no trial of bf16
}
NETS = {"gen": {"width": 8, "latent_dim": 12}, "disc": {"width": 8}}
TRANSLATING = {
    "gen": {"name": "unet", "width": 4, "latent_dim": 2, "depth": 2},
    "disc": {"name": "patch", "width": 4, "layers": 1},
}
LONGER = {"train": {"images": 2 * ROUNDS * BATCH}}
LONG = {"train": {**TRAIN, "images": 18 * BATCH}}  # the weight moves after 256 pairs
TUNED, TUNED_AT = ("r1", "r2"), {"tune": True, "weight": 1e3}
ENCODING = {"gen": {"name": "mlp"}, "disc": {"name": "mlp"}, "enc": {"width": 8}}
# What parts need to do something within a few rounds, or to be assembled at all.
NEEDED = {
    "loss began": {"loss": {"rate": 0.5}},
    "regularizer lecam": {"reg": {"lecam": {"start": 1, "decay": 0.5, "weight": 10.0}}},
    # the slope has to be above 1 somewhere
    "regularizer lgp": {"optim": {"disc": {"lr": 3.0}}},
    "regularizer topk": {"reg": {"topk": {"until": 0.3}}},
    "regularizer infogan": {"reg": {"infogan": {"categories": 4}}},
    # their probability moves after every fourth update
    "augmentation ada": {"aug": {"ada": {"speed": 100, "target": -0.9}}, **LONGER},
    "game apa": {"game": {"speed": 100, "target": -0.9}, **LONGER},
    "game autoencoder": ENCODING,
    "game bigan": ENCODING,
    "game cyclegan": {**TRANSLATING, "data": {"name": "two"}, "game": {"history": 12}},
    "game mng": {"game": {"levels": 2}},
}
# What several ranks do not train as one process does, and why. (Nothing now.)
APART: dict[str, str] = {}


def ours(kind):
    """The names of what is built in."""
    return [c.name for c in REGISTRY.components(kind) if c.distribution == "ganzoo"]


def small(loss="nonsat", regs=(), **sections):
    """A small pipeline of a loss and regularizers, with nets that fit them."""
    gens = (*fitting.SMALL, *ours("generator"))
    gen = next(g for g in gens if fitting.refusal(REGISTRY, g, loss, regs) is None)
    tree = merge({**TINY, **PICTURES}, fitting.layer(REGISTRY, gen, loss, regs))
    tree = merge(tree, NETS if gen in fitting.SMALL else {})
    return merge(tree, sections)


def larger(gen):
    """A generator and its partner on samples that have room for all their layers."""
    component = REGISTRY.get("generator", gen)
    layer = fitting.layer(REGISTRY, gen, "nonsat", ())
    size = {"width": 8} if gen in fitting.SMALL else narrow.options(component)
    data = (
        {"name": "digits", "resolution": 16}
        if "image" in component.load().modalities
        else {"name": "dirac"}
    )
    return merge(merge(TINY, layer), {"gen": size, "data": data})


def lazy(name):
    """A regularizer that acts in every other update, where it can be lazy."""
    return {"every": 2} if "every" in REGISTRY.get("regularizer", name).options() else {}


def cases():
    """Settings by what they are to try."""
    found = {f"loss {name}": small(name) for name in ours("loss")}
    for name in ours("regularizer"):
        found[f"regularizer {name}"] = small(regs=(name,), reg={name: lazy(name)})
    for name in TUNED:
        found[f"regularizer {name} tuned"] = small(regs=(name,), reg={name: TUNED_AT}, **LONG)
    for kind, section in (("augmentation", "aug"), ("condition", "given")):
        for name in ours(kind):
            nets = TRANSLATING if kind == "condition" else {}
            found[f"{kind} {name}"] = small(**{**nets, section: {name: {}}})
    found |= {f"game {name}": small(game={"name": name}) for name in ours("game")}
    found |= {f"generator {name}": larger(name) for name in ours("generator")}
    return {name: merge(tree, NEEDED.get(name, {})) for name, tree in found.items()}


def without(name, tree):
    """The same settings without the part that they are to try, if something is left."""
    kind, part = name.split()[:2]
    section = {"regularizer": "reg", "augmentation": "aug"}.get(kind)
    if section is None:
        return None
    return tree | {section: {other: v for other, v in tree[section].items() if other != part}}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What each training ends with in one process, by name."""
    folder = tmp_path_factory.mktemp("alone")
    ends = run_ranks([*cases().values()], 1, folder, timeout=600, exact=True)
    return dict(zip(cases(), ends, strict=True))


@pytest.mark.parametrize("ranks", [2, 4])
def test_every_part_trains_alike_on_several_ranks(tmp_path, alone, ranks):
    several = run_ranks([*cases().values()], ranks, tmp_path, timeout=900, exact=True)
    apart = {
        name: found
        for name, end in zip(cases(), several, strict=True)
        if (found := differences(alone[name], end, ROUNDING))
    }
    assert apart.keys() == APART.keys(), apart


def test_every_regularizer_and_augmentation_changes_what_is_trained(tmp_path, alone):
    """Otherwise nothing was compared."""
    plain = {name: less for name, tree in cases().items() if (less := without(name, tree))}
    found = run_ranks([*plain.values()], 1, tmp_path, timeout=600, exact=True)
    assert not [name for name, end in zip(plain, found, strict=True) if alike(alone[name], end)]


def alike(one, other):
    """Whether all weights that both trainings have are the same."""
    common = [name for name in one if name in other and one[name].shape == other[name].shape]
    ends = [{name: end[name] for name in common} for end in (one, other)]
    return not differences(*ends, ROUNDING)
