"""Two processes train as one does: the same batches, statistics, random numbers and weights."""

import pytest
import torch
from ranked import differences, run_ranks

from ganzoo.config import merge

TINY = {
    "gen": {"name": "mlp", "width": 8, "latent_dim": 4},
    "disc": {"name": "mlp", "width": 8},
    "data": {"name": "ring"},
    # Momentum without Adam's root, which makes a step of the rounding of a gradient that is 0.
    "optim": {"gen": {"name": "sgd", "lr": 0.05}, "disc": {"name": "sgd", "lr": 0.05}},
    # A trial by the clock would choose bf16 in one training and not in the next.
    "train": {"images": "64", "batch_size": 16, "precision": "fp32"},
    "loss": {"name": "hinge"},
}
PICTURES = {
    "gen": {"name": "dcgan", "width": 4, "latent_dim": 4},
    "disc": {"name": "dcgan", "width": 4},
    "data": {"name": "digits", "resolution": 8},
}
FEW = {
    "rpgan, lazy r1 and r2": {"loss": {"name": "rpgan"}, "reg": {"r1": {"every": 2}, "r2": {}}},
    "batch norm, dragan, clipping": {
        "gen": {"norm": "batch"},
        "reg": {"dragan": {}},
        "optim": {"gen": {"clip_norm": 0.01}},
    },
    "in parts": {"train": {"accumulate": 2}},
    "pictures, flips, diffaug": {**PICTURES, "aug": {"flip": {}, "diffaug": {}}},
}
MORE = {
    "hinge, gp": {"reg": {"gp": {}}},
    "ragan": {"loss": {"name": "ragan"}},
    "several critics": {"train": {"n_critic": 2}},
    "a larger batch of the generator": {"train": {"gen_batch": 32}},
    "at once": {"train": {"updates": "simultaneous"}},
    "lecam, topk": {"reg": {"lecam": {}, "topk": {}}},
    "mode-seeking": {"reg": {"mode-seeking": {}}},
    "minibatch discrimination": {"disc": {"minibatch": 4}},
    "pictures, dropout and r1": {**PICTURES, "disc": {"dropout": 0.3}, "reg": {"r1": {}}},
    "pictures, ada": {**PICTURES, "aug": {"ada": {"speed": 100}}},
}


COMPILED = {
    "compiled, ragan": {"loss": {"name": "ragan"}, "train": {"engine": "compiled"}},
    "compiled, batch norm": {"gen": {"norm": "batch"}, "train": {"engine": "compiled"}},
    "compiled, unrolled": {"reg": {"unrolled": {"steps": 2}}, "train": {"engine": "compiled"}},
    "compiled, batch norm of both nets": {
        **PICTURES,
        "data": {"name": "digits", "resolution": 16},
        "train": {"engine": "compiled"},
    },
}


@pytest.mark.parametrize(
    ("settings", "ranks"),
    [
        pytest.param(FEW, 2, id="few"),
        pytest.param(MORE, 2, id="more", marks=pytest.mark.slow),
        pytest.param({**FEW, **MORE}, 4, id="four", marks=pytest.mark.slow),
        pytest.param(COMPILED, 2, id="compiled", marks=pytest.mark.slow),
    ],
)
def test_ranks_train_as_one_process_does(tmp_path, settings, ranks):
    configs = [merge(TINY, each) for each in settings.values()]
    alone = run_ranks(configs, 1, tmp_path / "one")
    several = run_ranks(configs, ranks, tmp_path / "several")
    apart = {
        name: found
        for name, one, other in zip(settings, alone, several, strict=True)
        if (found := differences(one, other))
    }
    assert not apart
    # These are trainings that differ, and no comparison of nothing.
    moved = [state["generator/trunk.0.weight"] for state in alone[:2]]
    assert not torch.equal(*moved)
