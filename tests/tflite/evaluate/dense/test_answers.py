"""What becomes of one image's outputs: classes that the data lacks, and numbers that are none."""

import types

import numpy as np

from care_keras.data.segmentation import VOID
from care_keras.detection.anchors import Anchors
from tflite.evaluate.accuracy import NO_CLASS
from tflite.evaluate.dense.detection import Detection
from tflite.evaluate.dense.segmentation import Segmentation

SIZE = (32, 32)
DETECTOR = types.SimpleNamespace(anchors=Anchors((4,), (1.0,)).boxes(SIZE), size=SIZE)


def detector_outputs():
    """Four anchors of 16x16 pixels, each sure of one of three classes."""
    score = np.zeros((4, 3), np.float32)
    score[np.arange(4), [0, 1, 2, 1]] = [0.9, 0.8, 0.7, 0.6]
    return [np.zeros((4, 4), np.float32), score]


def test_boxes_lie_on_the_image_and_have_the_datas_classes():
    classes = np.array([5, NO_CLASS, 0])
    boxes, scores, labels = Detection().answer(DETECTOR, detector_outputs(), classes, (64, 320))
    assert labels.tolist() == [5, 0] and np.allclose(scores, [0.9, 0.7])
    assert boxes.tolist() == [[0, 0, 32, 160], [32, 0, 64, 160]]


def test_boxes_that_are_no_numbers_are_left_out():
    location, score = detector_outputs()
    location[0], location[3, 2:] = np.nan, 1e9
    score[2] = np.nan
    boxes, _, labels = Detection().answer(DETECTOR, [location, score], np.arange(3), SIZE)
    assert labels.tolist() == [1, 1] and np.isfinite(boxes).all()
    assert boxes[1].tolist() == [0, 0, 32, 32]


def test_of_a_pixel_the_best_class_that_the_data_has():
    logits = np.zeros((1, 2, 3), np.float32)
    logits[0, :, 1] = 9.0
    logits[0, 0, 2] = logits[0, 1, 0] = 1.0
    classes = np.array([7, NO_CLASS, 3])
    found = Segmentation().answer(None, [logits], classes, (2, 4))
    assert found.tolist() == [[3, 3, 7, 7]] * 2 and found.dtype == np.uint8


def test_what_is_known_is_counted_by_class():
    tally = Segmentation().tally(3, 1)
    tally.add(np.array([[0, 2, 2, VOID]], np.uint8), [np.array([[0, 2, 1, 1]], np.uint8)])
    assert tally.class_counts().tolist() == [1, 0, 2]
    (evaluation,) = tally.evaluations(None)
    assert evaluation.figures().per_class == (1.0, 0.0, 0.5)
