"""The log for TensorBoard."""

import os
from collections.abc import Callable

import keras

from care_keras.console.optional import MissingDependencyError, is_installed, require


def tensorboard_callbacks(
    folder: str | os.PathLike, say: Callable[[str], None]
) -> list[keras.callbacks.Callback]:
    """What logs each epoch for TensorBoard; nothing, and a line that says so, without it.

    Args:
        folder: Where the event files go.
        say: Gets that line.
    """
    try:
        # Without it TensorFlow cannot write its files either.
        require("tensorboard", "report")
    except MissingDependencyError as error:
        say(f"no log for TensorBoard: {error}")
        return []
    if not is_installed("tensorflow"):
        say("no log for TensorBoard: TensorFlow writes it and is not installed")
        return []
    return [keras.callbacks.TensorBoard(os.fspath(folder), write_graph=False)]
