"""What an app reads out of outputs, and how much of it two runs have in common."""

import numpy as np
import pytest

from care_keras.detection.anchors import Anchors
from care_keras.litert.tensor import TensorInfo
from care_keras.models import Preprocessing
from care_keras.tflite_file import read_graph
from tests.tflite.tiny_models import tiny_model
from tflite.inputs.records import ModelInput
from tflite.runs.answers import Boxes, Classes, agreement, answers_of

SIZE = (64, 64)
ANCHORS = Anchors((3, 4)).boxes(SIZE)
BOXES = Boxes(
    (1, 0),
    (
        TensorInfo("location", (1, len(ANCHORS), 4), np.dtype(np.uint8), 0.1, 128),
        TensorInfo("score", (1, len(ANCHORS), 2), np.dtype(np.uint8), 1 / 256, 0),
    ),
    ANCHORS,
    SIZE,
)


def outputs(*found, noise=0):
    """Scores, then locations, with some `(anchor, label, shift)` found."""
    location = np.full((1, len(ANCHORS), 4), 128 + noise, np.uint8)
    score = np.full((1, len(ANCHORS), 2), 3, np.uint8)
    for anchor, label, shift in found:
        score[0, anchor, label] = 200
        location[0, anchor] = (128 + shift, 128, 128, 128)
    return [score, location]


# Anchors of 32 pixels, far apart: of rows of 8.
LEFT, RIGHT = 3 * 8 + 2, 3 * 8 + 7


@pytest.mark.parametrize(
    ("other", "share"),
    [
        (outputs((LEFT, 0, 0), (RIGHT, 1, 0)), 1.0),
        # A tenth of the anchor.
        (outputs((LEFT, 0, 10), (RIGHT, 1, 0)), 1.0),
        # By more than half of it.
        (outputs((LEFT, 0, 60), (RIGHT, 1, 0)), 0.5),
        # Of another class.
        (outputs((LEFT, 1, 0), (RIGHT, 1, 0)), 0.5),
        (outputs((RIGHT, 1, 0)), 2 / 3),
        (outputs(), 0.0),
    ],
)
def test_boxes_in_common(other, share):
    first = outputs((LEFT, 0, 0), (RIGHT, 1, 0))
    assert agreement(BOXES, [(first, other)]) == pytest.approx(share)
    assert agreement(BOXES, [(other, first)]) == pytest.approx(share)


def test_no_boxes_at_all_say_nothing():
    assert agreement(BOXES, [(outputs(), outputs())]) is None
    # An image without any weighs nothing beside one with some.
    one = outputs((LEFT, 0, 0))
    assert agreement(BOXES, [(outputs(), outputs()), (one, one)]) == 1.0


def test_locations_of_nothing_are_no_noise():
    first, second = (outputs((LEFT, 0, 5), noise=noise) for noise in (0, 40))
    read = [BOXES.read(one, first) for one in (first, second)]
    np.testing.assert_array_equal(read[0][1], read[1][1])
    assert read[0][1].shape == (1, 4) and read[0][0].shape == first[0].shape


def test_what_a_file_is_read_for():
    graph = read_graph(tiny_model("conv"))
    found = answers_of(graph, "m.tflite", None)
    assert found == Classes(0, "pixels of one class")
    maps = np.random.default_rng(0).normal(size=(2, 1, 16, 16, 3))
    expected = np.mean(maps[0].argmax(-1) == maps[1].argmax(-1))
    assert agreement(found, [([maps[0]], [maps[1]])]) == pytest.approx(expected)
    detector = ModelInput("float", Preprocessing(16, 16), task={"name": "detection"})
    with pytest.raises(ValueError, match="A detector must give location"):
        answers_of(graph, "m.tflite", detector)
    assert answers_of(read_graph(tiny_model("two")), "m.tflite", None).heading == "same class"
