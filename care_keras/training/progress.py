"""Progress that reads well in a terminal and in a log file."""

import time

import keras


class ProgressLines(keras.callbacks.Callback):
    """Prints a line every `every` steps and one per epoch.

    Args:
        steps_per_epoch: Steps of one epoch.
        batch_size: Images per step, for the rate.
        every: Steps between lines.
    """

    def __init__(self, steps_per_epoch: int, batch_size: int, every: int = 50):
        super().__init__()
        self.steps_per_epoch = steps_per_epoch
        self.batch_size = batch_size
        self.every = every

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        self.started = self.line_started = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        if (batch + 1) % self.every:
            return
        now = time.monotonic()
        rate = self.every * self.batch_size / (now - self.line_started)
        self.line_started = now
        print(
            f"epoch {self.epoch + 1} step {batch + 1}/{self.steps_per_epoch} "
            f"{_values(logs)} ({rate:.0f} images/s)",
            flush=True,
        )

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.monotonic() - self.started
        print(f"epoch {epoch + 1} done in {seconds:.0f} s: {_values(logs)}", flush=True)


def _values(logs):
    return " ".join(f"{name}={float(value):.4f}" for name, value in (logs or {}).items())
