"""Games of several nets: what an update is made of, against sums written here; sections by role,
one optimizer a player, exact resume, files of every generator.
"""

import copy

import pytest
import recorded
import torch
from ganzoo_plugins.games.history import History
from one_graph import check_one_graph
from torch.nn.functional import softplus

import ganzoo
from ganzoo import config as configuration
from ganzoo.assembly.assembling import assemble
from ganzoo.components.loading import zoo
from ganzoo.components.registry import Component, Registry
from ganzoo.contracts import Batch, Dataset, Game, Turn, Update
from ganzoo.engine import capture
from ganzoo.engine.engine import Engine
from ganzoo.engine.losses import losses
from ganzoo.errors import BadConfig, BadFile, GanzooError, Incompatible, UsageError
from ganzoo.generate import generator_file
from ganzoo.spec import as_given
from ganzoo.training.loop import Training

STREAM = torch.Generator().manual_seed(0)
SIDE = 16


def pictures(count, channels=1):
    shape = (count, channels, SIDE, SIDE)
    return torch.randint(0, 256, shape, generator=STREAM, dtype=torch.uint8)


TWO = Dataset(pictures(48), others={"other": Dataset(pictures(40))})
PAIRS = Dataset(pictures(48), given={"image": pictures(48)})
POINTS = Dataset(torch.randn(400, 2, generator=STREAM))


class Thrice(Game):
    """The generator moves three times a round, and its samples are kept near zero."""

    def turns(self, n_critic, n_gen):
        return [Turn("discriminator"), *[Turn("generator", fresh=False)] * 3]

    def terms(self, update, steps):
        if update.side == "discriminator":
            return {}
        return {"size": 0.5 * steps[0].drawn.square().mean()}


REGISTRY = Registry(
    [
        *zoo().registry.components(),
        *(
            Component("dataset", name, lambda data=data: data, "tests", "tests", "0")
            for name, data in (("two", TWO), ("pairs", PAIRS), ("cloud", POINTS))
        ),
        Component("game", "thrice", Thrice, "tests", "tests", "0"),
    ]
)
SMALL = {
    "train": {"images": 96, "batch_size": 8, "device": "cpu", "precision": "fp32"},
    "average": {"half_life": 100},
    "log": {"images": 16},
}
UNET = {"gen": {"name": "unet", "width": 4, "latent_dim": 2, "depth": 2}}
PATCH = {"disc": {"name": "patch", "width": 4, "layers": 1}}
MLP = {"gen": {"name": "mlp", "width": 8, "latent_dim": 3}, "disc": {"width": 8}}
CASES = {
    "cyclegan": {
        "game": {"name": "cyclegan", "identity": 0.5, "history": 8},
        "data": {"name": "two"},
    }
    | UNET
    | PATCH,
    "bigan": {"game": {"name": "bigan"}, "data": {"name": "cloud"}, "enc": {"width": 8}} | MLP,
    "autoencoder": {"game": {"name": "autoencoder"}, "data": {"name": "cloud"}, "enc": {"width": 8}}
    | MLP,
    "pix2pix": {"data": {"name": "pairs"}} | UNET | PATCH,
    "thrice": {"game": {"name": "thrice"}, "data": {"name": "cloud"}} | MLP,
}


def pipeline(case, **layers):
    tree = configuration.defaults()
    for layer in (SMALL, CASES[case], layers):
        tree = configuration.merge(tree, layer)
    return assemble(configuration.check(tree), REGISTRY)


def whole(built, count=8):
    """A batch with all that comes with it, and latents."""
    data = built.dataset
    found = data.gather(torch.arange(count))
    others = {
        name: other.gather(torch.arange(count)).samples for name, other in data.others.items()
    }
    latents = built.parts.draw_latents(count, torch.Generator().manual_seed(5))
    return Batch(found.samples, None, None, {**found.given, **others}), latents


def total(built, side):
    """What a player minimises, in float64."""
    parts = copy.deepcopy(built.parts)
    for net in parts.nets.values():
        net.double()
    batch, latents = whole(built)
    given = {name: seen(each) for name, each in batch.given.items()}
    batch = batch._replace(samples=seen(batch.samples), given=given)
    torch.manual_seed(7)
    found = losses(parts, side)(batch, latents.double(), torch.zeros(()), ())
    return found[0], dict(zip(found[1], found[2].tolist(), strict=True)), parts, batch, latents


