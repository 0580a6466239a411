"""What a console command, `care-convert` for one, changes for the modules that it runs.

It runs what `python -m` runs in a checkout, with a path of its own (`care_keras_commands`):
processes that it starts need the same, and what is printed names commands as they were typed.
"""

import re
import sys
from collections.abc import Mapping, Sequence

_CALL = re.compile(r"python -m ((?:care_keras|tflite|android_bench)(?:\.\w+)*)")
_launcher: list[str] = []
_names: dict[str, str] = {}


def begin(launcher: Sequence[str], names: Mapping[str, str]) -> None:
    """Says that this process is a console command's.

    Args:
        launcher: The words between Python and a module's name that run the module likewise.
        names: What is typed to run a module, by the module's name.
    """
    _launcher[:] = launcher
    _names.update(names)


def is_launched() -> bool:
    """Whether this process is a console command's."""
    return bool(_launcher)


def own_module(name: str) -> list[str]:
    """The words that run a module of ours in a process of its own, found as those of this one."""
    return [sys.executable, *(_launcher or ["-m"]), name]


def as_typed(text: str) -> str:
    """A text in which commands are called `python -m ...`, with the names of console commands."""
    return _CALL.sub(lambda found: _names.get(found[1], found[0]), text)
