"""A file on the images of a source, in LiteRT: a formula says what it gives."""

import numpy as np
import pytest

from care_keras.data.preprocessing import normalize
from care_keras.data.sources import Source
from tests.tflite.tiny_classifiers import CLASSES, PREPROCESSING, expected_scores, tiny_classifier
from tflite.inputs.on_images import run_on_images
from tflite.inputs.records import ModelInput

IMAGES = np.random.default_rng(1).integers(0, 256, (5, 8, 8, 3)).astype(np.uint8)
MODEL_INPUT = ModelInput("float", PREPROCESSING)


def read(place):
    if place == 2:
        raise ValueError("no image")
    return IMAGES[place]


SOURCE = Source("five", 5, read, np.arange(5), None, tuple("abcde"))
READABLE = [0, 1, 3, 4]


@pytest.mark.parametrize(
    ("kind", "asked", "batch"), [("open", None, 1), ("open", 3, 3), ("batch", None, 4)]
)
def test_each_image_fills_a_batch(tmp_path, kind, asked, batch):
    path = tmp_path / "model.tflite"
    path.write_bytes(tiny_classifier(kind))
    found = run_on_images(path, MODEL_INPUT, SOURCE, asked)
    pixels = IMAGES[READABLE]
    np.testing.assert_array_equal(found.pixels, pixels)
    np.testing.assert_array_equal(found.labels, READABLE)
    np.testing.assert_array_equal(found.inputs, normalize(pixels, PREPROCESSING))
    assert found.input.shape == (batch, 8, 8, 3) and found.output.shape == (batch, CLASSES)
    expected = np.repeat(expected_scores(pixels)[:, None], batch, axis=1)
    np.testing.assert_allclose(found.outputs, expected, atol=1e-5)
