import numpy as np
import pytest

from tflite.benchmark.statistics import paired_ratio, quantiles, typical, unpaired_ratio


def rounds(generator, scale, drift, noise=0.01):
    return scale * drift * np.exp(generator.normal(0, noise, len(drift)))


def test_intervals_hold_the_truth_as_often_as_they_say():
    """95 % of them, less what ten rounds cost; a bootstrap over inferences would fail here."""
    generator = np.random.default_rng(0)
    inside = {"typical": 0, "paired": 0, "unpaired": 0}
    trials = 150
    for _ in range(trials):
        steady = np.ones(10)
        drift = np.exp(np.cumsum(generator.normal(0, 0.1, 10)))
        one, other = rounds(generator, 1.0, steady), rounds(generator, 1.0, steady)
        found = {
            "typical": (typical(one, generator), 1.0),
            "paired": (
                paired_ratio(rounds(generator, 1.3, drift), rounds(generator, 1, drift), generator),
                1.3,
            ),
            "unpaired": (unpaired_ratio(one, other, generator), 1.0),
        }
        for name, (estimate, truth) in found.items():
            assert estimate.low <= estimate.value <= estimate.high
            inside[name] += estimate.low <= truth <= estimate.high
    assert all(count > 0.88 * trials for count in inside.values()), inside


def test_a_drift_cancels_in_a_paired_ratio():
    generator = np.random.default_rng(1)
    drift = np.linspace(1, 3, 12)
    slow, fast = rounds(generator, 1.1, drift), rounds(generator, 1.0, drift)
    paired = paired_ratio(slow, fast, generator)
    assert paired.low > 1.05 and paired.high < 1.15
    unpaired = unpaired_ratio(slow, fast, generator)
    assert unpaired.low < 1 < unpaired.high


def test_quantiles_resample_rounds_not_inferences():
    """Two rounds that differ are two facts, however many inferences each has."""
    values = [np.full(1000, 1.0), np.full(1000, 2.0)]
    p50, p99 = quantiles(values, (0.5, 0.99), np.random.default_rng(0))
    assert p50.value == 1.5 and (p50.low, p50.high) == (1, 2)
    assert p99.value == 2 and p99.low == 1


def test_quantiles_of_all_inferences():
    (p90,) = quantiles([np.arange(0, 50.0), np.arange(50, 101.0)], (0.9,), np.random.default_rng(0))
    assert p90.value == 90


def test_a_ratio_to_itself():
    estimate = paired_ratio([3, 4, 5], [3, 4, 5], np.random.default_rng(0))
    assert (estimate.value, estimate.low, estimate.high) == (1, 1, 1)


def test_pairs_need_partners():
    with pytest.raises(ValueError, match="Received: 3 and 2 rounds"):
        paired_ratio([1, 2, 3], [1, 2], np.random.default_rng(0))