def first_of(net):
    """The logits of a net's only judge."""
    return lambda x: net(x)[0]


def seen(stored):
    return stored.double() / 127.5 - 1 if stored.dtype == torch.uint8 else stored.double()


def test_cyclegan_is_the_papers_sum():
    for side in ("discriminator", "generator"):
        found, report, parts, batch, latents = total(pipeline("cyclegan"), side)
        nets, z = parts.nets, latents.double()
        a, b = batch.given["other"], batch.samples
        fake_b, fake_a = nets["gen.ab"](z, image=a), nets["gen.ba"](z, image=b)
        judge_b, judge_a = first_of(nets["disc.b"]), first_of(nets["disc.a"])
        if side == "discriminator":
            wanted = sum(
                softplus(-judge(real)).mean() + softplus(judge(fake)).mean()
                for judge, real, fake in ((judge_b, b, fake_b), (judge_a, a, fake_a))
            )
        else:
            wanted = softplus(-judge_b(fake_b)).mean() + softplus(-judge_a(fake_a)).mean()
            back_a, back_b = nets["gen.ba"](z, image=fake_b), nets["gen.ab"](z, image=fake_a)
            cycle = (back_a - a).abs().mean() + (back_b - b).abs().mean()
            same_b, same_a = nets["gen.ab"](z, image=b), nets["gen.ba"](z, image=a)
            identity = (same_b - b).abs().mean() + (same_a - a).abs().mean()
            assert report["cycle"] == pytest.approx(10 * cycle.item())
            wanted = wanted + 10 * cycle + 5 * identity
        assert found.item() == pytest.approx(wanted.item(), rel=1e-10)


def test_a_history_gives_old_pictures_half_of_the_time_and_keeps_the_new_ones():
    torch.manual_seed(0)
    history, count, old = History((1,), 6), 4, torch.zeros(0)
    for number in range(60):
        fresh = number * count + torch.arange(1.0, count + 1)[:, None]
        before = history.kept.clone()
        found = history(fresh)
        assert torch.equal(history.kept, before), "it moves after the update"
        history.move()
        came_back = found != fresh
        if number == 0:
            assert torch.equal(found, fresh) and torch.equal(history.kept[:4], fresh)
        elif number == 1:  # two places are left
            assert torch.equal(found, fresh) and torch.equal(history.kept[4:], fresh[:2])
        else:
            left = {*before.flatten().tolist()} - {*history.kept.flatten().tolist()}
            assert left == {*found[came_back].tolist()}, "an old one leaves as it is seen"
            assert len(left) == int(came_back.sum())
            old = torch.cat([old, came_back.float()[:, 0]])
    assert int(history.filled) == 6 and old.mean() == pytest.approx(0.5, abs=0.1)
    assert len(history(torch.ones(9, 1))) == 9


def test_cyclegans_discriminators_see_pictures_of_earlier_updates():
    """By hand: what the first one's history gives for what the translator draws."""
    built = pipeline("cyclegan", game={"history": 8})
    training = Training(built)
    training.run()
    parts, (batch, latents) = built.parts, whole(built)
    history = copy.deepcopy(parts.game.histories["ab"])
    assert int(history.filled) == 8 and history.kept.any()
    assert "histories.ab.kept" in parts.game.state_dict()
    update = Update("discriminator", parts.nets, batch, latents)
    torch.manual_seed(3)
    seen_ = parts.game.steps(update)[0].drawn
    with torch.no_grad():
        drawn = parts.nets["gen.ab"](latents, image=as_given(batch.given)["other"])
    torch.manual_seed(3)
    assert torch.equal(seen_, history(drawn)) and not torch.equal(seen_, drawn)
    check_one_graph(built, batch, latents, sides=("discriminator",))


