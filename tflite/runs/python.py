"""Commands of Pythons that run the workers of this repository."""

import os
import pathlib
import sys

_ROOT = pathlib.Path(__file__).parents[2]


def host_command() -> list[str]:
    """The command that runs this Python, with the repository on its path."""
    return command_of(sys.executable, os.environ.get("PYTHONPATH"))


def command_of(python: str, path: str | None = None) -> list[str]:
    """The command that runs a Python, with the repository on its path, and more if given."""
    path = os.pathsep.join(filter(None, (os.fspath(_ROOT), path)))
    return ["/usr/bin/env", f"PYTHONPATH={path}", python]
