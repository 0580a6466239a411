"""Bytes that are not what they were: what any format may meet."""

import random

# Where lengths, counts and signs turn over.
EDGES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63)


def edge(rng: random.Random, size: int) -> bytes:
    """A number of so many bytes at such an edge, or beside one, of either order."""
    number = (rng.choice(EDGES) + rng.choice((-1, 0, 0, 1))) % 256**size
    return number.to_bytes(size, rng.choice(("little", "big")))


def mutate(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    """A few changes at random places.

    Args:
        rng: Where all randomness comes from.
        content: A file.
        others: Files of the same kind, to take parts of.
    """
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        rng.choice(_CHANGES)(rng, data, others)
    return bytes(data)


def _place(rng, data):
    return rng.randrange(len(data) + 1) if data else 0


def _flip(rng, data, others):
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _set(rng, data, others):
    if data:
        data[rng.randrange(len(data))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))


def _number(rng, data, others):
    size = rng.choice((2, 4, 4, 8))
    if len(data) >= size:
        # Formats keep their numbers where they are aligned.
        place = rng.randrange(0, len(data) - size + 1, rng.choice((1, size)))
        data[place : place + size] = edge(rng, size)


def _cut(rng, data, others):
    del data[_place(rng, data) :]


def _drop(rng, data, others):
    place = _place(rng, data)
    del data[place : place + rng.choice((1, 2, 4, 16, 256))]


def _repeat(rng, data, others):
    place = _place(rng, data)
    part = data[place : place + rng.choice((1, 4, 16, 256))]
    data[place:place] = part * rng.choice((1, 2, 50))


def _insert(rng, data, others):
    place = _place(rng, data)
    data[place:place] = rng.randbytes(rng.choice((1, 2, 4, 64)))


def _blank(rng, data, others):
    place = _place(rng, data)
    size = min(rng.choice((4, 16, 256)), len(data) - place)
    data[place : place + size] = bytes((rng.choice((0, 0xFF)),)) * size


def _splice(rng, data, others):
    other = rng.choice(others)
    place, start = _place(rng, data), rng.randrange(len(other) + 1)
    size = rng.choice((4, 64, 1024))
    data[place : place + rng.choice((0, size))] = other[start : start + size]


_CHANGES = (_flip, _flip, _set, _set, _number, _number, _cut, _drop, _repeat, _insert, _blank)
_CHANGES += (_splice,)
