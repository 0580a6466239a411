"""Stops a training whose loss is no longer a number."""

import math

import keras

from care_keras.console.cli import UserError


class LossWatch(keras.callbacks.Callback):
    """Raises at the first step whose loss is NaN or infinite, and names it.

    It looks at a step's loss when the next one is under way, so that the device
    never waits for it.

    Args:
        steps_per_epoch: Steps of one epoch.

    Raises:
        UserError: At such a loss.
    """

    def __init__(self, steps_per_epoch: int):
        super().__init__()
        self.steps_per_epoch = steps_per_epoch
        self._pending = None

    def on_epoch_begin(self, epoch, logs=None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None) -> None:
        self.look()
        self._pending = (batch, logs["loss"])

    def on_epoch_end(self, epoch, logs=None) -> None:
        self.look()

    def look(self) -> None:
        """Looks at the last step's loss now."""
        if self._pending is None:
            return
        (batch, loss), self._pending = self._pending, None
        if not math.isfinite(float(loss)):
            raise diverged(self._epoch * self.steps_per_epoch + batch + 1, "the loss")


def diverged(step: int, what: str) -> UserError:
    """The error of a training that has lost its numbers at a step, counted from 1."""
    return UserError(
        f"{what} is not a number at step {step}: lower --learning_rate "
        "(the checkpoints are from before)"
    )
