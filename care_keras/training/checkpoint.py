"""Checkpoints that survive a kill at any moment."""

import pathlib

import keras

from care_keras.files import atomic_path


class Checkpoint(keras.callbacks.Callback):
    """Writes weights and optimizer state at the end of every epoch, atomically.

    The epoch to go on from follows from the optimizer's step count, so one
    file is the whole state and cannot disagree with another.

    Args:
        path: The checkpoint, ending in `.weights.h5`.
        steps_per_epoch: Steps of one epoch.
    """

    def __init__(self, path: pathlib.Path, steps_per_epoch: int):
        super().__init__()
        self.path = pathlib.Path(path)
        self.steps_per_epoch = steps_per_epoch

    def on_epoch_end(self, epoch, logs=None):
        with atomic_path(self.path) as temporary:
            self.model.save_weights(temporary, overwrite=True)

    def restore(self, model: keras.Model) -> int:
        """Loads the checkpoint into a compiled model, if there is one.

        Returns:
            The epoch to go on from, 0 if there is no checkpoint.
        """
        if not self.path.exists():
            return 0
        model.optimizer.build(model.trainable_variables)
        model.load_weights(self.path)
        return int(model.optimizer.iterations) // self.steps_per_epoch
