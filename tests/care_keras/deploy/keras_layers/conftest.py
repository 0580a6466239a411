"""Lets the harness's assertions say what they compare."""

import pytest

pytest.register_assert_rewrite("tests.care_keras.deploy.keras_layers.harness")
