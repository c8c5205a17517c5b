"""Which parts fit together, worked out from their traits by rules of its own: what a pipeline of
these parts must say besides their names, or why it is to be refused.
"""

import narrow

from ganzoo.components.traits import has, wants
from ganzoo.contracts import Discriminator, Spec

IMAGES_ONLY = ("cr", "bcr")
SMALL = ("dcgan", "mlp")  # what all losses and regularizers are tried with
HEADS = ("classify", "decoders")  # what a discriminator says of its features beside the logit
OF_FEATURES = ("featmatch", "d2dce", "infogan")


def parts_of(registry, loss, regs):
    """The classes of a loss and of regularizers."""
    return [registry.get("loss", loss), *(registry.get("regularizer", reg) for reg in regs)]


def wanted(registry, loss, regs, kind):
    """The traits that a loss and regularizers need of a kind, each with who needs it."""
    return [
        (part, trait)
        for part in parts_of(registry, loss, regs)
        for other, trait in wants(part.load())
        if other == kind
    ]


def offers(net, trait):
    """Whether a net has a trait, or options that give it."""
    return has(net, trait) or trait in net.adapts


def judge_for(registry, gen, loss, regs):
    """The discriminator to name: the generator's partner, or, where the loss needs another, that
    one.
    """
    partner = registry.get("generator", gen).load().partner
    traits = [t for _, t in wanted(registry, loss, (), "discriminator")]
    if all(offers(registry.get("discriminator", partner).load(), t) for t in traits):
        return partner
    able = [
        c.name
        for c in registry.components("discriminator")
        if c.distribution == "ganzoo" and all(offers(c.load(), t) for t in traits)
    ]
    return able[0]


def refusal(registry, gen, loss, regs, sort="image"):
    """What the error says where parts do not fit together; none where they do."""
    disc = judge_for(registry, gen, loss, regs)
    nets = {
        "generator": (gen, registry.get("generator", gen).load()),
        "discriminator": (disc, registry.get("discriminator", disc).load()),
        "loss": (loss, registry.get("loss", loss).load()),
    }
    for kind in ("discriminator", "loss", "generator"):
        name, net = nets[kind]
        for part, trait in wanted(registry, loss, regs, kind):
            # a loss has no options that give a trait; those of generators are left to the person
            if not (has(net, trait) if kind == "loss" else offers(net, trait)):
                section = "loss" if part.kind == "loss" else f"reg.{part.name}"
                return f"{section}.*needs a {kind} with the trait '{trait}', which {name} has not"
    for reg in regs:
        if reg == "unrolled" and wanted(registry, loss, (), "discriminator"):
            return "unrolls the logits of the discriminator, and the loss reads"
        heads = [t for _, t in wanted(registry, loss, regs, "discriminator") if t in HEADS]
        if reg == "gradnorm" and heads:
            return "hides the features that .* would read"
        if reg == "pathlen" and normed(registry, gen):
            return "takes the slope of single samples, and the generator's .*BatchNorm"
        if reg in IMAGES_ONLY and sort != "image":
            return f"mirrors and moves images, and these are {sort}"
        if reg in OF_FEATURES and nets["discriminator"][1].features is Discriminator.features:
            return "needs a discriminator that defines `features`"
    return None


def normed(registry, gen):
    """Whether a generator has batch norm."""
    spec = Spec((1, 16, 16), 3, {"image": Spec((1, 16, 16))})
    net = registry.get("generator", gen).create(spec)
    return any("BatchNorm" in type(module).__name__ for module in net.modules())


def layer(registry, gen, loss, regs):
    """The sections that say who plays, with the options of the generator that others need."""
    options = {}
    net = registry.get("generator", gen).load()
    for _, trait in wanted(registry, loss, regs, "generator"):
        options |= {} if has(net, trait) else net.adapts.get(trait, {})
    judge = judge_for(registry, gen, loss, regs)
    return {
        "gen": {"name": gen, **narrow.options(registry.get("generator", gen)), **options},
        "disc": {"name": judge, **narrow.options(registry.get("discriminator", judge))},
        "loss": {"name": loss},
        "reg": {name: narrow.options(registry.get("regularizer", name)) for name in regs},
        "given": {"mask": {}} if net.reads else {},
    }


def covering(registry):
    """(generator, loss, regularizers): every one of them at least once, in few pipelines: each loss
    with the regularizers of its share that fit, the others by themselves.
    """
    gens, losses, regs = (
        [c.name for c in registry.components(kind) if c.distribution == "ganzoo"]
        for kind in ("generator", "loss", "regularizer")
    )
    gens = [g for g in gens if "image" in registry.get("generator", g).load().modalities]
    yield from ((gen, "nonsat", ()) for gen in gens if gen not in SMALL)
    for number, loss in enumerate(losses):
        fit = [gen for gen in SMALL if refusal(registry, gen, loss, ()) is None]
        gen, own = fit[number % len(fit)], regs[number :: len(losses)]
        took = tuple(reg for reg in own if refusal(registry, gen, loss, (reg,)) is None)
        yield gen, loss, took
        for reg in own:
            if reg not in took:
                able = (
                    g for g in (*SMALL, *gens) if refusal(registry, g, "nonsat", (reg,)) is None
                )
                yield next(able), "nonsat", (reg,)
