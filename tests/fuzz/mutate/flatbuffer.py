"""TFLite's flatbuffers: where their numbers, offsets and lengths stand, and other ones there."""

import copy
import functools
import random

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from care_keras.tflite_file import verifier
from care_keras.tflite_file.writer import pack
from tests.fuzz.mutate import binary

_NUMBERS = (-2, -1, 0, 1, 2, 3, 4, 7, 99, 127, 128, 255, 1000, 2**15, 2**20, 2**31 - 1)


class _Sites(verifier._Verifier):
    """Notes every place that the library's own check looks at: `(position, bytes)`."""

    def __init__(self, data):
        super().__init__(data, verifier.Budget(len(data)))
        self.found = {(0, 4): None}

    def table(self, position, name):
        back = int.from_bytes(self._data[position : position + 4], "little", signed=True)
        vtable = position - back
        size = int.from_bytes(self._data[vtable : vtable + 2], "little")
        self.found[position, 4] = None
        self.found |= {(vtable + place, 2): None for place in range(0, size, 2)}
        super().table(position, name)

    def _field(self, position, end, kind):
        scalar = isinstance(kind, verifier._Scalar)
        self.found[position, kind.size if scalar else 4] = None
        if isinstance(kind, verifier._Vector | verifier._Tables):
            target = position + int.from_bytes(self._data[position : position + 4], "little")
            self.found[target, 4] = None
            item = kind.item_size if isinstance(kind, verifier._Vector) else 4
            self.found |= {(target + 4 + item * place, item): None for place in range(4)}
        super()._field(position, end, kind)


@functools.lru_cache(64)
def _sites(content):
    sites = _Sites(content)
    sites.table(int.from_bytes(content[:4], "little"), "Model")
    return list(sites.found)


@functools.lru_cache(64)
def _tables(content):
    return schema.ModelT.InitFromPackedBuf(content, 0)


def mutate(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    """Another value in the tables, another offset or length in the file, or other bytes."""
    kind = rng.random()
    if kind < 0.4:
        return _at_sites(rng, content)
    if kind < 0.75 and len(content) < 100_000:
        return _in_tables(rng, content, others)
    return binary.mutate(rng, content, others)


def _at_sites(rng, content):
    data, sites = bytearray(content), _sites(content)
    for _ in range(rng.choice((1, 1, 2, 4))):
        position, size = rng.choice(sites)
        before = int.from_bytes(data[position : position + size], "little")
        # Near what it was: an offset to the neighbour, a length that is one off.
        near = (before + rng.choice((-8, -4, -1, 1, 2, 4, 8))) % 256**size
        other, other_size = rng.choice(sites)
        values = (
            near.to_bytes(size, "little"),
            binary.edge(rng, size),
            bytes(data[other : other + other_size])[:size].ljust(size, b"\0"),
        )
        data[position : position + size] = rng.choice(values)
    return bytes(data)


def _in_tables(rng, content, others):
    model = copy.deepcopy(_tables(content))
    for _ in range(rng.choice((1, 1, 2, 3))):
        owner = rng.choice(list(_objects(model)))
        # Options of some operators have no fields.
        if names := list(vars(owner)):
            name = rng.choice(names)
            setattr(owner, name, _other(rng, owner, name))
    try:
        return bytes(pack(model))
    # Tables that no writer can write are not this kind's business.
    except Exception:
        return _at_sites(rng, content)


def _objects(model):
    """All tables of a model."""
    rest = [model]
    while rest:
        owner = rest.pop()
        yield owner
        for value in vars(owner).values():
            for one in value if isinstance(value, list) else (value,):
                if hasattr(one, "Pack"):
                    rest.append(one)


def _other(rng, owner, name):
    value = getattr(owner, name)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | np.integer):
        return rng.choice((*_NUMBERS, int(value) + 1, int(value) - 1))
    if isinstance(value, float):
        return rng.choice((0.0, -1.0, float("nan"), float("inf"), 1e-38))
    if isinstance(value, bytes | str):
        return rng.choice((b"", b"\xff\xfe", b"a\nb", b"\x1b[2J", b"x" * 5000, b"\0"))
    if value is None:
        numbers = np.array([rng.choice(_NUMBERS)], np.int32)
        return (
            rng.choice((None, numbers)) if name in ("shape", "inputs", "shapeSignature") else None
        )
    if isinstance(value, np.ndarray):
        return _other_numbers(rng, value)
    if isinstance(value, list):
        kinds = [value[:-1], value[1:], value[::-1], value + value[:1], [], value * 3]
        return rng.choice(kinds) if value else None
    return None


def _other_numbers(rng, value):
    array = value.copy()
    kind = rng.choice(("one", "one", "one", "cut", "longer", "none", "empty"))
    if kind == "one" and len(array):
        number = rng.choice((*_NUMBERS, 2**31 - 1, -(2**31)))
        if array.dtype.kind == "f":
            number = rng.choice((0.0, -1.0, np.nan, np.inf, 1e-38))
        with np.errstate(all="ignore"):
            array[rng.randrange(len(array))] = np.array(number).astype(array.dtype)
    elif kind == "cut":
        array = array[:-1]
    elif kind == "longer":
        array = np.concatenate([array, array[:1]])
    elif kind == "none":
        return None
    elif kind == "empty":
        array = array[:0]
    return array
