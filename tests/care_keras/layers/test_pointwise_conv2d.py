import keras
import numpy as np
import pytest

from care_keras.layers import PointwiseConv2D
from tests.care_keras.helpers import infer, numpy_of, randomize_weights
from tests.care_keras.layers.harness import LayerCase, all_checks

CASES = {
    "wider": LayerCase(
        PointwiseConv2D,
        {"filters": 6},
        shapes={(5, 7, 4): (5, 7, 6), (1, 2, 4): (1, 2, 6)},
        trainable_weights=2,
    ),
}


@all_checks(CASES)
def test_layer(case, check):
    check(case)


def test_training_and_inference_compute_the_same_product():
    layer = PointwiseConv2D(6)
    layer.build((None, None, None, 4))
    randomize_weights(layer)
    inputs = np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype("float32")
    kernel, bias = layer.get_weights()
    expected = inputs @ kernel[0, 0] + bias
    np.testing.assert_allclose(numpy_of(infer(layer, inputs)), expected, atol=1e-5)
    np.testing.assert_allclose(numpy_of(layer(inputs, training=True)), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "value"),
    [("strides", 2), ("use_bias", False), ("groups", 2), ("activation", "relu")],
)
def test_what_would_train_as_another_layer_is_refused(name, value):
    with pytest.raises(ValueError, match=f"A pointwise convolution has {name}=.*Received: {name}="):
        PointwiseConv2D(6, **{name: value})


def test_training_works_on_unknown_sizes():
    inputs = keras.KerasTensor((None, None, None, 4))
    outputs = PointwiseConv2D(6)(inputs, training=True)
    assert outputs.shape == (None, None, None, 6)
