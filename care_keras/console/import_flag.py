"""The flag `--import`, for the modules of commands that open `.keras` files.

Importing it defines the flag: logic that other modules use must not.
"""

import dataclasses

from care_keras.console.options import define_flags, given
from care_keras.console.own_modules import import_modules, import_option


@dataclasses.dataclass(frozen=True)
class _Settings:
    imports: tuple[str, ...] = import_option()


define_flags(_Settings)


def import_own_modules() -> None:
    """Imports what the flag names; most such modules load Keras.

    Raises:
        UserError: If one cannot be imported.
    """
    import_modules(given(_Settings).get("imports", ()))