def test_bigan_judges_pairs_and_moves_the_encoder_the_other_way():
    for side in ("discriminator", "generator"):
        found, _, parts, batch, latents = total(pipeline("bigan", loss={"name": "wgan"}), side)
        nets, z = parts.nets, latents.double()
        real = torch.cat([batch.samples, nets["enc"](batch.samples)[:, 0]], 1)
        fake = torch.cat([nets["gen"](z), z], 1)
        judge = nets["disc"]
        apart = judge(fake).mean() - judge(real).mean()
        # the critic minimises fake - real; the others, together, maximise it
        wanted = apart if side == "discriminator" else -apart
        assert found.item() == pytest.approx(wanted.item(), rel=1e-10)
        if side == "generator":
            parts.generator.zero_grad()
            found.backward()
            mine = [p.grad.clone() for p in nets["enc"].parameters()]
            nets["enc"].zero_grad()
            wanted.backward()
            for one, p in zip(mine, nets["enc"].parameters(), strict=True):
                torch.testing.assert_close(one, p.grad, rtol=1e-9, atol=1e-12)


def test_an_autoencoder_adds_reconstruction_and_divergence():
    for side in ("discriminator", "generator"):
        found, report, parts, batch, latents = total(pipeline("autoencoder"), side)
        nets, x, z = parts.nets, batch.samples, latents.double()
        mean, log_variance = nets["enc"](x).unbind(1)
        torch.manual_seed(7)
        codes = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        drawn, again = nets["gen"](z), nets["gen"](codes)
        judge = nets["disc"]
        if side == "discriminator":
            wanted = softplus(-judge(x)).mean()
            wanted = wanted + (softplus(judge(drawn)).mean() + softplus(judge(again)).mean()) / 2
        else:
            fooled = (softplus(-judge(drawn)).mean() + softplus(-judge(again)).mean()) / 2
            normal = torch.distributions.Normal
            prior = normal(torch.zeros_like(mean), torch.ones_like(mean))
            own = normal(mean, (log_variance / 2).exp())
            apart = torch.distributions.kl_divergence(own, prior).mean()
            wanted = fooled + 10 * (again - x).square().mean() + 0.1 * apart
            assert report["divergence"] == pytest.approx(0.1 * apart.item())
        assert found.item() == pytest.approx(wanted.item(), rel=1e-10)


def test_a_translator_and_its_judge_see_what_is_given():
    built = pipeline("pix2pix")
    for side in ("discriminator", "generator"):
        found, _, parts, batch, latents = total(built, side)
        image, nets = batch.given["image"], parts.nets
        fake = nets["gen"](latents.double(), image=image)

        def judge(x, net=nets["disc"], image=image):
            return net(x, image=image)[0]

        wanted = softplus(-judge(fake)).mean()
        if side == "discriminator":
            wanted = softplus(-judge(batch.samples)).mean() + softplus(judge(fake)).mean()
        assert found.item() == pytest.approx(wanted.item(), rel=1e-10)


@pytest.mark.parametrize("case", CASES)
def test_an_update_moves_all_nets_of_its_player_and_no_other(case):
    built = pipeline(case)
    parts = built.parts
    engine = Engine(
        parts, built.optimizers, dict.fromkeys(built.optimizers, (0, 0)), "eager", torch.zeros(())
    )
    for side in ("discriminator", "generator"):
        before = copy.deepcopy(parts.nets)
        engine.update(side, *whole(built), 0)
        for role, net in parts.nets.items():
            old = before[role].state_dict()
            moved = any(not torch.equal(v, old[k]) for k, v in net.state_dict().items())
            assert moved == (role in parts.nets_of(side)), (side, role)


def state(training):
    found = training.state_dict()
    return {
        f"{group}.{name}": value.clone()
        for group, content in found.items()
        for name, value in content.items()
        if isinstance(value, torch.Tensor)
    }


