"""Which anchors learn which objects, beside the algorithm as it is written."""

import numpy as np
import pytest
from keras import ops

from care_keras.detection.anchors import Anchors
from care_keras.detection.assignment import assign
from care_keras.detection.postprocessing import iou

SIZE = (96, 128)
ANCHORS = Anchors((3, 4, 5))


def by_the_book(boxes, anchors, counts):
    """Algorithm 1 of arXiv 1912.02424, object by object: `{anchor: object}`."""
    corners = np.concatenate(
        [anchors[:, :2] - anchors[:, 2:] / 2, anchors[:, :2] + anchors[:, 2:] / 2], 1
    )
    best = {}
    for number, box in enumerate(boxes):
        middle = (box[:2] + box[2:]) / 2
        distance = np.square(anchors[:, :2] - middle).sum(1)
        candidates, start = [], 0
        for count in counts:
            of_level = distance[start : start + count]
            limit = np.sort(of_level)[min(9, count) - 1]
            candidates += list(start + np.nonzero(of_level <= limit)[0])
            start += count
        overlaps = iou(box, corners[candidates])
        threshold = overlaps.mean() + overlaps.std(ddof=1)
        for anchor, overlap in zip(candidates, overlaps, strict=True):
            y, x = anchors[anchor, :2]
            inside = box[0] < y < box[2] and box[1] < x < box[3]
            if overlap >= threshold and inside and overlap > best.get(anchor, (-1, -1))[0]:
                best[anchor] = (overlap, number)
    return {anchor: number for anchor, (_, number) in best.items()}


def objects(seed, count=8):
    random = np.random.default_rng(seed)
    corner = random.uniform(0, [SIZE[0] - 12, SIZE[1] - 12], (count, 2))
    size = random.uniform(6, 60, (count, 2))
    boxes = np.concatenate([corner, np.minimum(corner + size, SIZE)], 1)
    return boxes.astype(np.float32), random.integers(0, 3, count)


@pytest.mark.parametrize("seed", range(8))
def test_as_the_algorithm_is_written(seed):
    boxes, labels = objects(seed)
    # A row that is no object must change nothing.
    padded = np.concatenate([boxes, np.zeros((3, 4), np.float32)])
    found = assign(padded[None], np.concatenate([labels, [-1] * 3])[None], ANCHORS, SIZE)
    expected = by_the_book(boxes, ANCHORS.boxes(SIZE), ANCHORS.counts(SIZE))
    positive = ops.convert_to_numpy(found.positive)[0]
    chosen = ops.convert_to_numpy(found.object)[0]
    assert {anchor: chosen[anchor] for anchor in np.nonzero(positive)[0]} == expected
    assert len(set(expected.values())) >= len(boxes) - 2
    assert not ops.convert_to_numpy(found.ignored).any()


def test_a_crowd_is_ignored_and_not_learned():
    boxes = np.float32([[[0, 0, 48, 64], [60, 80, 90, 120]]])
    found = assign(boxes, np.array([[-2, 1]]), ANCHORS, SIZE)
    centres = ANCHORS.boxes(SIZE)[:, :2]
    in_crowd = ((centres > [0, 0]) & (centres < [48, 64])).all(1)
    np.testing.assert_array_equal(ops.convert_to_numpy(found.ignored)[0], in_crowd)
    positive = ops.convert_to_numpy(found.positive)[0]
    assert positive.any() and not (positive & in_crowd).any()


def test_an_image_without_objects():
    found = assign(np.zeros((1, 2, 4), np.float32), np.full((1, 2), -1), ANCHORS, SIZE)
    assert not ops.convert_to_numpy(found.positive).any()
