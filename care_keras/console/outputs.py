"""Files that a command writes: looked at before its work, written after it."""

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterator, Sequence

from care_keras.console.cli import UserError
from care_keras.files import write_atomically

PICTURES = (".png", ".svg", ".pdf")


def output_file(flag: str, value: str | None, suffixes: Sequence[str]) -> pathlib.Path | None:
    """The path of a file that a command will write, looked at before its work.

    Args:
        flag: Name of the flag.
        value: What was given, or `None`.
        suffixes: Endings that the command can write.

    Raises:
        UserError: If the ending is another, or the file could not be written.
    """
    if value is None:
        return None
    path = pathlib.Path(value)
    if path.suffix not in suffixes:
        raise UserError(f"--{flag} must end in {' or '.join(suffixes)}, not {value!r}")
    if path.is_dir():
        raise UserError(f"--{flag}={value} is a folder")
    if not path.parent.is_dir():
        raise UserError(f"--{flag}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"--{flag}: the folder {path.parent} cannot be written to")
    return path


@contextlib.contextmanager
def output_folder(value: str | None) -> Iterator[pathlib.Path]:
    """The folder that a command keeps its files in, made; without a value one that goes afterwards.

    Raises:
        UserError: If something cannot be written.
    """
    try:
        with contextlib.ExitStack() as stack:
            folder = pathlib.Path(value or stack.enter_context(tempfile.TemporaryDirectory()))
            folder.mkdir(parents=True, exist_ok=True)
            yield folder
    except OSError as error:
        raise UserError(f"cannot write: {error}") from error


def write_output(path: str | os.PathLike, content: str | bytes | Callable[[], object]) -> None:
    """Writes a file that was asked for, and says so.

    Args:
        path: Where.
        content: What, or what writes it.

    Raises:
        UserError: If it cannot be written.
    """
    try:
        if callable(content):
            content()
        else:
            write_atomically(path, content)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    print(f"wrote {path}")
