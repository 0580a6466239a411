import numpy as np

from care_keras.layers import LayerScale
from tests.care_keras.helpers import numpy_of
from tests.care_keras.layers.harness import LayerCase, all_checks

CASES = {
    "maps": LayerCase(
        LayerScale,
        {"initial_value": 0.25},
        shapes={(5, 7, 4): (5, 7, 4), (2, 3, 4): (2, 3, 4)},
        trainable_weights=1,
    ),
    "vectors": LayerCase(LayerScale, {}, shapes={(6,): (6,)}, trainable_weights=1),
}


@all_checks(CASES)
def test_layer(case, check):
    check(case)


def test_starts_from_the_initial_value_in_every_channel():
    inputs = np.random.default_rng(0).normal(size=(2, 3, 2, 5)).astype("float32")
    np.testing.assert_allclose(numpy_of(LayerScale(0.25)(inputs)), 0.25 * inputs, rtol=1e-6)
    assert LayerScale().initial_value == 1e-6


def test_has_one_factor_per_channel():
    layer = LayerScale()
    layer.build((None, None, None, 3))
    layer.gamma.assign([2.0, 0.0, -1.0])
    inputs = np.random.default_rng(0).normal(size=(2, 3, 2, 3)).astype("float32")
    np.testing.assert_allclose(numpy_of(layer(inputs)), inputs * [2.0, 0.0, -1.0], rtol=1e-6)


def test_the_smallest_factors_survive_float16():
    outputs = numpy_of(LayerScale(1e-6, dtype="mixed_float16")(np.full((1, 4), 100.0, "float32")))
    np.testing.assert_allclose(outputs, 1e-4, rtol=0.05)
