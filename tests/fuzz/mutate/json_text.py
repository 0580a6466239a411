"""JSON whose values, keys and nesting are not what they were."""

import copy
import json
import random

from tests.fuzz.mutate import text

_DEEP = "@deep@"
_ODD = (
    *(None, True, False, 0, -1, 1, 2.5, 2**31, 2**63, 2**64, 10**400, -(10**9), 10**9),
    *(1e308, -1e308, 5e-324, float("nan"), float("inf"), float("-inf")),
    *("", " ", "0", "\0", "\ud800", "x" * 5000, "../../x", "\x1b[2J\r\n", "\u00b2", "nan"),
    *([], {}, [[]], [None], {"": None}, [0] * 1000, {"kind": "cell"}, _DEEP),
)


def mutate(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    """A few changes to the tree that a file holds; now and then to its text instead."""
    if rng.random() < 0.1:
        return text.mutate(rng, content, others)
    return mutate_tree(rng, json.loads(content), [json.loads(other) for other in others[:4]])


def mutate_tree(rng: random.Random, tree, others: list) -> bytes:
    """The same of a tree that is parsed."""
    holder = [copy.deepcopy(tree)]
    for _ in range(rng.choice((1, 1, 2, 4))):
        places = list(_places(holder))
        if not places:
            break
        parent, key = rng.choice(places)
        change = rng.choice(_CHANGES)
        change(rng, parent, key, places, others)
    written = json.dumps(holder[0] if holder else None, ensure_ascii=rng.random() < 0.5)
    if _DEEP in written:
        depth = rng.choice((50, 990, 200_000))
        nest = rng.choice((("[", "]"), ('{"a":', "}")))
        written = written.replace(f'"{_DEEP}"', nest[0] * depth + "0" + nest[1] * depth)
    return written.encode("utf-8", "surrogatepass")


def _places(node):
    """Every place of a value: what holds it, and where."""
    rest = [node]
    while rest:
        holder = rest.pop()
        pairs = holder.items() if isinstance(holder, dict) else enumerate(holder)
        for key, value in pairs:
            yield holder, key
            if isinstance(value, dict | list):
                rest.append(value)


def _put_odd(rng, parent, key, places, others):
    parent[key] = copy.deepcopy(rng.choice(_ODD))


def _retype(rng, parent, key, places, others):
    value = parent[key]
    kinds = ([value], {"value": value}, str(value)[:5000], repr(value)[:5000], [value, value])
    parent[key] = rng.choice(kinds)


def _remove(rng, parent, key, places, others):
    del parent[key]


def _rename(rng, parent, key, places, others):
    if isinstance(parent, dict):
        names = [other for _, other in places if isinstance(other, str)]
        parent[rng.choice((*names, "", "\0", "__class__", key + " ", key.upper()))] = parent.pop(
            key
        )


def _scale(rng, parent, key, places, others):
    value = parent[key]
    if isinstance(value, int | float) and not isinstance(value, bool):
        # A whole number may be too large for a float.
        half = value + 0.5 if abs(value) < 1e300 else value
        parent[key] = rng.choice((-value, value + 1, value - 1, half, 0))
    elif isinstance(value, list) and value:
        parent[key] = value * rng.choice((2, 3, 100)) if len(value) < 100 else value[:1]
    elif isinstance(value, str):
        parent[key] = value[: rng.randrange(len(value) + 1)] + rng.choice(("", "x", "\n"))


def _exchange(rng, parent, key, places, others):
    other, place = rng.choice(places)
    parent[key], other[place] = copy.deepcopy(other[place]), copy.deepcopy(parent[key])


def _graft(rng, parent, key, places, others):
    other, place = rng.choice(list(_places([rng.choice(others)])))
    parent[key] = copy.deepcopy(other[place])


_CHANGES = (_put_odd, _put_odd, _put_odd, _retype, _remove, _remove, _rename, _scale, _scale)
_CHANGES += (_exchange, _graft)
