"""FakeQuant: the codes of a file going forward, straight-through gradients going back."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from care_keras.quantization import FakeQuant
from tests.care_keras.helpers import COMPILE, numpy_of

VALUES = np.random.default_rng(2).uniform(-4.0, 4.0, (1, 500)).astype("float32")


def make_layer(low=-1.0, high=2.0, **kwargs):
    layer = FakeQuant(**kwargs)
    layer.build((None, 3))
    layer.set_range(low, high)
    return layer


def codes_of(values, scale, zero_point):
    return np.clip(np.rint(values / scale) + zero_point, -128, 127)


CASES = {
    "both signs": {},
    "symmetric": {"symmetric": True},
    "not negative": {"low": 0.0, "high": 0.7},
    "not positive": {"low": -3.0, "high": 0.0},
    "far from the middle": {"low": -0.013, "high": 1.9},
    "learned": {"training_ranges": "learned"},
}


def parametrize_cases(test):
    return pytest.mark.parametrize("arguments", CASES.values(), ids=list(CASES))(test)


@parametrize_cases
def test_outputs_are_codes_of_the_file(arguments):
    layer = make_layer(**arguments)
    scale, zero_point = layer.parameters()
    outputs = numpy_of(layer(VALUES))
    codes = outputs / scale + zero_point
    np.testing.assert_allclose(codes, np.rint(codes), atol=2e-4)
    np.testing.assert_array_equal(np.rint(codes), codes_of(VALUES, scale, zero_point))
    assert np.rint(codes).min() == -128 or layer.symmetric
    assert np.rint(codes).max() == 127 or arguments.get("high") == 0.0


@parametrize_cases
def test_zero_is_exact(arguments):
    zeros = np.zeros((1, 3), np.float32)
    np.testing.assert_array_equal(numpy_of(make_layer(**arguments)(zeros)), zeros)


@parametrize_cases
def test_training_rounds_as_inference_does(arguments):
    layer = make_layer(**arguments)
    np.testing.assert_array_equal(
        numpy_of(layer(VALUES, training=True)), numpy_of(layer(VALUES, training=False))
    )


def test_what_a_range_says_of_itself():
    low, high = make_layer(-1.0, 2.0).range()
    assert (low, high) == (-1.0, 2.0)
    low, high = make_layer(-3.0, 2.0, symmetric=True).range()
    # 128 steps down and 127 up; the larger end decides.
    assert low == pytest.approx(-3.0) and high == pytest.approx(3.0 * 127 / 128)
    low, high = make_layer(-3.0, 3.0, symmetric=True).range()
    assert high == 3.0 and low == pytest.approx(-3.0 * 128 / 127)
    # A range set to what it is stays as it is.
    assert make_layer(low, high, symmetric=True).range() == pytest.approx((low, high))
    assert make_layer(0.5, 2.0).range() == (0.0, 2.0)


@keras.saving.register_keras_serializable(package="tests")
class Shift(keras.layers.Layer):
    """Adds a weight to each input, so that a step of SGD shows the gradient."""

    def build(self, input_shape):
        self.shift = self.add_weight(name="shift", shape=input_shape[1:], initializer="zeros")

    def call(self, inputs):
        return inputs + self.shift


def weighted_sum(weights, outputs):
    return ops.sum(weights * outputs, axis=-1)


def gradients(layer, inputs, weights):
    """Gradients of `sum(weights * layer(inputs))`: of the inputs and of both factors."""
    shift = Shift()
    model = keras.Sequential([shift, layer])
    model.compile(keras.optimizers.SGD(1.0), loss=weighted_sum, **COMPILE)
    model.fit(inputs, weights, batch_size=1, epochs=1, verbose=0)
    return -numpy_of(shift.shift), (1.0 - numpy_of(layer.factors)).tolist()


INPUTS = np.asarray([[-5.0, -1.5, -0.7, 0.0, 0.31, 1.9, 2.5, 9.0]], np.float32)
WEIGHTS = np.asarray([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]], np.float32)


def test_gradients_pass_inside_and_move_the_ends_outside():
    layer = make_layer(-1.0, 2.0, training_ranges="learned")
    of_inputs, (of_low, of_high) = gradients(layer, INPUTS, WEIGHTS)
    np.testing.assert_allclose(of_inputs, [0, 0, 3, 4, 5, 6, 0, 0], atol=1e-6)
    # The ends are the range's times their factors: d(low * f)/df = low.
    assert of_low == pytest.approx(-1.0 * (1 + 2), abs=1e-5)
    assert of_high == pytest.approx(2.0 * (7 + 8), abs=1e-5)


def test_both_ends_of_a_symmetric_range_are_one():
    layer = make_layer(-2.0, 2.0, symmetric=True, training_ranges="learned")
    of_inputs, (of_low, of_high) = gradients(layer, INPUTS, WEIGHTS)
    np.testing.assert_allclose(of_inputs, [0, 2, 3, 4, 5, 6, 0, 0], atol=1e-6)
    assert of_low == 0.0
    assert of_high == pytest.approx(2.0 * (7 + 8) - 2.0 * 128 / 127 * 1, abs=1e-4)


@pytest.mark.parametrize("training_ranges", ["frozen", "moving_average"])
def test_only_learned_ranges_have_gradients(training_ranges):
    layer = make_layer(-1.0, 2.0, training_ranges=training_ranges)
    of_inputs, factors = gradients(layer, INPUTS, WEIGHTS)
    # The others may be inside once a moving average has moved.
    np.testing.assert_allclose(of_inputs[2:6], [3, 4, 5, 6], atol=1e-6)
    assert of_inputs[0] == of_inputs[7] == 0.0
    assert factors == [0.0, 0.0] and not layer.trainable_weights


def test_moving_averages_follow_what_training_sees():
    layer = make_layer(-1.0, 2.0, training_ranges="moving_average", momentum=0.9)
    seen = np.asarray([[-3.0, 0.5, 12.0]], np.float32)
    layer(seen, training=False)
    assert layer.range() == (-1.0, 2.0)
    layer(seen, training=True)
    np.testing.assert_allclose(layer.range(), (-1.2, 3.0), rtol=1e-6)
    # Data of one sign moves the other end to 0, never past it.
    layer(np.asarray([[5.0, 6.0]], np.float32), training=True)
    np.testing.assert_allclose(layer.range(), (-1.08, 3.3), rtol=1e-6)


@pytest.mark.parametrize("training_ranges", ["frozen", "learned"])
def test_other_ranges_follow_nothing(training_ranges):
    layer = make_layer(-1.0, 2.0, training_ranges=training_ranges)
    layer(VALUES, training=True)
    assert layer.range() == (-1.0, 2.0)


def test_a_fixed_range():
    layer = FakeQuant(fixed=(1 / 256, -128), training_ranges="learned")
    outputs = numpy_of(layer(VALUES, training=True))
    assert not layer.weights
    assert layer.parameters() == (np.float32(1 / 256), -128)
    np.testing.assert_allclose(layer.range(), (0.0, 255 / 256))
    expected = (codes_of(VALUES, 1 / 256, -128) + 128) / 256
    np.testing.assert_array_equal(outputs, expected.astype("float32"))


def test_pixels_are_their_own_codes():
    layer = FakeQuant(fixed=(1.0, -128))
    pixels = np.arange(256, dtype="float32")[None]
    np.testing.assert_array_equal(numpy_of(layer(pixels)), pixels)


@pytest.mark.parametrize(
    "arguments",
    [
        {"symmetric": True, "training_ranges": "moving_average", "momentum": 0.7},
        {"relative": True, "training_ranges": "learned"},
        {"fixed": (1 / 256, -128)},
    ],
)
def test_config(arguments):
    layer = FakeQuant(**arguments, name="some_range")
    config = json.loads(json.dumps(layer.get_config()))
    restored = FakeQuant.from_config(config)
    assert restored.get_config() == layer.get_config()
    for name, value in arguments.items():
        assert getattr(restored, name) == value


@pytest.mark.parametrize("symmetric", [False, True])
def test_a_range_of_zeros_has_an_ordinary_step(symmetric):
    """No step of other tensors divided by it may become too large for a kernel."""
    layer = make_layer(0.0, 0.0, symmetric=symmetric)
    scale, zero_point = layer.parameters()
    assert (scale, zero_point) == (np.float32(1 / 128), 0 if symmetric else -128)
    expected = (codes_of(VALUES, scale, zero_point) - zero_point) * scale
    np.testing.assert_array_equal(numpy_of(layer(VALUES)), expected.astype("float32"))


def test_an_unknown_way_of_training_is_refused():
    with pytest.raises(ValueError, match="`training_ranges` must be .*Received: .*'free'"):
        FakeQuant(training_ranges="free")
