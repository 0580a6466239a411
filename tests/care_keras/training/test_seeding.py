import keras
import numpy as np
import pytest

from care_keras.layers import DropPath
from care_keras.training.seeding import EpochSeeds
from tests.care_keras.helpers import COMPILE


class Masks(keras.callbacks.Callback):
    """Collects the masks that drop path drew, from what the biases were moved by."""

    def __init__(self):
        super().__init__()
        self.biases = []

    def on_train_batch_end(self, batch, logs=None):
        self.biases.append(keras.ops.convert_to_numpy(self.model.layers[1].bias).copy())


def drawn(seed, first_epoch=0, epochs=3):
    """The bias after each of two steps per epoch; only the kept samples move it."""
    keras.utils.set_random_seed(first_epoch + 1)
    inputs = keras.Input((1,))
    outputs = keras.layers.Dense(1, kernel_initializer="zeros", name="dense")(inputs)
    model = keras.Model(inputs, DropPath(0.5)(outputs))
    model.compile(keras.optimizers.SGD(1.0), loss=lambda _, y: y, **COMPILE)
    masks = Masks()
    model.fit(
        np.zeros((16, 1), "float32"),
        np.zeros((16, 1), "float32"),
        batch_size=8,
        initial_epoch=first_epoch,
        epochs=epochs,
        callbacks=[EpochSeeds(seed), masks],
        verbose=0,
    )
    return np.diff(np.ravel(masks.biases), prepend=0.0)


def test_an_epoch_depends_on_seed_and_epoch_alone():
    unbroken = drawn(seed=7)
    resumed = drawn(seed=7, first_epoch=1)
    assert resumed.tolist() == pytest.approx(unbroken[2:].tolist())
    assert drawn(seed=8).tolist() != pytest.approx(unbroken.tolist())
    # Each step draws anew.
    assert len(set(unbroken.round(3).tolist())) > 2
