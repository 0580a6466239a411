"""The log of a run: a row of figures for each epoch."""

import csv
import io
import pathlib
import time

import keras

from care_keras.files import write_atomically


class EpochLog(keras.callbacks.Callback):
    """Writes `log.csv`: a row for each epoch, those counted from 1.

    Keras's `CSVLogger` appends to its file: a run that was killed and goes on
    from an earlier epoch would be in it twice.

    Args:
        path: The file.
        batch_size: Images per step, for the rate.
    """

    def __init__(self, path: pathlib.Path, batch_size: int):
        super().__init__()
        self.path = pathlib.Path(path)
        self.batch_size = batch_size
        self.rows = []

    def keep(self, epochs: int) -> None:
        """Goes on with what the file holds of the first epochs; drops all else."""
        self.rows = [row for row in read_log(self.path) if row["epoch"] <= epochs]

    def on_epoch_begin(self, epoch, logs=None) -> None:
        self._started = time.monotonic()
        self._step_times = []

    def on_train_batch_end(self, batch, logs=None) -> None:
        self._step_times.append(time.monotonic())

    def on_epoch_end(self, epoch, logs=None) -> None:
        learning_rate = self.model.optimizer.learning_rate
        self.rows.append(
            {
                "epoch": epoch + 1,
                "learning_rate": float(keras.ops.convert_to_numpy(learning_rate)),
                **{name: float(value) for name, value in (logs or {}).items()},
                "images_per_second": round(self._rate(), 1),
                "seconds": round(time.monotonic() - self._started, 1),
            }
        )
        write_atomically(self.path, _as_csv(self.rows))

    def _rate(self):
        """Images per second of the steps after the first, which may be compiled on the way."""
        times = self._step_times
        first = times[0] if len(times) > 1 else self._started
        steps = max(len(times) - 1, 1)
        return steps * self.batch_size / max(times[-1] - first, 1e-9)


def read_log(path: pathlib.Path) -> list[dict]:
    """Rows of a log, numbers as numbers; a figure that an epoch does not have is left out.

    A file that is missing or no such log has no rows.
    """
    try:
        with open(path, newline="") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, ValueError, csv.Error):
        return []
    return [numbers for row in rows if (numbers := _numbers(row)) is not None]


def _numbers(row):
    """A row with its numbers; `None` if it is none of a log."""
    try:
        numbers = {name: float(value) for name, value in row.items() if value}
        return numbers | {"epoch": int(numbers["epoch"])}
    # Rows that are too long have a list under `None`.
    except (ValueError, TypeError, KeyError, OverflowError):
        return None


def _as_csv(rows):
    names = list(dict.fromkeys(name for row in rows for name in row))
    # What is measured of every epoch stands before what only some have.
    names.sort(key=lambda name: name.startswith("val_"))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()
