"""Boxes out of outputs: on backends as in NumPy, and as greedy suppression is defined."""

import numpy as np
import pytest
from keras import ops

from care_keras.detection import postprocessing
from care_keras.detection.anchors import Anchors
from care_keras.detection.boxes import decode, detections

SIZE = (96, 128)
ANCHORS = Anchors((3, 4, 5))


def outputs(seed, classes=3, batch=2):
    random = np.random.default_rng(seed)
    count = sum(ANCHORS.counts(SIZE))
    location = random.normal(0, 2, (batch, count, 4)).astype(np.float32)
    # Many near-misses: scores that crowd together, boxes that overlap.
    score = (random.random((batch, count, classes)) ** 4).astype(np.float32)
    return location, score


def test_anchors_lie_on_their_pixels():
    boxes = ANCHORS.boxes(SIZE)
    assert boxes.shape == (12 * 16 + 6 * 8 + 3 * 4, 4) and boxes.dtype == np.float32
    np.testing.assert_array_equal(boxes[0], [4, 4, 32, 32])
    np.testing.assert_array_equal(boxes[1], [4, 12, 32, 32])
    np.testing.assert_array_equal(boxes[-1], [80, 112, 128, 128])


def test_ratios_keep_the_area_and_scales_multiply():
    anchors = Anchors((3,), scales=(4.0, 8.0), aspect_ratios=(0.5, 2.0))
    sizes = anchors.boxes((8, 8))[:, 2:]
    np.testing.assert_allclose(sizes.prod(1), [1024, 1024, 4096, 4096], rtol=1e-6)
    np.testing.assert_allclose(sizes[:, 0] / sizes[:, 1], [0.5, 2, 0.5, 2], rtol=1e-6)


def test_a_location_of_nothing_is_the_anchor():
    anchors = np.float32([[20, 30, 16, 32]])
    expected = [[12, 14, 28, 46]]
    np.testing.assert_allclose(postprocessing.decode(np.zeros((1, 4)), anchors), expected)
    found = ops.convert_to_numpy(decode(np.zeros((1, 1, 4), np.float32), anchors))
    np.testing.assert_allclose(found[0], expected)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("iou_threshold", [0.3, 0.6, 0.9])
def test_backends_and_numpy_find_the_same(seed, iou_threshold):
    location, score = outputs(seed)
    limits = {"score_threshold": 0.1, "iou_threshold": iou_threshold, "candidates": 300}
    limits["most"] = 40
    found = detections(location, score, ANCHORS, SIZE, **limits)
    for image, (boxes, scores, labels) in enumerate(
        zip(*map(ops.convert_to_numpy, found), strict=True)
    ):
        expected = postprocessing.detections(
            location[image], score[image], ANCHORS.boxes(SIZE), SIZE, **limits
        )
        count = len(expected[1])
        assert 0 < count <= 40
        assert (labels[count:] == -1).all() and (scores[count:] == 0).all()
        np.testing.assert_allclose(boxes[:count], expected[0], atol=1e-3)
        np.testing.assert_allclose(scores[:count], expected[1], rtol=1e-6)
        np.testing.assert_array_equal(labels[:count], expected[2])


@pytest.mark.parametrize("seed", range(4))
def test_what_is_kept_does_not_overlap_and_what_is_not_does(seed):
    location, score = outputs(seed, classes=1, batch=1)
    boxes, scores, _ = postprocessing.detections(
        location[0], score[0], ANCHORS.boxes(SIZE), SIZE, score_threshold=0.2, most=10_000
    )
    every = postprocessing.decode(location[0], ANCHORS.boxes(SIZE)).clip(0, [*SIZE, *SIZE])
    for box, own in zip(boxes, scores, strict=True):
        assert (postprocessing.iou(box, boxes[scores > own]) <= 0.6).all()
    for box, own in zip(every, score[0, :, 0], strict=True):
        if own > 0.2 and own not in scores:
            assert postprocessing.iou(box, boxes[scores > own]).max() > 0.6


def test_nothing_is_found_where_all_scores_are_low():
    location, score = outputs(0)
    boxes, scores, labels = detections(location, 0.01 * score, ANCHORS, SIZE)
    assert not ops.convert_to_numpy(scores).any() and not ops.convert_to_numpy(boxes).any()
    assert (ops.convert_to_numpy(labels) == -1).all()
    empty = postprocessing.detections(location[0], 0.01 * score[0], ANCHORS.boxes(SIZE), SIZE)
    assert [len(one) for one in empty] == [0, 0, 0] and empty[0].shape == (0, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"levels": (3, 5)}, r"levels=\(3, 5\)"),
        ({"levels": ()}, r"levels=\(\)"),
        ({"levels": (3,), "scales": (0.0,)}, r"scales=\(0.0,\)"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        Anchors(**arguments)
