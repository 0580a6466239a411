"""NumPy's .npy files with other heads, and HDF5 files with other objects."""

import io
import random

import numpy as np

from tests.fuzz.mutate import archive, binary

_TYPES = ("<f4", "<f8", ">f4", "<i8", "|u1", "|b1", "<c16", "|O", "<U9", "|S3", "<M8[ns]", "|V0")
_TYPES += ("<U99999999", "<f99", "", "x" * 2000, "f4,i8", "|V8", "<f2", "float")
_SHAPES = ("()", "(0,)", "(3,)", "(-1,)", "(10**9,)", f"({10**12},)", "(2, 3)", "(True,)", "3")
_SHAPES += ("(2.5,)", "'x'", "[3]", f"({2**63},)", "(1,) * 70", "(" * 200, "(None,)", "(0, 10**9)")


def mutate_npz(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    """An .npz archive: mostly one array's head or numbers."""
    return archive.mutate(rng, content, others, _change_npy)


def _change_npy(rng, name, content):
    if rng.random() < 0.3 or content[:6] != b"\x93NUMPY":
        return binary.mutate(rng, content, [content])
    version, size = content[6], int.from_bytes(content[8:10], "little")
    head, numbers = content[10 : 10 + size].decode("latin-1"), content[10 + size :]
    kind = rng.choice(("type", "shape", "order", "numbers", "head", "version", "data"))
    if kind == "type":
        head = head.replace(head.split("'")[3], rng.choice(_TYPES), 1)
    elif kind == "shape":
        start, end = head.index("("), head.rindex(")") + 1
        head = head[:start] + rng.choice(_SHAPES) + head[end:]
    elif kind == "order":
        head = head.replace("False", rng.choice(("True", "None", "1", "[]", "__import__")))
    elif kind == "head":
        head = binary.mutate(rng, head.encode("latin-1"), [content]).decode("latin-1")
    elif kind == "version":
        version = rng.choice((0, 2, 3, 4, 255))
    elif kind == "numbers":
        array = np.frombuffer(numbers[: len(numbers) // 4 * 4], np.float32).copy()
        if len(array):
            odd = (np.nan, np.inf, -np.inf, 3e38, 0.0, -1.0)
            array[rng.randrange(len(array))] = rng.choice(odd)
        numbers = array.tobytes()
    else:
        numbers = numbers[: rng.randrange(len(numbers) + 1)] + rng.randbytes(rng.choice((0, 3)))
    size = len(head) if rng.random() < 0.9 else rng.randrange(1 << 16)
    start = b"\x93NUMPY" + bytes((version, 0)) + (size & 0xFFFF).to_bytes(2, "little")
    return start + head.encode("latin-1", "replace") + numbers


def mutate_h5(rng: random.Random, content: bytes) -> bytes:
    """An HDF5 file: one object of it changed, or its bytes."""
    import h5py

    if rng.random() < 0.4:
        return binary.mutate(rng, content, [content])
    stream = io.BytesIO(content)
    with h5py.File(stream, "r+") as file:
        names = []
        file.visit(names.append)
        arrays = [name for name in names if isinstance(file[name], h5py.Dataset)]
        if not arrays:
            return binary.mutate(rng, content, [content])
        name = rng.choice(arrays)
        rng.choice(_OBJECTS)(rng, file, name, rng.choice(names))
    return stream.getvalue()


def _replaced(make):
    def change(rng, file, name, other):
        before = file[name][()]
        del file[name]
        make(rng, file, name, before)

    return change


@_replaced
def _missing(rng, file, name, before):
    pass


@_replaced
def _other_shape(rng, file, name, before):
    shapes = ((), (0,), (1,), (7, 7), (*np.shape(before), 1), np.shape(before)[::-1], (1,) * 20)
    file[name] = np.zeros(rng.choice(shapes), np.float32)


@_replaced
def _other_type(rng, file, name, before):
    kind = rng.choice(("float16", "float64", "int8", "complex64", "S5", "bool", "f4,i4"))
    file[name] = np.zeros(np.shape(before), kind)


@_replaced
def _odd_numbers(rng, file, name, before):
    file[name] = np.full(np.shape(before), rng.choice((np.nan, np.inf, 3e38)), np.float32)


@_replaced
def _text(rng, file, name, before):
    file[name] = rng.choice(("text", b"\xff", ["a", "b"]))


@_replaced
def _huge(rng, file, name, before):
    shape = rng.choice(((2**40,), (2**20, 2**20), (10**6,)))
    file.create_dataset(name, shape, "f4", chunks=tuple(min(size, 1024) for size in shape))


@_replaced
def _packed(rng, file, name, before):
    array = np.atleast_1d(before)
    file.create_dataset(name, data=array, compression="gzip", shuffle=True, maxshape=None)


@_replaced
def _elsewhere(rng, file, name, before):
    import h5py

    links = (
        h5py.SoftLink("/nowhere"),
        h5py.SoftLink(f"/{name}"),
        h5py.ExternalLink("/etc/passwd", "/x"),
    )
    file[name] = rng.choice(links)


@_replaced
def _outside(rng, file, name, before):
    file.create_dataset(name, (4,), "u1", external=[("/etc/passwd", 0, 4)])


@_replaced
def _group(rng, file, name, before):
    file.create_group(name)


def _alias(rng, file, name, other):
    file[f"{name}_again"] = file[other]


def _attribute(rng, file, name, other):
    file[other].attrs[rng.choice(("x", "name", "keras_version"))] = rng.choice((0, "x" * 9000))


_OBJECTS = (_missing, _other_shape, _other_type, _odd_numbers, _text, _huge, _packed, _elsewhere)
_OBJECTS += (_outside, _group, _alias, _attribute)
