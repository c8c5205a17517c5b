"""Changes to bytes and to trees of values, drawn by a seeded
`random.Random`, and the extreme values that they put in.
"""

import contextlib
import copy
import json
import struct


class Raw(str):
    """Text that goes into JSON or TOML as it is, not as a string."""


def nested(depth, leaf=1, key=None):
    """Lists, or tables of one key, so many levels deep."""
    for _ in range(depth):
        leaf = [leaf] if key is None else {key: leaf}
    return leaf


# fmt: off
TEXTS = (
    "", "a" * 70_000, "\0", "\x1b[31mred\x1b[0m", "a\nb", "[bold]x[/bold]", "../../etc/passwd",
    "/etc", "~nobody-at-all/x", "x" * 5000, "\u202ereversed", "é", "os:system", "__import__('os')",
    "none", "auto", "10" * 300, "1.5M", "-1", "nan", "/dev/zero", "%s%n", "\x7f\x9b2J",
)
NUMBERS = (
    0, 1, -1, 2, 3, 7, 255, 65_536, 2**24, 2**31 - 1, 2**31, 2**40, 10**9, 2**62, 2**63 - 1, 2**63,
    2**64, 10**30, 10**400, -(10**30), 0.5, -0.0, 1e-300, 1e308,
)
RAWS = (
    Raw("1e999"), Raw("9" * 5000), Raw("-" + "9" * 5000), Raw("[" * 400 + "]" * 400),
    Raw("[" * 100_000), Raw(""),
)
JSON_RAWS = (
    *RAWS, Raw("NaN"), Raw("-Infinity"), Raw('"\\ud800"'), Raw('{"a": 1, "a": 2}'),
    Raw('{"a":' * 3000 + "1" + "}" * 3000), Raw("01"),
)
TOML_RAWS = (
    *RAWS, Raw("nan"), Raw("-inf"), Raw("0x" + "f" * 9000), Raw("1979-05-27T07:32:00Z"),
    Raw("07:32:00"), Raw("1979-13-99"), Raw("{a=" * 400 + "1" + "}" * 400), Raw('"""\nx"""'),
    Raw("0b1"), Raw("'"),
)
TABLES = (
    [], {}, [[]], [None], {"": 0}, [1, "a"], {"name": {"name": 1}}, list(range(2000)),
    {str(i): i for i in range(500)},
)
# fmt: on


def strange(chance, raws):
    """A value of any type, often extreme."""
    kind = chance.randrange(7)
    if kind == 0:
        return chance.choice((None, True, False))
    if kind == 1:
        return copy.deepcopy(chance.choice(TABLES))
    if kind == 2:
        return nested(chance.choice((3, 50, 200)), 1, chance.choice((None, "a")))
    return chance.choice((TEXTS, NUMBERS, NUMBERS, raws)[kind - 3])


def places(tree, found=None):
    """Every (container, key) of a tree."""
    found = [] if found is None else found
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)):
        found.append((tree, key))
        if isinstance(tree[key], dict | list):
            places(tree[key], found)
    return found


def mutate_tree(chance, tree, raws, keys=()):
    """A copy with one to three changes: values of other types
    and sizes, keys gone, renamed, added, nested, moved.
    """
    tree = copy.deepcopy(tree)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        found = places(tree)
        if not found:
            break
        owner, key = chance.choice(found)
        change = chance.randrange(8)
        if change <= 3:
            owner[key] = strange(chance, raws)
        elif change == 4:
            del owner[key]
        elif change == 5:
            value, new = owner[key], chance.choice((*keys, *TEXTS))
            if isinstance(owner, dict):
                del owner[key]
                owner[new] = value
            else:
                owner.append(value)
        elif change == 6:
            if isinstance(owner, dict):
                owner[chance.choice((*keys, *TEXTS))] = strange(chance, raws)
            else:
                owner.insert(key, strange(chance, raws))
        else:
            other, place = chance.choice(found)
            with contextlib.suppress(KeyError, IndexError):
                owner[key] = copy.deepcopy(other[place])
    return tree


def mutate_bytes(chance, content, low=0, high=None):
    """A copy with one to eight changes between two places: bits
    flipped, bytes set, cut, put in, doubled, ends cut off.
    """
    content = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        end = min(len(content), len(content) if high is None else high)
        if end <= low:
            break
        at = chance.randrange(low, end)
        length = chance.choice((1, 1, 2, 4, 8, 16, 200))
        change = chance.randrange(7)
        if change == 0:
            content[at] ^= 1 << chance.randrange(8)
        elif change == 1:
            content[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, 10, 34, 39, 46, 91, 93, 123, 125))
        elif change == 2:
            content[at : at + length] = b"\xff" * min(length, len(content) - at)
        elif change == 3:
            del content[at : at + length]
        elif change == 4:
            content[at:at] = bytes(chance.randrange(256) for _ in range(length))
        elif change == 5:
            other = chance.randrange(low, end)
            content[at:at] = content[other : other + length]
        elif chance.random() < 0.3:
            del content[at:]
        else:
            content[at : at + 8] = struct.pack("<Q", chance.choice(NUMBERS[:18]) % 2**64)[
                : len(content) - at
            ]
    return bytes(content)


def dump_json(tree):
    """JSON with Raw values as they are."""
    if isinstance(tree, Raw):
        return str(tree)
    if isinstance(tree, dict):
        return (
            "{" + ", ".join(f"{json.dumps(str(k))}: {dump_json(v)}" for k, v in tree.items()) + "}"
        )
    if isinstance(tree, list):
        return "[" + ", ".join(map(dump_json, tree)) + "]"
    return json.dumps(tree)


def dump_toml(value, top=True):
    """TOML with Raw values as they are; tables are written inline, or at the top under headers."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        if top:
            plain = "".join(
                f"{json.dumps(k)} = {dump_toml(v, False)}\n"
                for k, v in value.items()
                if not isinstance(v, dict)
            )
            tables = {k: v for k, v in value.items() if isinstance(v, dict)}
            return plain + "".join(
                f"[{json.dumps(k)}]\n"
                + "".join(f"{json.dumps(a)} = {dump_toml(b, False)}\n" for a, b in v.items())
                for k, v in tables.items()
            )
        return (
            "{"
            + ", ".join(f"{json.dumps(k)} = {dump_toml(v, False)}" for k, v in value.items())
            + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(dump_toml(v, False) for v in value) + "]"
    return json.dumps("" if value is None else value)


def text_of(dump, tree):
    """JSON or TOML, also of a tree that changes made too deep to write."""
    try:
        return dump(tree)
    except RecursionError:
        return "[" * 2000
