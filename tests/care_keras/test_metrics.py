import numpy as np
import pytest

from care_keras.metrics import snr_db, top1_agreement, top_k, wilson_interval


def test_top_k_counts_labels_among_the_best():
    outputs = np.array([[0.1, 0.5, 0.4], [0.9, 0.0, 0.1]])
    labels = np.array([2, 0])
    assert top_k(outputs, labels, 1) == 0.5
    assert top_k(outputs, labels, 2) == 1.0


def test_agreement_is_of_the_best_class():
    a = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 1.0], [0.0, 3.0]])
    b = np.array([[5.0, 1.0], [9.0, 1.0], [2.0, 1.0], [0.0, 0.1]])
    assert top1_agreement(a, b) == 0.75


def test_snr_of_a_tenth_of_the_amplitude_is_20_db():
    reference = np.array([[1.0, -2.0, 3.0]])
    assert snr_db(reference * 1.1, reference) == pytest.approx(20.0)
    assert snr_db(reference, reference) == float("inf")
    assert snr_db(reference, reference * 0.0) == float("-inf")


def test_wilson_interval_of_a_known_case():
    # 8 of 10 by the formula, worked by hand: 0.490 to 0.943.
    low, high = wilson_interval(0.8, 10)
    assert (round(low, 3), round(high, 3)) == (0.490, 0.943)
    assert wilson_interval(1.0, 50)[1] == pytest.approx(1.0)
