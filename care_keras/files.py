"""Files written whole or not at all, and read with errors of one line."""

import contextlib
import json
import os
import pathlib
import secrets
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from typing import Any, BinaryIO

# What is no file to be replaced, even where it leads to one.
_STREAMS = ("/dev/std", "/dev/fd/", "/proc/")


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yields a path beside `path` to write to; it replaces `path` on success.

    The temporary file is in the same folder and keeps the file's ending, as
    Keras chooses formats by it. On an error it is removed and `path` is as it
    was before. A link stays one, to a new file; a device, as `/dev/stdout`, or
    a pipe is written to.

    Raises:
        OSError: If the folder is missing or cannot be written to.
    """
    given, path = pathlib.Path(path), _target(path)
    streams = os.fspath(given).startswith(_STREAMS) or path.is_fifo() or path.is_char_device()
    prefix, suffix = _ends(path)
    folder = pathlib.Path(tempfile.gettempdir()) if streams else path.parent
    temporary = folder / f"{prefix}{secrets.token_hex(8)}{suffix}"
    # With the usual permissions, which files of `tempfile` lack.
    temporary.touch(exist_ok=False)
    try:
        yield temporary
        if streams:
            with open(temporary, "rb") as source, open(given, "wb") as stream:
                shutil.copyfileobj(source, stream)
            return
        with open(temporary, "rb") as stream:
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_bytes(path: str | os.PathLike) -> bytes:
    """The content of a file.

    Raises:
        ValueError: If it cannot be read.
    """
    try:
        return pathlib.Path(path).read_bytes()
    except OSError as error:
        raise ValueError(
            f"The file cannot be read: {error.strerror or error}. Received: {os.fspath(path)}"
        ) from error


def parse_json(content: bytes | str, strict: bool = False) -> Any:
    """What a JSON text of anyone's holds.

    Args:
        content: The text.
        strict: Whether all of it has to be what can be written again: no number that is not
            finite, no half of a character.

    Raises:
        ValueError: If it is no JSON, no UTF-8, or nested deeper than Python follows.
    """
    try:
        value = json.loads(content)
        if strict:
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        return value
    except RecursionError:
        raise ValueError("nested too deep") from None


def printable(text: str) -> str:
    """A text of anyone's in one line, without what a terminal would obey."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else "\ufffd" for one in text)


def first_line(error: BaseException, most: int = 300) -> str:
    """The first line of what a library's error says, printable and cut short: some quote a file."""
    line = (str(error).strip().splitlines() or [repr(error)])[0]
    return printable(line.rstrip(".")[:most])


@contextlib.contextmanager
def open_npz(file: str | os.PathLike | BinaryIO) -> Iterator[Any]:
    """The arrays of an .npz file of anyone's by name; objects are refused.

    Raises:
        Exception: Whatever NumPy raises, of a dozen types.
    """
    import numpy as np

    with np.load(file, allow_pickle=False) as archive, warnings.catch_warnings():
        # Of files that Python 2 wrote: that they take longer.
        warnings.simplefilter("ignore", UserWarning)
        yield archive


def check_readable(path: str | os.PathLike) -> None:
    """Raises what `read_bytes` would, before what it takes to understand the file is loaded."""
    if not os.access(path, os.R_OK) or os.path.isdir(path):
        read_bytes(path)


def user_cache(*names: str) -> pathlib.Path:
    """A place in `care_keras` of the cache folder (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CACHE_HOME") or ""
    # The specification has relative paths ignored.
    root = pathlib.Path(base) if os.path.isabs(base) else pathlib.Path.home() / ".cache"
    return root.joinpath("care_keras", *names)


def remove_leftovers(path: str | os.PathLike) -> None:
    """Removes the temporary files that a kill in the middle of writing `path` has left behind.

    Args:
        path: As given to `atomic_path`; its name may be a pattern for many.
    """
    path = _target(path)
    for leftover in path.parent.glob("*".join(_ends(path))):
        leftover.unlink(missing_ok=True)


def _target(path):
    """The file that a path stands for, behind links."""
    return pathlib.Path(os.path.realpath(path))


def _ends(path):
    """What the names of its temporary files begin and end with."""
    suffix = "".join(path.suffixes[-2:]) if path.name.endswith(".weights.h5") else path.suffix
    return f".{path.stem}-", suffix


def write_atomically(path: str | os.PathLike, content: bytes | str) -> None:
    """Writes a whole file at once; text as UTF-8."""
    data = content.encode() if isinstance(content, str) else content
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
