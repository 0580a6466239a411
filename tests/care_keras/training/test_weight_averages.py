import keras
import numpy as np
import pytest

from care_keras.training.weight_averages import (
    EvaluateAverages,
    averaged_weights,
    keep_weights_after_fit,
)
from tests.care_keras.helpers import COMPILE

INPUTS = np.random.default_rng(0).normal(size=(16, 3)).astype("float32")


class Weights(keras.callbacks.Callback):
    """Collects the kernel in training, and in evaluation."""

    def __init__(self):
        super().__init__()
        self.training, self.evaluation = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.training.append(kernel_of(self.model))

    def on_test_batch_end(self, batch, logs=None):
        self.evaluation.append(kernel_of(self.model))


def kernel_of(model):
    return keras.ops.convert_to_numpy(model.layers[-1].kernel).copy()


def fitted(optimizer, epochs=1):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(optimizer, loss="mse", **COMPILE)
    keep_weights_after_fit(model.optimizer)
    weights = Weights()
    for epoch in range(epochs):
        model.fit(
            INPUTS,
            INPUTS[:, :1],
            batch_size=4,
            initial_epoch=epoch,
            epochs=epoch + 1,
            shuffle=False,
            validation_data=(INPUTS, INPUTS[:, :1]),
            validation_batch_size=16,
            callbacks=[EvaluateAverages(), weights],
            verbose=0,
        )
    return model, weights


def sgd(**kwargs):
    return keras.optimizers.SGD(0.1, **kwargs)


@pytest.mark.parametrize("loss_scale", [False, True])
def test_averages_are_evaluated_and_weights_trained(loss_scale):
    optimizer = sgd(use_ema=True, ema_momentum=0.5)
    if loss_scale:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=4.0)
    model, weights = fitted(optimizer, epochs=2)
    _, plain = fitted(sgd(), epochs=2)
    # Eight steps, which neither evaluation nor the end of `fit` has disturbed.
    np.testing.assert_allclose(weights.training, plain.training, rtol=1e-5)
    average = np.zeros_like(plain.training[0])
    for step, kernel in enumerate(plain.training):
        average = 0.5 * average + 0.5 * kernel
        if step == 0:
            # Keras starts with the first weights instead of zeros.
            average = kernel
        if step % 4 == 3:
            np.testing.assert_allclose(weights.evaluation[step // 4], average, rtol=1e-5)
    np.testing.assert_array_equal(kernel_of(model), weights.training[-1])


def test_the_weights_come_back_exactly():
    model, _ = fitted(sgd(use_ema=True, ema_momentum=0.9))
    # Weights that sums and differences of them with their averages would round.
    model.layers[-1].kernel.assign([[1e8], [1.0], [-3e-8]])
    before = kernel_of(model)
    with averaged_weights(model):
        assert not np.array_equal(kernel_of(model), before)
    np.testing.assert_array_equal(kernel_of(model), before)
    with pytest.raises(KeyboardInterrupt), averaged_weights(model):
        raise KeyboardInterrupt
    np.testing.assert_array_equal(kernel_of(model), before)


def test_without_averages_nothing_changes():
    model, weights = fitted(sgd())
    np.testing.assert_array_equal(weights.evaluation[0], weights.training[-1])
    with averaged_weights(model):
        np.testing.assert_array_equal(kernel_of(model), weights.training[-1])
