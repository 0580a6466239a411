"""Ranges that observers make of data whose good ranges are known."""

import numpy as np
import pytest

from care_keras.quantization import QuantizationConfig
from care_keras.quantization.observer import Observer, affine_parameters

RNG = np.random.default_rng(5)
BELL = RNG.normal(size=200_000).astype(np.float32)
OUTLIER = np.float32(30.0)


def observed(kind, *batches, relative=False, covers=False, **kwargs):
    observer = Observer(QuantizationConfig(observer=kind, **kwargs), relative, covers)
    for batch in batches:
        observer.observe(np.asarray(batch, np.float32))
    return observer


def rounded(values, low, high, symmetric=False):
    scale, zero_point = affine_parameters(low, high, symmetric)
    codes = np.clip(np.rint(values / scale) + zero_point, -128, 127)
    return (codes - zero_point) * scale


def squared_error(values, *limits):
    return float(np.sum((rounded(values, *limits) - values) ** 2))


def test_min_max_keeps_an_outlier():
    low, high = observed("min_max", BELL[:1000], [OUTLIER], BELL[1000:]).range(False)
    assert (low, high) == (BELL.min(), OUTLIER)


def test_percentile_clips_an_outlier():
    low, high = observed("percentile", BELL, [OUTLIER], percentile=99.9).range(False)
    # 0.05 % of a normal distribution lie beyond 3.29; a bin is 60 / 4096 wide.
    assert low == pytest.approx(-3.29, abs=0.1) and high == pytest.approx(3.29, abs=0.1)


def test_all_percent_is_min_max():
    low, high = observed("percentile", BELL, percentile=100.0).range(False)
    np.testing.assert_allclose((low, high), (BELL.min(), BELL.max()), rtol=1e-3)


@pytest.mark.parametrize("symmetric", [False, True])
def test_mse_clips_an_outlier_as_far_as_that_pays(symmetric):
    values = np.append(BELL, OUTLIER)
    low, high = observed("mse", BELL, [OUTLIER]).range(symmetric)
    assert 12.0 < high < 26.0
    if symmetric:
        assert low == -high
    best = squared_error(values, low, high, symmetric)
    for limit in np.linspace(4.0, OUTLIER, 27):
        candidate = (-limit if symmetric else low, limit)
        assert best <= 1.02 * squared_error(values, *candidate, symmetric)


def test_mse_of_even_data_clips_nothing_much():
    low, high = observed("mse", np.linspace(-1.0, 3.0, 10_000)).range(False)
    assert -1.0 <= low < -0.9 and 2.8 < high <= 3.0


def test_moving_average_weighs_later_batches_less():
    observer = observed("moving_average", [-1.0, 2.0], [-3.0, 12.0], momentum=0.9)
    np.testing.assert_allclose(observer.range(False), (-1.2, 3.0), rtol=1e-6)


@pytest.mark.parametrize("kind", ["mse", "min_max", "percentile", "moving_average"])
def test_zero_lies_in_every_range(kind):
    low, high = observed(kind, np.linspace(2.0, 3.0, 1000)).range(False)
    assert low == 0.0 and 2.0 < high <= 3.01
    low, high = observed(kind, np.linspace(-3.0, -2.0, 1000)).range(False)
    assert -3.01 <= low < -2.0 and high == 0.0
    assert observed(kind, np.zeros(10)).range(False) == (0.0, 0.0)


def test_the_histogram_widens_without_loss():
    """Counts go to the bins they would have been in from the start."""
    observer = observed("percentile", BELL[:5000])
    narrow = observer._limit
    counts = observer._counts.copy()
    observer.observe(np.asarray([7.9 * narrow], np.float32))
    assert observer._limit == 8.0 * narrow
    assert observer._counts.sum() == 5001
    coarse = counts.reshape(-1, 8).sum(axis=1)
    middle = len(counts) // 2
    np.testing.assert_array_equal(
        observer._counts[middle - len(coarse) // 2 : middle + len(coarse) // 2], coarse
    )


def test_zeros_are_left_out():
    """They are exact in every range, and ReLU-like data has many of them."""
    with_zeros = np.concatenate([BELL, np.zeros(10 * len(BELL), np.float32)])
    plain = observed("percentile", BELL, percentile=90.0).range(False)
    assert observed("percentile", with_zeros, percentile=90.0).range(False) == plain


def test_relative_errors_weigh_small_values():
    """A divisor of 0.01 that is wrong by half counts as one of 10 wrong by half."""
    values = np.append(np.geomspace(0.01, 1.0, 20_000), [100.0] * 20).astype(np.float32)
    absolute = observed("mse", values).range(False)
    relative = observed("mse", values, relative=True).range(False)
    assert relative[1] < 0.1 * absolute[1]

    def relative_error(limits):
        return float(np.mean((rounded(values, *limits) / values - 1.0) ** 2))

    assert relative_error(relative) < 0.5 * relative_error(absolute)


def test_a_few_tiny_values_do_not_rule_out_the_rest():
    """As variances of a token that is nearly constant, beside those of a thousand others."""
    values = np.append(np.full(20, 1e-6), RNG.uniform(0.5, 5.0, 20_000)).astype(np.float32)
    _, high = observed("mse", values, relative=True, covers=True).range(False)
    assert high > 4.5
    # Of inverses the few largest are cut off.
    _, high = observed("mse", 1 / values, relative=True).range(False)
    assert high < 5.0


def test_values_that_are_not_finite_are_refused():
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match="not finite"):
            observed("mse", [0.0, bad, 1.0])


@pytest.mark.parametrize(
    "low, high, symmetric, zero_point, scale",
    [
        (-1.0, 1.0, True, 0, 1 / 127),
        (-3.0, 1.0, True, 0, 3 / 128),
        (-1.0, 3.0, True, 0, 3 / 127),
        (0.0, 5.1, False, -128, 5.1 / 255),
        (-5.1, 0.0, False, 127, 5.1 / 255),
        (-1.0, 2.0, False, -43, 3 / 255),
    ],
)
def test_parameters_of_a_range(low, high, symmetric, zero_point, scale):
    found_scale, found_zero_point = affine_parameters(low, high, symmetric)
    assert found_zero_point == zero_point
    assert found_scale.dtype == np.float32 and found_scale == np.float32(scale)


def test_a_tensor_of_zeros_has_a_step():
    for symmetric in (False, True):
        scale, zero_point = affine_parameters(0.0, 0.0, symmetric)
        assert scale == np.float32(1 / 128) and zero_point == (0 if symmetric else -128)


@pytest.mark.parametrize(
    "wrong",
    [{"observer": "median"}, {"training_ranges": "free"}, {"percentile": 5.0}, {"momentum": 1.0}],
)
def test_bad_configurations(wrong):
    with pytest.raises(ValueError, match=f"`{next(iter(wrong))}` must be .*Received: "):
        QuantizationConfig(**wrong)
