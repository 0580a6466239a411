import ml_dtypes
import numpy as np
import pytest

from care_keras.data.noise import random_input


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        (np.float16, -6, 6),
        (np.float32, -6, 6),
        (np.float64, -6, 6),
        (ml_dtypes.bfloat16, -6, 6),
        (np.int8, -128, 127),
        (np.uint8, 0, 255),
        (np.int16, -32768, 32767),
        (np.int32, 0, 1),
        (np.int64, 0, 1),
        (np.uint32, 0, 1),
        (np.bool_, 0, 1),
    ],
)
def test_random_inputs_of_any_type(dtype, low, high):
    values = random_input((5, 400), dtype, np.random.default_rng(3))
    assert values.shape == (5, 400) and values.dtype == dtype
    assert np.array_equal(values, random_input((5, 400), dtype, np.random.default_rng(3)))
    numbers = values.astype(np.float64)
    assert low <= numbers.min() < numbers.max() <= high
    # Spread over all of it.
    assert numbers.max() - numbers.min() > 0.5 * (high - low)


def test_random_inputs_that_are_no_numbers():
    generator = np.random.default_rng(0)
    assert random_input((2, 3), np.complex64, generator).dtype == np.complex64
    words = random_input((4,), np.bytes_, generator)
    assert words.shape == (4,) and all(isinstance(word, bytes) for word in words)
    with pytest.raises(ValueError, match="no random input of this type. Received: dtype=datetime"):
        random_input((1,), np.dtype("datetime64[s]"), generator)
