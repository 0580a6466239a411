"""When a run writes its checkpoints and its best model, and how it goes on from them."""

from collections.abc import Callable

import keras

from care_keras.training.run.checkpoint import Checkpoint, CheckpointFolder, Position
from care_keras.training.run.loss_watch import LossWatch, diverged
from care_keras.training.run.state import capture, first_lost, restore, restore_within_epoch


class Checkpointing(keras.callbacks.Callback):
    """Writes a checkpoint after every epoch, and within epochs every `every` steps.

    Args:
        folder: Where they are.
        steps_per_epoch: Steps of one epoch.
        every: Steps between checkpoints within an epoch; 0 for none.
        writes: Whether this process writes; the others only take part.
        loss_watch: Asked before each write, which a lost training must not reach.
        best: What is told of each evaluation, and remembered with the checkpoints.

    Raises:
        UserError: If a weight is not a number.
        OSError: If a checkpoint cannot be written.
    """

    def __init__(
        self,
        folder: CheckpointFolder,
        steps_per_epoch: int,
        every: int,
        writes: bool,
        loss_watch: LossWatch,
        best: "BestModel",
    ):
        super().__init__()
        self.folder = folder
        self.steps_per_epoch = steps_per_epoch
        self.every = every
        self.writes = writes
        self._loss_watch = loss_watch
        self._best = best
        self._within_epoch = None

    def restore(self, model: keras.Model, say: Callable[[str], None] = print) -> Position:
        """Sets a compiled model, every part of it built, to the newest checkpoint.

        Returns:
            Where to go on; the start, if there is no checkpoint.

        Raises:
            UserError: If the checkpoints cannot be read, or are of another model.
        """
        checkpoint = self.folder.newest(say)
        if checkpoint is None:
            return Position()
        restore(model, checkpoint.arrays, str(self.folder.path))
        self._best.notes = checkpoint.notes.get("best")
        if checkpoint.position.step:
            self._within_epoch = checkpoint
        return checkpoint.position

    def on_epoch_begin(self, epoch, logs=None) -> None:
        self._epoch = epoch

    def on_train_batch_begin(self, batch, logs=None) -> None:
        if self._within_epoch is not None:
            restore_within_epoch(self.model, self._within_epoch.arrays)
            self._within_epoch = None

    def on_train_batch_end(self, batch, logs=None) -> None:
        done = batch + 1
        if self.every and done % self.every == 0 and done < self.steps_per_epoch:
            self._write(Position(self._epoch, done))

    def on_epoch_end(self, epoch, logs=None) -> None:
        # First: a kill between the two leaves an epoch that is evaluated again.
        self._best.see(self.model, epoch, logs or {})
        self._write(Position(epoch + 1, 0))

    def _write(self, position):
        self._loss_watch.look()
        arrays = capture(self.model)
        lost = first_lost(arrays)
        if lost is not None:
            raise diverged(position.epoch * self.steps_per_epoch + position.step, lost)
        if self.writes:
            self.folder.write(Checkpoint(position, arrays, {"best": self._best.notes}))


class BestModel:
    """Keeps the model of the best evaluation so far.

    Args:
        metric: Name of the figure among an epoch's; larger is better.
        save: `save(model)` writes the model.

    Attributes:
        notes: `{"epoch": counted from 1, metric: its value}` of the best so far, or
            `None` before the first evaluation.
    """

    def __init__(self, metric: str, save: Callable[[keras.Model], None]):
        self.metric = metric
        self.notes = None
        self._save = save

    def see(self, model: keras.Model, epoch: int, logs: dict) -> None:
        """Looks at an epoch's figures, and saves the model if none was better."""
        if self.metric not in logs:
            return
        value = float(logs[self.metric])
        if self.notes is None or value > self.notes[self.metric]:
            self._save(model)
            self.notes = {"epoch": epoch + 1, self.metric: value}
