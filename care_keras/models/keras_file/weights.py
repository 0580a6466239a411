"""The HDF5 file with the weights of a `.keras` file."""

import io
import os

from care_keras.files import first_line, read_bytes

# Arrays and groups; a CARE-S2's quantized form has 5,600. Each takes a quarter of a millisecond.
_MAX_OBJECTS = 30_000
# Weights hardly shrink in a file: only a bomb unpacks to a hundred times of it.
MAX_EXPANSION = 100
_SMALL_BYTES = 16 * 2**20


def most_bytes(size: int) -> int:
    """What a file of so many bytes may unpack to."""
    return max(_SMALL_BYTES, MAX_EXPANSION * size)


def check_weights_file(path: str | os.PathLike) -> None:
    """`check_weights` of a file by itself, `.weights.h5`.

    Raises:
        ValueError: In one line, what is wrong.
    """
    content = read_bytes(path)
    check_weights(content, most_bytes(len(content)))


def check_weights(content: bytes, most: int) -> None:
    """Refuses weights that lie in other files, or that take far more memory than the file.

    Args:
        content: What model.weights.h5 holds.
        most: The bytes that its arrays may take together.

    Raises:
        ValueError: In one line, what is wrong.
    """
    import h5py

    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            problem = _find_problem(file, most)
    # h5py raises whatever the damaged part leads to.
    except Exception as error:
        raise ValueError(f"model.weights.h5 is damaged: {first_line(error)}.") from error
    if problem:
        raise ValueError(f"model.weights.h5 {problem}.")


def _find_problem(file, most):
    """What is wrong with the file, or None."""
    import h5py

    # A group may hold itself, so each is looked at once.
    seen, groups, total = set(), [file], 0
    while groups:
        group = groups.pop()
        for name in group:
            path = f"{group.name.rstrip('/')}/{name}"[:100]
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                return f"has a link to elsewhere: {path!r}"
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                continue
            seen.add(address)
            if len(seen) > _MAX_OBJECTS:
                return f"has more than {_MAX_OBJECTS:,} objects"
            if isinstance(item, h5py.Group):
                groups.append(item)
                continue
            if not isinstance(item, h5py.Dataset):
                return f"has an object that is no array: {path!r}"
            if item.external or item.is_virtual:
                return f"has an array that lies in another file: {path!r}"
            if item.dtype.hasobject:
                return f"has an array of values of no fixed size: {path!r}"
            if item.dtype.kind == "c":
                # Keras would take their real part.
                return f"has an array of complex numbers: {path!r}"
            total += item.size * item.dtype.itemsize if item.size else 0
            if total > most:
                return f"has arrays that are far larger than the file: {path!r}"
    return None
