"""Fixtures of the tests that run Keras."""

import keras
import pytest

pytest.register_assert_rewrite("tests.care_keras.layers.harness")


@pytest.fixture(scope="session", autouse=True)
def kept_kernels():
    """Where a seed is set, TensorFlow drops every kernel it has made: a fifth of the tests' time.

    It is for kernels that hold a state of random numbers, of which Keras has none.
    """
    if keras.backend.backend() != "tensorflow":
        yield
        return
    from tensorflow.python.eager import context

    set_seed = context.Context._set_global_seed

    def keep(self, seed):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(context.pywrap_tfe, "TFE_ContextClearCaches", lambda handle: None)
            set_seed(self, seed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(context.Context, "_set_global_seed", keep)
        yield


@pytest.fixture(autouse=True)
def reproducible():
    """The same random numbers and the default dtype policy for every test."""
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")
