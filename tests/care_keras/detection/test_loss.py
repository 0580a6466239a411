"""What a detector is taught: the best outputs have the least loss, crowds teach nothing."""

import keras
import numpy as np
import pytest
from keras import ops

from care_keras.detection.anchors import LOCATION_SCALES, Anchors
from care_keras.detection.assignment import assign
from care_keras.detection.loss import DetectionLoss

SIZE = (64, 96)
ANCHORS = Anchors((3, 4))
BOXES = np.float32([[8, 8, 40, 48], [20, 50, 60, 90]])
LABELS = (1, 0)
LOSS = DetectionLoss(ANCHORS, SIZE)


def targets(boxes=BOXES, labels=LABELS, rows=4):
    y = np.full((1, rows, 5), -1, np.float32)
    y[0, : len(boxes), :4] = boxes / np.tile(SIZE, 2)
    y[0, : len(boxes), 4] = labels
    return y


def perfect():
    """Each assigned anchor at its object, scores of 1 there and of 0 elsewhere."""
    found = assign(BOXES[None], np.array([LABELS]), ANCHORS, SIZE)
    positive = ops.convert_to_numpy(found.positive)[0]
    chosen = ops.convert_to_numpy(found.object)[0]
    anchors = ANCHORS.boxes(SIZE)
    boxes = BOXES[chosen]
    centre, size = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    offsets = [(centre - anchors[:, :2]) / anchors[:, 2:], np.log(size / anchors[:, 2:])]
    location = np.concatenate(offsets, 1) * LOCATION_SCALES
    score = np.where(positive[:, None], np.eye(2)[np.take(LABELS, chosen)], 0.0)
    return np.concatenate([location, score], 1)[None].astype(np.float32), positive


def value(part, y_true, y_pred):
    return float(ops.convert_to_numpy(getattr(LOSS, part)(y_true, y_pred)).mean())


def test_nothing_is_left_to_learn_of_what_is_right():
    outputs, positive = perfect()
    assert positive.sum() >= 2
    assert value("box_loss", targets(), outputs) == pytest.approx(0, abs=1e-4)
    assert value("class_loss", targets(), outputs) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize(
    ("part", "column", "change"),
    [("box_loss", 0, 3.0), ("box_loss", 3, -2.0), ("class_loss", 4, 0.5), ("class_loss", 5, -0.5)],
)
def test_every_output_of_an_object_counts(part, column, change):
    outputs, positive = perfect()
    anchor = np.nonzero(positive & (outputs[0, :, 5] == 1))[0][0]
    outputs[0, anchor, column] += change
    assert value(part, targets(), outputs) > 0.01


def test_a_score_is_to_be_the_iou():
    outputs, _positive = perfect()
    # Twice as high as the object: an IoU of a half.
    outputs[..., 2] += LOCATION_SCALES[2] * np.log(2.0)
    losses = []
    for score in (0.3, 0.5, 0.8):
        changed = outputs.copy()
        changed[..., 4:] *= score
        losses.append(value("class_loss", targets(), changed))
    assert losses[1] == min(losses)


def test_a_score_beside_objects_costs_and_in_a_crowd_does_not():
    outputs, positive = perfect()
    centres = ANCHORS.boxes(SIZE)[:, :2]
    crowd = np.float32([0, 0, 20, 96])
    inside = ((centres > crowd[:2]) & (centres < crowd[2:])).all(1) & ~positive
    outputs[0, inside, 4] = 0.9
    assert value("class_loss", targets(), outputs) > 0.1
    with_crowd = targets(np.concatenate([BOXES, crowd[None]]), (*LABELS, -2))
    assert value("class_loss", with_crowd, outputs) == pytest.approx(0, abs=1e-4)
    assert value("box_loss", with_crowd, outputs) == pytest.approx(0, abs=1e-4)


def test_images_without_objects_teach_scores_alone():
    outputs, _ = perfect()
    empty = targets(BOXES[:0], ())
    assert value("box_loss", empty, outputs) == 0.0
    assert value("class_loss", empty, outputs) > 0.1


def test_wild_outputs_have_a_finite_loss():
    outputs, _ = perfect()
    for extreme in (1e4, -1e4):
        outputs[..., :4] = extreme
        assert np.isfinite(value("call", targets(), outputs))


def test_saved_and_loaded():
    config = keras.saving.serialize_keras_object(LOSS)
    loaded = keras.saving.deserialize_keras_object(config)
    assert (loaded.anchors, loaded.image_size) == (ANCHORS, SIZE)
