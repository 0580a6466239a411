"""Shapes in words."""

import pytest

from care_keras.shapes import shape_text


@pytest.mark.parametrize(
    "shape,text",
    [
        ((1, 224, 224, 3), "1x224x224x3"),
        # Open as Keras has it, and as TFLite does.
        ((None, 10), "?x10"),
        ([-1, 0], "?x0"),
        ((7,), "7"),
        ((), "a scalar"),
    ],
)
def test_shapes_in_words(shape, text):
    assert shape_text(shape) == text
