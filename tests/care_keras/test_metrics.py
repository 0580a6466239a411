import numpy as np
import pytest

from care_keras.metrics import (
    Difference,
    absolute_differences,
    bootstrap_interval,
    label_ranks,
    paired_difference_interval,
    snr_db,
    top1_agreement,
    top_k,
    wilson_interval,
)


def test_top_k_counts_labels_among_the_best():
    outputs = np.array([[0.1, 0.5, 0.4], [0.9, 0.0, 0.1]])
    labels = np.array([2, 0])
    assert top_k(outputs, labels, 1) == 0.5
    assert top_k(outputs, labels, 2) == 1.0


def test_of_equal_scores_the_first_class_comes_first():
    outputs = np.array([[3, 7, 7, 7, 1]] * 5, np.int8)
    labels = np.arange(5)
    assert label_ranks(outputs, labels).tolist() == [3, 0, 1, 2, 4]
    assert top_k(outputs, labels, 1) == np.mean(np.argmax(outputs, axis=-1) == labels)


def test_nan_is_no_right_answer():
    outputs = np.array([[np.nan, 1.0, 0.0], [np.nan, 1.0, 0.0], [np.nan, np.nan, np.nan]])
    assert label_ranks(outputs, np.array([0, 1, 2]))[0] >= 2
    assert top_k(outputs, np.array([0, 1, 2]), 1) == 0.0


def test_agreement_is_of_the_best_class():
    a = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 1.0], [0.0, 3.0]])
    b = np.array([[5.0, 1.0], [9.0, 1.0], [2.0, 1.0], [0.0, 0.1]])
    assert top1_agreement(a, b) == 0.75


def test_snr_of_a_tenth_of_the_amplitude_is_20_db():
    reference = np.array([[1.0, -2.0, 3.0]])
    assert snr_db(reference * 1.1, reference) == pytest.approx(20.0)
    assert snr_db(reference, reference) == float("inf")
    assert snr_db(reference, reference * 0.0) == float("-inf")
    for bad in (np.nan, np.inf):
        broken = np.where(np.arange(reference.size).reshape(reference.shape) == 1, bad, reference)
        assert snr_db(broken, reference) == snr_db(reference, broken) == float("-inf")


def test_wilson_interval_of_a_known_case():
    # 8 of 10 by the formula, worked by hand: 0.490 to 0.943.
    low, high = wilson_interval(0.8, 10)
    assert (round(low, 3), round(high, 3)) == (0.490, 0.943)
    assert wilson_interval(1.0, 50)[1] == pytest.approx(1.0)


def test_wilson_interval_stays_between_0_and_1():
    for count in range(1, 60):
        assert 0.0 <= wilson_interval(0.0, count)[0] < 1e-12
        assert 1.0 >= wilson_interval(1.0, count)[1] > 1 - 1e-12


def test_paired_interval_of_a_known_case():
    # 10 and 4 of 100, by the formula, worked by hand: (4 - 10) / 102 -+ 1.96 * 0.037547.
    low, high = paired_difference_interval(10, 4, 100)
    assert (round(low, 4), round(high, 4)) == (-0.1324, 0.0147)


def test_paired_interval_covers_the_true_difference():
    generator = np.random.default_rng(0)
    # Only the first right, only the second right, neither or both.
    draws = generator.multinomial(300, [0.06, 0.03, 0.91], size=2000)
    intervals = [paired_difference_interval(b, c, 300) for b, c, _ in draws]
    covered = np.mean([low < -0.03 < high for low, high in intervals])
    assert 0.93 < covered < 0.98


def test_bootstrap_of_a_mean_is_the_normal_interval():
    values = np.random.default_rng(0).normal(3.0, 2.0, 400)
    low, high = bootstrap_interval(lambda counts: np.average(values, weights=counts), 400)
    error = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - error, abs=0.03)
    assert high == pytest.approx(values.mean() + error, abs=0.03)
    again = bootstrap_interval(lambda counts: np.average(values, weights=counts), 400)
    assert again == (low, high)


def test_bootstrap_of_a_figure_that_drawing_alone_raises():
    """That two of 30 classes are the same: a sample says so too often, a resample more so."""
    generator = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        labels = generator.integers(0, 30, 200)

        def figure(drawn, labels=labels):
            return np.sum((np.bincount(labels, drawn, 30) / 200) ** 2)

        low, high = bootstrap_interval(figure, 200, resamples=100, seed=trial, limits=(0.0, 1.0))
        covered += low <= 1 / 30 <= high
        assert high < figure(np.ones(200)) + 0.002
    assert covered > 170


@pytest.mark.parametrize("units", [0, 1])
def test_nothing_can_be_drawn_of_one(units):
    assert bootstrap_interval(lambda counts: 0.5, units) is None


def test_bootstrap_stays_within_limits():
    values = np.arange(50.0)
    ends = bootstrap_interval(lambda drawn: values[drawn > 0].max(), 50, limits=(0.0, 49.0))
    assert ends == (49.0, 49.0)


def test_bootstrap_of_a_figure_that_is_not_always_known():
    """Of two units both are drawn in half of the resamples."""
    draws = []

    def figure(drawn):
        draws.append(drawn.tolist())
        return float("nan") if 0 in drawn else 1.0

    assert bootstrap_interval(figure, 2, resamples=400) == (1.0, 1.0)
    assert 150 < sum(drawn == [1, 1] for drawn in draws) < 250
    assert bootstrap_interval(lambda drawn: float("nan"), 2) is None
    assert bootstrap_interval(np.mean, 0) is None


def test_difference_of_integers_and_floats():
    codes = np.array([1, -128, 3], np.int8), np.array([1, 127, 2], np.int8)
    floats = np.array([10.0, np.nan, 0.0], np.float32), np.array([10.0, np.nan, 1.0], np.float32)
    both = Difference.of([codes, floats])
    assert (both.values, both.differing, both.equal) == (6, 3, 3)
    assert (both.largest_codes, both.largest_relative) == (255, pytest.approx(0.1))
    assert Difference.of([codes]).largest == 255 and Difference().largest == 0
    assert Difference.of([codes]) + Difference.of([floats]) == both
    assert Difference() + Difference.of([codes]) == Difference.of([codes])
    with pytest.raises(ValueError, match="same shape and type"):
        Difference.of([(codes[0], floats[0])])


def test_what_is_not_finite_on_one_side_differs_without_end():
    first = np.array([np.nan, np.inf, np.inf, 1.0], np.float32)
    second = np.array([np.nan, np.inf, -np.inf, np.nan], np.float32)
    assert absolute_differences(first, second).tolist() == [0.0, 0.0, np.inf, np.inf]
    assert Difference.of([(first, second)]).largest_relative == np.inf
    zeros = np.zeros(4, np.float32)
    assert Difference.of([(zeros, zeros + 1.0)]).largest_relative == np.inf
    assert Difference.of([(zeros, zeros)]).largest_relative == 0.0
