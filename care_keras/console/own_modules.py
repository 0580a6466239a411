"""Modules of the user's own, which register the layers of their `.keras` files."""

import contextlib
import dataclasses
import importlib
import os
import sys
from collections.abc import Iterator

from care_keras.console.cli import UserError
from care_keras.console.launched import is_launched
from care_keras.console.options import option
from care_keras.files import first_line

_imported: list[str] = []


def import_option() -> dataclasses.Field:
    """The field of a command's settings that is `--import`."""
    return option(
        "A module of yours that registers the layers of a .keras file "
        "(keras.saving.register_keras_serializable); give several. It is run: name your own alone.",
        (),
        flag="import",
    )


def import_modules(names: tuple[str, ...]) -> None:
    """Imports what the user has named: no file's word is enough to import anything.

    Args:
        names: As in `import` statements; those of the current folder are found.

    Raises:
        UserError: If one cannot be imported.
    """
    for name in names:
        try:
            with _current_folder():
                importlib.import_module(name)
        # A module of someone else's raises what it likes.
        except Exception as error:
            raise UserError(
                f"--import={name} cannot be imported: {type(error).__name__}: {first_line(error)}"
            ) from error
        if name not in _imported:
            _imported.append(name)


def imported_modules() -> tuple[str, ...]:
    """What `import_modules` has imported in this process, for processes that it starts."""
    return tuple(_imported)


@contextlib.contextmanager
def _current_folder() -> Iterator[None]:
    """Puts the current folder first on the path: console commands, unlike `python -m`, lack it."""
    if not is_launched() or os.environ.get("PYTHONSAFEPATH"):
        yield
        return
    folder = os.getcwd()
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
        # For what the modules import later; it must not hide what is installed.
        if folder not in sys.path:
            sys.path.append(folder)
