"""What a segmenter is taught: pixels with a class, each image alike."""

import keras
import numpy as np
import pytest
from keras import ops

from care_keras.segmentation.loss import SegmentationLoss, class_weights, pixel_accuracy
from care_keras.segmentation.postprocessing import enlarge

RANDOM = np.random.default_rng(0)
LABELS = RANDOM.integers(0, 3, (2, 32, 48)).astype(np.uint8)
LOGITS = RANDOM.normal(size=(2, 8, 12, 3)).astype(np.float32)


def test_as_keras_has_it_for_the_enlarged_logits():
    large = np.stack([enlarge(one, (32, 48)) for one in LOGITS])
    entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    expected = float(ops.convert_to_numpy(entropy(LABELS, large)))
    found = float(ops.convert_to_numpy(SegmentationLoss()(LABELS, LOGITS)))
    assert found == pytest.approx(expected, rel=1e-5)


def test_pixels_without_a_class_count_nothing():
    void = LABELS.copy()
    void[:, 10:] = 255
    other = void.copy()
    other_logits = LOGITS.copy()
    # Far from what still has a class, whose enlarged logits look at their neighbours.
    other_logits[:, 5:] += 100.0
    losses = [SegmentationLoss().call(*pair) for pair in ((void, LOGITS), (other, other_logits))]
    np.testing.assert_allclose(*map(ops.convert_to_numpy, losses), rtol=1e-6)
    nothing = np.full_like(LABELS, 255)
    assert float(ops.convert_to_numpy(SegmentationLoss()(nothing, LOGITS))) == 0.0


def test_classes_that_count_for_more():
    rare = class_weights(np.array([500, 500, 0]))
    np.testing.assert_allclose(rare, 1 / np.log([1.52, 1.52, 1.02]))
    weights = np.float32([1.0, 5.0, 0.25])
    loss = SegmentationLoss(weights)
    large = np.stack([enlarge(one, (32, 48)) for one in LOGITS])
    entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=None)
    each = ops.convert_to_numpy(entropy(LABELS, large))
    expected = [
        np.average(one, weights=weights[labels]) for one, labels in zip(each, LABELS, strict=True)
    ]
    np.testing.assert_allclose(ops.convert_to_numpy(loss.call(LABELS, LOGITS)), expected, rtol=1e-5)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert again.class_weights == loss.class_weights


def test_accuracy_of_the_middle_of_each_logit():
    classes = LOGITS.argmax(-1)
    labels = classes.repeat(4, 1).repeat(4, 2).astype(np.uint8)
    np.testing.assert_allclose(ops.convert_to_numpy(pixel_accuracy(labels, LOGITS)), [1, 1])
    labels[0, :16] = (labels[0, :16] + 1) % 3
    labels[1, :16] = 255
    found = ops.convert_to_numpy(pixel_accuracy(labels, LOGITS))
    np.testing.assert_allclose(found, [0.5, 1.0])
