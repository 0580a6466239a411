import numpy as np
import pytest

from care_keras.layers import DropPath
from tests.care_keras.helpers import numpy_of
from tests.care_keras.layers.harness import LayerCase, all_checks

CASES = {
    "maps": LayerCase(
        DropPath,
        {"rate": 0.5, "seed": 3},
        shapes={(5, 7, 4): (5, 7, 4), (2, 3, 4): (2, 3, 4)},
        trainable_weights=0,
    ),
    "rate_of_zero": LayerCase(DropPath, {}, shapes={(6,): (6,)}, trainable_weights=0),
}


@all_checks(CASES)
def test_layer(case, check):
    check(case)


def test_drops_whole_samples_and_keeps_the_expectation():
    inputs = np.random.default_rng(0).uniform(1.0, 2.0, (2000, 2, 3)).astype("float32")
    outputs = numpy_of(DropPath(0.3, seed=1)(inputs, training=True))
    kept = outputs[:, 0, 0] != 0
    np.testing.assert_allclose(outputs[kept], inputs[kept] / 0.7, rtol=1e-5)
    assert not outputs[~kept].any()
    # Five standard deviations of the kept share.
    assert abs(kept.mean() - 0.7) < 5 * np.sqrt(0.3 * 0.7 / 2000)


@pytest.mark.parametrize(("rate", "training"), [(0.9, False), (0.9, None), (0.0, True)])
def test_is_the_identity_at_inference_or_at_rate_zero(rate, training):
    inputs = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
    outputs = DropPath(rate, seed=1)(inputs, training=training)
    np.testing.assert_array_equal(numpy_of(outputs), inputs)


def test_a_seed_repeats_the_draws_and_each_call_draws_anew():
    inputs = np.ones((64, 1), "float32")
    first, twin = DropPath(0.5, seed=9), DropPath(0.5, seed=9)
    draws = [numpy_of(first(inputs, training=True)) for _ in range(2)]
    np.testing.assert_array_equal(numpy_of(twin(inputs, training=True)), draws[0])
    assert (draws[0] != draws[1]).any()


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_rate_must_be_a_probability_below_one(rate):
    with pytest.raises(ValueError, match=rf"Received: rate={rate}$"):
        DropPath(rate)
