"""The backend that Keras loads in a command: the one that is asked for, or one that is there."""

import json
import os
import pathlib

from care_keras.console.optional import MissingDependencyError, is_installed
from care_keras.console.progress import say

# In the order in which they take the place of one that is not installed. JAX comes last: it
# compiles every operation of a conversion for every shape.
_BACKENDS = ("tensorflow", "torch", "jax")


def choose_backend() -> None:
    """Sets `KERAS_BACKEND` to an installed backend where Keras's settings name one that is not.

    Keras's default is TensorFlow. What the variable itself says is never changed. To be called
    before Keras is imported.

    Raises:
        MissingDependencyError: If `KERAS_BACKEND` names a backend that is not installed, or
            there is none.
    """
    asked = os.environ.get("KERAS_BACKEND")
    name = asked or _of_settings() or "tensorflow"
    if name not in _BACKENDS or is_installed(name):
        return
    installed = [one for one in _BACKENDS if is_installed(one)]
    if not installed:
        raise MissingDependencyError(
            "Keras needs a backend, and none is installed: pip install tensorflow, torch or jax"
        )
    if asked:
        raise MissingDependencyError(
            f"KERAS_BACKEND={asked} is set, and {asked} is not installed: "
            f"set KERAS_BACKEND={installed[0]}, or pip install {asked}"
        )
    os.environ["KERAS_BACKEND"] = installed[0]
    say(f"{name} is not installed: going on with KERAS_BACKEND={installed[0]}")


def _of_settings():
    """The backend in Keras's settings; `None` where they do not say."""
    home = os.environ.get("KERAS_HOME") or pathlib.Path("~", ".keras").expanduser()
    try:
        settings = json.loads(pathlib.Path(home, "keras.json").read_text())
        return settings.get("backend")
    except (OSError, ValueError, AttributeError):
        return None
