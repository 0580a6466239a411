"""Modules of the user's own, which register the layers of their `.keras` files."""

import dataclasses
import importlib

from care_keras.console.cli import UserError
from care_keras.console.options import option

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
        names: As in `import` statements; `python -m` finds those of the current folder.

    Raises:
        UserError: If one cannot be imported.
    """
    for name in names:
        try:
            importlib.import_module(name)
        # A module of someone else's raises what it likes.
        except Exception as error:
            line = (str(error).strip().splitlines() or [""])[0]
            raise UserError(
                f"--import={name} cannot be imported: {type(error).__name__}: {line}"
            ) from error
        if name not in _imported:
            _imported.append(name)


def imported_modules() -> tuple[str, ...]:
    """What `import_modules` has imported in this process, for processes that it starts."""
    return tuple(_imported)
