import numpy as np
import pytest

from tflite.evaluate.accuracy import NO_CLASS, Share, compare, measure_accuracy

# Three classes: two images of the first, three of the second, none of the third.
LABELS = np.array([0, 0, 1, 1, 1])
PREDICTED = np.array([0, 1, 1, 2, NO_CLASS])
RANKS = np.array([0, 3, 0, 4, 7])


def test_counts_of_a_small_case():
    accuracy = measure_accuracy(PREDICTED, RANKS, LABELS, 3, outputs=8)
    assert (accuracy.top1.count, accuracy.top1.total) == (2, 5)
    assert accuracy.top1.value == 0.4 and accuracy.top5.value == 0.8
    assert accuracy.confusion.tolist() == [[1, 1, 0], [0, 1, 1], [0, 0, 0]]
    assert accuracy.class_images.tolist() == [2, 3, 0]
    assert accuracy.class_correct.tolist() == [1, 1, 0]
    assert accuracy.without_class == 1
    first, second, third = accuracy.class_accuracies
    assert (first, second) == (0.5, pytest.approx(1 / 3)) and np.isnan(third)


def test_no_top5_of_five_classes():
    assert measure_accuracy(PREDICTED, RANKS, LABELS, 3, outputs=5).top5 is None


def test_the_interval_of_a_share():
    # 8 of 10 by Wilson's formula, worked by hand.
    low, high = Share(8, 10).interval
    assert (round(low, 3), round(high, 3)) == (0.490, 0.943)


def test_two_models_side_by_side():
    second = np.array([0, 0, 1, 2, NO_CLASS])
    comparison = compare(PREDICTED, second, LABELS)
    # The last image is no agreement: neither named a class.
    assert comparison.agreement == Share(3, 5)
    assert comparison.both_right == 2
    assert (comparison.first_only_right, comparison.second_only_right) == (0, 1)
    assert comparison.top1_difference == pytest.approx(0.2)
    low, high = comparison.top1_difference_interval
    assert -1 <= low < 0.2 < high <= 1


def test_a_model_against_itself():
    comparison = compare(LABELS, LABELS, LABELS)
    assert comparison.agreement.value == 1 and comparison.top1_difference == 0
    low, high = comparison.top1_difference_interval
    assert low == -high
