"""Progress that reads well in a terminal and in a log file."""

import contextlib
import sys
import time

import keras

from care_keras.console.progress import say


class Progress(keras.callbacks.Callback):
    """A bar in a terminal, a line every `every` steps elsewhere, and a line for each epoch.

    Args:
        steps_per_epoch: Steps of one epoch.
        batch_size: Images per step, for the rate.
        every: Steps between lines.
        terminal: Whether to draw a bar; by default, if the output is a terminal.
    """

    def __init__(
        self,
        steps_per_epoch: int,
        batch_size: int,
        every: int = 50,
        terminal: bool | None = None,
    ):
        super().__init__()
        self.steps_per_epoch = steps_per_epoch
        self.batch_size = batch_size
        self.every = every
        self.terminal = sys.stderr.isatty() if terminal is None else terminal

    def on_epoch_begin(self, epoch, logs=None) -> None:
        self._epoch = epoch
        self._bar = None
        self._started = self._shown = time.monotonic()
        self._unshown = 0
        if self.terminal:
            say(f"epoch {epoch + 1}")

    def on_train_batch_end(self, batch, logs=None) -> None:
        self._unshown += 1
        now = time.monotonic()
        # A step's results are looked at only when shown: that waits for the device.
        if self.terminal:
            if now - self._shown > 0.1 or batch + 1 == self.steps_per_epoch:
                self._draw(batch, logs, now)
        elif self._unshown == self.every:
            say(
                f"epoch {self._epoch + 1} step {batch + 1}/{self.steps_per_epoch} "
                f"{_values(logs)} ({self._rate(now):.0f} images/s)"
            )

    def on_epoch_end(self, epoch, logs=None) -> None:
        seconds = time.monotonic() - self._started
        say(f"epoch {epoch + 1} done in {seconds:.0f} s: {_values(logs)}")

    def _draw(self, batch, logs, now):
        values = {name: float(value) for name, value in (logs or {}).items()}
        values["images/s"] = self._rate(now)
        if self._bar is None:
            # The values are means of the epoch already.
            self._bar = keras.utils.Progbar(
                self.steps_per_epoch, unit_name="step", stateful_metrics=list(values)
            )
        with contextlib.redirect_stdout(sys.stderr):
            self._bar.update(batch + 1, list(values.items()))

    def _rate(self, now):
        rate = self._unshown * self.batch_size / max(now - self._shown, 1e-9)
        self._shown, self._unshown = now, 0
        return rate


def _values(logs):
    return " ".join(f"{name}={float(value):.4f}" for name, value in (logs or {}).items())