@pytest.mark.parametrize("engine", ["eager", "captured"])
@pytest.mark.parametrize("case", CASES)
def test_resumes_bit_for_bit(case, engine, monkeypatch):
    if engine == "captured":
        monkeypatch.setattr(capture, "cuda", recorded.Cuda())
        monkeypatch.setattr(torch, "compile", lambda function, **_: function)
        back = lambda self, random_state: torch.set_rng_state(random_state)  # noqa: E731
        monkeypatch.setattr(capture.Recorder, "_forget_recording", back)

    def begin():
        built = pipeline(case)
        built.engine = engine
        return Training(built)

    torch.manual_seed(1)
    one, middle = begin(), {}

    def tick(images):
        if images == 48:
            content = one.state_dict()
            middle.update(copy.deepcopy(content), rng=torch.get_rng_state())

    one.tick = tick
    one.run()
    assert one.engine.mode == engine
    two = begin()
    random_state = middle.pop("rng")
    two.load_state_dict(middle)
    torch.set_rng_state(random_state)
    two.run()
    first, second = state(one), state(two)
    assert first.keys() == second.keys() and len(first) > 20
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_role_has_a_table_of_its_own():
    built = pipeline("cyclegan", gen={"ba": {"width": 2}}, disc={"a": {"scales": 2}})
    nets = built.parts.nets
    assert nets["gen.ab"].last.weight.shape != nets["gen.ba"].last.weight.shape
    assert len(nets["disc.a"].judges) == 2 and len(nets["disc.b"].judges) == 1
    tree = built.config.tree()
    assert tree["gen"]["ba"]["width"] == 2 and tree["gen"]["ab"]["width"] == 4
    again = assemble(configuration.check(tree), REGISTRY)
    shapes = [[p.shape for p in made.parts.generator.parameters()] for made in (built, again)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    ("case", "layers", "words"),
    [
        ("cyclegan", {"gen": {"xy": {"width": 2}}}, "gen.xy = no such role"),
        ("cyclegan", {"data": {"name": "pairs"}}, "needs two sets of samples"),
        ("bigan", {"enc": {"latent_dim": 7}}, "must be 3 in this game"),
        ("pix2pix", {"data": {"name": "cloud"}}, "handles image data"),
        ("bigan", {"game": {"name": "gan"}, "gen": {"ba": {"width": 2}}}, "no such role"),
    ],
)
def test_what_a_game_cannot_use_is_one_line(case, layers, words):
    with pytest.raises((Incompatible, BadConfig)) as caught:
        pipeline(case, **layers)
    assert words in str(caught.value) or words.partition(" = ")[2] in str(caught.value)
    assert "\n" not in str(caught.value) and isinstance(caught.value, GanzooError)


def test_turns_and_generator_updates():
    built = pipeline("thrice")
    training, seen_sides = Training(built), []
    update = training.engine.update
    training.engine.update = lambda side, *rest: seen_sides.append(side) or update(side, *rest)
    training.run()
    assert training.images == 96 and training.updates == 12
    assert seen_sides == ["discriminator", *["generator"] * 3] * 12


def test_n_gen_is_so_many_updates_of_the_generator():
    built = pipeline("bigan", train={"n_gen": 2, "n_critic": 2})
    training, numbers = Training(built), []
    update = training.engine.update
    training.engine.update = lambda side, batch, z, n, *m: (
        numbers.append((side[0], n)) or update(side, batch, z, n, *m)
    )
    training.run()
    assert numbers[:8] == [
        ("d", 0), ("d", 1), ("g", 0), ("g", 1), ("d", 2), ("d", 3), ("g", 2), ("g", 3)
    ]  # fmt: skip
    assert training.images == 96 and training.updates == 6


def test_simultaneous_updates_are_each_against_the_other_as_it_was():
    """By plain gradient descent: both gradients are taken at the weights before either step."""
    sgd = {"name": "sgd", "lr": 0.1, "momentum": 0.0}
    layers = {"optim": {"gen": sgd, "disc": sgd}, "train": {"updates": "simultaneous", "images": 8}}
    built = pipeline("thrice", **layers, game={"name": "gan"})
    before = copy.deepcopy(built.parts)
    training, given = Training(built), {}
    together = training.engine.together
    training.engine.together = lambda waiting, *m: (
        given.update(all=waiting) or together(waiting, *m)
    )
    training.run()
    for side, batch, latents, _ in given["all"]:
        net, old = built.parts.net(side), before.net(side)
        value = losses(before, side)(batch, latents, torch.zeros(()), ())[0]
        gradients = torch.autograd.grad(value, list(old.parameters()))
        for new, p, g in zip(net.parameters(), old.parameters(), gradients, strict=True):
            torch.testing.assert_close(new, p - 0.1 * g, rtol=1e-5, atol=1e-7)


