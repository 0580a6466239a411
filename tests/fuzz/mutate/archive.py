"""Zip archives with other members, other records of them, and other bytes between."""

import io
import random
import re
import warnings
import zipfile
from collections.abc import Callable

from tests.fuzz.mutate import binary

# Changes the bytes of a member, by its name.
Change = Callable[[random.Random, str, bytes], bytes]
_HEADS = re.compile(rb"PK\x01\x02|PK\x03\x04|PK\x05\x06")
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_NAMES = ("", "..", "../../x", "/x", "x\\y", "a" * 300, "x\0y", "assets/x", "\u00e4", "__init__.py")


def read(content: bytes) -> list[tuple[str, bytes]]:
    """Names and contents of the members of a sound archive."""
    with zipfile.ZipFile(io.BytesIO(content)) as opened:
        return [(name, opened.read(name)) for name in opened.namelist()]


def write(rng: random.Random, members: list[tuple[str, bytes]], unusual: bool = False) -> bytes:
    """An archive of members, also of some that have one name."""
    target = io.BytesIO()
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(target, "w") as opened:
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = rng.choice(_METHODS) if unusual else zipfile.ZIP_STORED
            opened.writestr(info, content)
        if unusual and rng.random() < 0.2:
            opened.comment = rng.randbytes(rng.choice((1, 60_000)))
    return target.getvalue()


def mutate(rng: random.Random, content: bytes, others: list[bytes], change: Change) -> bytes:
    """Mostly one member's bytes, else which members there are, or the archive's own records."""
    members = read(content)
    kind = rng.random()
    if kind < 0.6:
        place = rng.randrange(len(members))
        name, inside = members[place]
        members[place] = name, change(rng, name, inside)
        return write(rng, members)
    if kind < 0.8:
        rng.choice(_CHANGES)(rng, members, others)
        return write(rng, members, unusual=rng.random() < 0.5)
    if kind < 0.95:
        return _records(rng, write(rng, members, unusual=rng.random() < 0.3))
    return binary.mutate(rng, content, others)


def _records(rng, content):
    """Numbers in the archive's local heads, its table of contents and its end."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2))):
        place = rng.choice([found.start() for found in _HEADS.finditer(content)])
        size = rng.choice((1, 2, 4))
        place += rng.randrange(4, 46)
        data[place : place + size] = binary.edge(rng, size)
    return bytes(data)


def _drop(rng, members, others):
    del members[rng.randrange(len(members))]


def _repeat(rng, members, others):
    members.insert(rng.randrange(len(members) + 1), rng.choice(members))


def _rename(rng, members, others):
    place = rng.randrange(len(members))
    names = (*_NAMES, *(name for name, _ in members))
    members[place] = rng.choice(names), members[place][1]


def _exchange(rng, members, others):
    one, two = rng.randrange(len(members)), rng.randrange(len(members))
    members[one], members[two] = (
        (members[one][0], members[two][1]),
        (members[two][0], members[one][1]),
    )


def _foreign(rng, members, others):
    place = rng.randrange(len(members))
    members[place] = members[place][0], rng.choice(read(rng.choice(others)))[1]


def _add(rng, members, others):
    members.append((rng.choice(_NAMES), rng.randbytes(rng.choice((0, 10)))))


def _bomb(rng, members, others):
    place = rng.randrange(len(members))
    members[place] = members[place][0], members[place][1] + bytes(rng.choice((10**5, 3 * 10**6)))


_CHANGES = (_drop, _repeat, _rename, _exchange, _foreign, _add, _add, _bomb)
