import numpy as np

from care_keras.layers import FoldableBatchNormalization
from tests.care_keras.helpers import infer, numpy_of, randomize_weights
from tests.care_keras.layers.harness import LayerCase, all_checks

CASES = {
    "other_constants": LayerCase(
        FoldableBatchNormalization,
        {"momentum": 0.8, "epsilon": 1e-3},
        shapes={(5, 7, 4): (5, 7, 4)},
        trainable_weights=2,
        non_trainable_weights=2,
    ),
}


@all_checks(CASES)
def test_layer(case, check):
    check(case)


def test_constants_are_those_of_the_published_network():
    layer = FoldableBatchNormalization()
    assert (layer.momentum, layer.epsilon) == (0.9, 1e-5)


def test_a_folded_layer_passes_its_input_on():
    layer = FoldableBatchNormalization()
    layer.build((None, 4))
    randomize_weights(layer)
    inputs = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    assert np.abs(numpy_of(infer(layer, inputs)) - inputs).max() > 0.01
    layer.folded = True
    np.testing.assert_array_equal(numpy_of(layer(inputs, training=False)), inputs)
