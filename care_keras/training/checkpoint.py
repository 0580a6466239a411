"""Checkpoints that survive a kill at any moment."""

import errno
import os
import pathlib

import keras
import numpy as np

from care_keras.cli import UserError
from care_keras.files import atomic_path


class Checkpoint(keras.callbacks.Callback):
    """Writes weights and optimizer state at the end of every epoch, atomically.

    The epoch to go on from follows from the optimizer's step count, so one
    file is the whole state and cannot disagree with another. Weights that are
    no longer finite are not written, and end the training.

    Args:
        path: The checkpoint, ending in `.weights.h5`.
        steps_per_epoch: Steps of one epoch.

    Raises:
        OSError: At the end of an epoch, if the checkpoint cannot be written.
    """

    def __init__(self, path: pathlib.Path, steps_per_epoch: int):
        super().__init__()
        self.path = pathlib.Path(path)
        self.steps_per_epoch = steps_per_epoch

    def on_epoch_end(self, epoch, logs=None):
        if not all(np.isfinite(weight).all() for weight in self.model.get_weights()):
            self.model.stop_training = True
            return
        with atomic_path(self.path) as temporary:
            _check_room(temporary, self.model.variables + self.model.optimizer.variables)
            self.model.save_weights(temporary, overwrite=True)

    def restore(self, model: keras.Model) -> int:
        """Loads the checkpoint into a compiled model, if there is one.

        Returns:
            The epoch to go on from, 0 if there is no checkpoint.

        Raises:
            UserError: If the file is damaged or of another model.
        """
        if not self.path.exists():
            return 0
        model.optimizer.build(model.trainable_variables)
        try:
            model.load_weights(self.path)
        # h5py and Keras raise many types on damaged files, their messages many lines.
        except Exception as error:
            raise UserError(
                f"{self.path} is damaged, or a checkpoint of another model: "
                "delete it to start from the beginning"
            ) from error
        return int(model.optimizer.iterations) // self.steps_per_epoch


def _check_room(path, variables):
    """Raises OSError if a file of the variables does not fit on the disk.

    Asked beforehand because h5py meets a full disk with an error for each of
    its objects, and may not raise in the end.
    """
    # HDF5 takes about 2 KB for a variable's name and place.
    size = sum(4 * int(np.prod(variable.shape)) + 4096 for variable in variables)
    with path.open("wb") as stream:
        try:
            os.posix_fallocate(stream.fileno(), 0, size)
        # Only some systems and file systems can answer.
        except AttributeError:
            return
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