def test_simultaneous_updates_are_one_of_each_player():
    with pytest.raises(Incompatible, match="one of each player"):
        pipeline("thrice", train={"updates": "simultaneous", "n_critic": 2})


def test_every_generator_of_a_game_has_a_file(tmp_path):
    built = pipeline("cyclegan")
    Training(built, tmp_path).run()
    first = ganzoo.load(tmp_path)
    second = ganzoo.load(tmp_path / "generator.ba.safetensors")
    averaged = built.average.net.by_role()
    image = torch.rand(3, 1, SIDE, SIDE) * 2 - 1
    for loaded, role in ((first, "gen.ab"), (second, "gen.ba")):
        drawn = loaded.sample(3, seed=4, given={"image": image})
        latents = loaded.net.draw_latents(3, torch.Generator().manual_seed(4))
        with torch.no_grad():
            wanted = averaged[role].eval()(latents, image=image)
        torch.testing.assert_close(drawn, wanted, rtol=1e-5, atol=1e-6)
        assert loaded.header.component == "unet"
        with pytest.raises(GanzooError, match="reads 'image'"):
            loaded.sample(3)


@pytest.mark.parametrize("case", ["bigan", "autoencoder"])
def test_an_encoder_has_a_file_beside_the_generators(case, tmp_path):
    built = pipeline(case, train={"images": 16})
    Training(built, tmp_path).run()
    encoder = ganzoo.load_encoder(tmp_path)
    samples = POINTS.samples[:5]
    mean, log_variance = encoder.encode(samples)
    with torch.no_grad():
        wanted = built.average.net.by_role()["enc"].eval()(samples)
    torch.testing.assert_close(torch.stack([mean, log_variance], 1), wanted)
    generator = ganzoo.load(tmp_path)
    assert mean.shape[1] == generator.net.latent_dim
    assert encoder.header.format == generator_file.ENCODING
    assert generator.header.format == generator_file.FORMAT
    assert "LoadedEncoder(mlp of ganzoo" in repr(encoder)
    file = tmp_path / "generator.enc.safetensors"
    generator_file.generator_writer(built, 16, {"frechet": 1.0})(tmp_path / "scored.safetensors")
    assert ganzoo.load(tmp_path / "scored.safetensors").header.scores == {"frechet": 1.0}
    assert not ganzoo.load_encoder(tmp_path / "scored.enc.safetensors").header.scores
    with pytest.raises(BadFile, match="holds an encoder"):
        ganzoo.load(file)
    with pytest.raises(BadFile, match="holds a generator"):
        ganzoo.load_encoder(tmp_path / "generator.safetensors")
    with pytest.raises(GanzooError, match="no run or generator file there"):
        ganzoo.load_encoder(tmp_path / "nothing")
    with pytest.raises(UsageError, match="reads samples"):
        encoder.encode(samples[:, :1])
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(BadFile, match="damaged"):
        ganzoo.load_encoder(file)
    file.unlink()
    (tmp_path / "run.toml").touch()
    with pytest.raises(GanzooError, match=r"has no generator\.enc\.safetensors: its game has no"):
        ganzoo.load_encoder(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["cyclegan", "bigan", "autoencoder", "pix2pix"])
def test_every_loss_and_regularizer_trains_in_every_game_or_is_one_line(case):
    trained = []
    layers = [{"reg": {each.name: {}}} for each in REGISTRY.components("regularizer")]
    layers += [{"loss": {"name": each.name}} for each in REGISTRY.components("loss")]
    for layer in layers:
        try:
            built = pipeline(case, train={"images": 32}, **layer)
        except Incompatible as error:
            assert "\n" not in str(error)
            continue
        Training(built).run()
        nets = built.parts.nets.values()
        assert all(p.isfinite().all() for net in nets for p in net.parameters())
        trained.append(layer)
    assert len(trained) > 0.7 * len(layers)
