import keras
import numpy as np
import pytest

from care_keras.training.teaching.weight_averages import (
    EvaluateAverages,
    WeightAverages,
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


def averages_of(model):
    batches = (INPUTS, INPUTS[:, :1])
    return WeightAverages(model, lambda: keras_batches(*batches), steps=4)


def keras_batches(*arrays):
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(arrays).batch(4)


def fitted(optimizer, epochs=1, layers=()):
    keras.utils.set_random_seed(0)
    dense = keras.layers.Dense(1, use_bias=False)
    model = keras.Sequential([keras.Input((3,)), *layers, dense])
    model.compile(optimizer, loss="mse", **COMPILE)
    keep_weights_after_fit(model.optimizer)
    averages = averages_of(model)
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
            callbacks=[EvaluateAverages(averages), weights],
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
    averages = averages_of(model)
    with averages.in_place():
        assert not np.array_equal(kernel_of(model), before)
    np.testing.assert_array_equal(kernel_of(model), before)
    with pytest.raises(KeyboardInterrupt), averages.in_place():
        raise KeyboardInterrupt
    np.testing.assert_array_equal(kernel_of(model), before)


def test_without_averages_nothing_changes():
    model, weights = fitted(sgd())
    np.testing.assert_array_equal(weights.evaluation[0], weights.training[-1])
    with averages_of(model).in_place():
        np.testing.assert_array_equal(kernel_of(model), weights.training[-1])


def statistics_of(model):
    return [
        keras.ops.convert_to_numpy(variable).copy()
        for variable in model.non_trainable_variables
        if "moving" in variable.path
    ]


def test_statistics_are_those_of_the_averages():
    norm = keras.layers.BatchNormalization(momentum=0.9)
    drop = keras.layers.Dropout(0.5)
    layers = [keras.layers.Dense(2), norm, drop]
    model, _ = fitted(sgd(use_ema=True, ema_momentum=0.9), epochs=2, layers=layers)
    before = statistics_of(model)
    averages = averages_of(model)
    outputs = []
    for _ in range(2):
        with averages.in_place():
            # Of four batches, equally but for what is forgotten.
            features = keras.ops.convert_to_numpy(model.layers[0](INPUTS)).reshape(4, 4, 2)
            left = 0.005 ** (1 / 4)
            shares = (1 - left) * left ** np.arange(3, -1, -1)
            for before_one, taken, figures in zip(
                before, statistics_of(model), (features.mean(1), features.var(1)), strict=True
            ):
                expected = 0.005 * before_one + np.einsum("b,bc->c", shares, figures)
                np.testing.assert_allclose(taken, expected, rtol=1e-4, atol=1e-6)
            outputs.append(keras.ops.convert_to_numpy(model(INPUTS, training=False)))
        for statistic, expected in zip(statistics_of(model), before, strict=True):
            np.testing.assert_array_equal(statistic, expected)
        assert norm.momentum == 0.9
    # The second time they are at hand.
    np.testing.assert_array_equal(*outputs)
    # Inference is as before: it takes no statistics.
    model.evaluate(INPUTS, INPUTS[:, :1], verbose=0)
    for statistic, expected in zip(statistics_of(model), before, strict=True):
        np.testing.assert_array_equal(statistic, expected)


def test_statistics_are_taken_anew_after_a_step():
    layers = [keras.layers.BatchNormalization()]
    model, _ = fitted(sgd(use_ema=True, ema_momentum=0.5), layers=layers)
    taken = []

    def batches():
        taken.append(len(steps.training))
        return keras_batches(INPUTS, INPUTS[:, :1])

    averages = WeightAverages(model, batches, steps=4)
    steps = Weights()
    callbacks = [EvaluateAverages(averages), steps]
    for _ in range(2):
        for _ in range(2):
            with averages.in_place():
                pass
        model.fit(INPUTS, INPUTS[:, :1], batch_size=8, callbacks=callbacks, verbose=0)
    assert taken == [0, 2]
