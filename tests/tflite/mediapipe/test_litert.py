"""A file on the images of a source, in LiteRT: a formula says what it gives."""

import dataclasses

import numpy as np

from care_keras.data.sources import Source
from tests.tflite.tiny_classifiers import CLASSES, PREPROCESSING, expected_scores, tiny_classifier
from tflite.inputs.records import ModelInput
from tflite.mediapipe.litert import run_on_images

IMAGES = np.random.default_rng(1).integers(0, 256, (5, 8, 8, 3)).astype(np.uint8)
MODEL_INPUT = ModelInput("float", PREPROCESSING)


def read(place):
    if place == 2:
        raise ValueError("no image")
    return IMAGES[place]


SOURCE = Source("five", 5, read, np.arange(5), None, tuple("abcde"))
READABLE = [0, 1, 3, 4]


def test_one_image_at_a_time(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(tiny_classifier("open"))
    found = run_on_images(path, MODEL_INPUT, SOURCE)
    pixels = IMAGES[READABLE]
    np.testing.assert_array_equal(found.pixels, pixels)
    assert found.size == (8, 8)
    ((name, values),) = found.values.items()
    assert found.tensors[name].shape == (1, CLASSES)
    np.testing.assert_allclose(values, expected_scores(pixels), atol=1e-5)


def test_labels_only_of_the_models_classes(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(tiny_classifier("open"))
    for labels, expected in ((tuple("abcde"), READABLE), (tuple("edcba"), None)):
        source = dataclasses.replace(SOURCE, class_names=tuple("abcde"))
        found = run_on_images(path, dataclasses.replace(MODEL_INPUT, labels=labels), source)
        assert (None if found.labels is None else found.labels.tolist()) == expected
