"""Fixtures of the tests that run Keras."""

import keras
import pytest

pytest.register_assert_rewrite("tests.care_keras.layers.harness")


@pytest.fixture(autouse=True)
def reproducible():
    """The same random numbers and the default dtype policy for every test."""
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")
