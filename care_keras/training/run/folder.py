"""The folder of a run: what is in it, and whether it is this run's."""

import contextlib
import datetime
import json
import os
import pathlib
from collections.abc import Iterator

from care_keras.console.cli import UserError
from care_keras.files import parse_json, remove_leftovers, write_atomically
from care_keras.locks import try_lock
from care_keras.training.run.checkpoint import CheckpointFolder, Position
from care_keras.training.run.environment import environment

# Settings that say how a run is run, not what comes out of it: they may change on the way.
FREE_SETTINGS = frozenset(
    {
        "run_dir",
        "checkpoint_steps",
        "tensorboard",
        "distribute",
        "coordinator_address",
        "num_processes",
        "process_id",
        "cache_megabytes",
        "input_pipeline",
        "import",
    }
)


# Descriptors that hold the locks of this process, by the folder's device and inode.
_LOCKED: dict[tuple[int, int], int] = {}


class RunFolder:
    """Files of a run.

    Args:
        path: The folder.
        writes: Whether this process writes into it; others only read.

    Attributes:
        checkpoints: The newest checkpoints.
        log: `log.csv`, a row for each epoch.
        curves: `curves.png`, a picture of the log.
        predictions: `predictions.png`, of a segmenter or a detector: images with what it finds.
        tensorboard: Folder of TensorBoard's event files.
        best: `best.keras`, the model of the best evaluation.
        model: `model.keras`, the model at the end.
        result: `result.json`.
    """

    def __init__(self, path: pathlib.Path, writes: bool = True):
        self.path = pathlib.Path(path)
        self.writes = writes
        self.checkpoints = CheckpointFolder(self.path / "checkpoints")
        self.log = self.path / "log.csv"
        self.curves = self.path / "curves.png"
        self.predictions = self.path / "predictions.png"
        self.tensorboard = self.path / "tensorboard"
        self.best = self.path / "best.keras"
        self.model = self.path / "model.keras"
        self.result = self.path / "result.json"
        self._config = self.path / "config.json"
        self._environment = self.path / "environment.json"

    def prepare(self, settings: dict) -> None:
        """Makes the folder this run's: `config.json` holds its settings.

        Args:
            settings: Flags by name, with their values.

        Raises:
            UserError: If it holds a run with other settings, another process trains in it, or it
                cannot be used.
        """
        try:
            before = parse_json(self._config.read_text()) if self._config.exists() else settings
            compared = sorted(settings.keys() - FREE_SETTINGS)
            changed = [key for key in compared if before.get(key) != settings[key]]
            if changed:
                raise UserError(
                    f"{self.path} holds a run with other settings ({', '.join(changed)}): "
                    "give its flags, or another --run_dir"
                )
            if self.writes:
                self.path.mkdir(parents=True, exist_ok=True)
                # Before leftovers are removed, which may be another's that is about to be done.
                self._lock()
                self._remove_leftovers()
                write_atomically(self._config, json.dumps(settings, indent=2) + "\n")
        except OSError as error:
            raise UserError(f"--run_dir={self.path} cannot be used: {error.strerror}") from error
        except (ValueError, AttributeError) as error:
            raise UserError(
                f"{self._config} does not hold the settings of a run: delete it"
            ) from error

    def forget(self) -> None:
        """Takes the settings of a run back that could not begin; one that has begun stays."""
        if self.writes and not self.checkpoints.path.exists() and not self.result.exists():
            self._unlock()
            with contextlib.suppress(OSError):
                self._config.unlink()
                self.path.rmdir()

    def _lock(self):
        """Keeps other processes out until `writing` ends, or this process, however it does."""
        if os.name != "posix":  # Elsewhere folders cannot be opened.
            return
        handle = os.open(self.path, os.O_RDONLY)
        locked, about = try_lock(handle), os.fstat(handle)
        inode = about.st_dev, about.st_ino
        if locked:
            _LOCKED[inode] = handle
            return
        os.close(handle)
        if locked is False and inode not in _LOCKED:
            raise UserError(
                f"--run_dir={self.path}: another process trains in it; wait for its end"
            )

    def _unlock(self):
        with contextlib.suppress(OSError):
            about = os.stat(self.path)
            os.close(_LOCKED.pop((about.st_dev, about.st_ino), -1))

    def _remove_leftovers(self):
        """Removes what a kill in the middle of a write has left behind."""
        self.checkpoints.remove_leftovers()
        files = (self.log, self.curves, self.predictions, self.best, self.model, self.result)
        for path in (*files, self._config, self._environment):
            remove_leftovers(path)

    def note_start(self, position: Position, seed: int, devices: str) -> None:
        """Adds to `environment.json` what the run goes on with from here.

        It is a list: a run may be stopped, and go on with other versions.
        """
        if not self.writes:
            return
        starts = []
        with contextlib.suppress(OSError, ValueError):
            starts = parse_json(self._environment.read_text())
        starts = starts if isinstance(starts, list) and position != Position() else []
        starts.append(
            {
                "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                "epoch": position.epoch,
                "step": position.step,
                "seed": seed,
                "devices": devices,
                **environment(),
            }
        )
        write_atomically(self._environment, json.dumps(starts, indent=2) + "\n")

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Makes an error of writing, such as a full disk, one line; then others may train in it.

        Raises:
            UserError: Instead of OSError.
        """
        try:
            yield
        except OSError as error:
            raise UserError(
                f"--run_dir={self.path} cannot be written to: {error.strerror or error} "
                "(its checkpoints are as they were)"
            ) from error
        finally:
            self._unlock()
