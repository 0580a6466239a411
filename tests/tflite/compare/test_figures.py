"""What is told of a tensor against its reference."""

import math

import numpy as np
import pytest

from care_keras.litert.model import TensorInfo
from tflite.compare.figures import Criterion, Tally

FLOAT = TensorInfo("x", (1, 4), np.dtype(np.float32), 0.0, 0)
INT8 = TensorInfo("x", (1, 4), np.dtype(np.int8), 0.5, -3)
CRITERION = Criterion(15.0, 1.0, 8.0)


def figures(info, *pairs, criterion=CRITERION):
    tally = Tally(info)
    for reference, content in pairs:
        tally.add(np.asarray(reference, np.float32), np.asarray(content, info.dtype))
    return tally.figures(criterion)


def test_a_float_tensor():
    found = figures(FLOAT, ([[3.0, 4.0]], [[3.0, 4.5]]), ([[0.0, 0.0]], [[0.0, 0.0]]))
    assert found.snr_db == found.total_snr_db == pytest.approx(10 * math.log10(25 / 0.25))
    assert found.max_difference == 0.5
    # Relative to the root mean square of all four.
    assert found.error == pytest.approx(math.sqrt(0.25 / 4) / math.sqrt(25 / 4))
    assert found.rounding_snr_db is None and found.codes_equal is None
    assert found.worst_channel == 1 and found.wrong_channels == 0 and found.right


def test_rounding_and_clipping_are_no_fault_of_the_layer():
    """0.6 is held as 0.5, 1000 as 65: the codes are the best there are."""
    reference = [[0.6, 1000.0, -1.0, 0.0]]
    found = figures(INT8, (reference, INT8.quantize(np.asarray(reference))))
    assert found.right and math.isinf(found.snr_db) and found.error == 0.0
    assert found.codes_equal == 1.0 and found.max_code_difference == 0
    assert found.max_difference == 935.0
    assert found.rounding_snr_db == found.total_snr_db < 1.0


def test_errors_are_counted_in_codes():
    held = np.asarray([[10, 20, 30, 40]], np.int8)
    found = figures(INT8, (INT8.dequantize(held), held + np.asarray([0, 0, 3, -4], np.int8)))
    assert found.error == pytest.approx(2.5)
    assert found.worst_channel_error == pytest.approx(4.0) and found.worst_channel == 3
    assert found.max_code_difference == 4 and found.codes_equal == 0.5


def test_one_wrong_channel_of_many():
    rng = np.random.default_rng(0)
    held = rng.integers(-60, 60, (50, 64)).astype(np.int8)
    reference = INT8.dequantize(held)
    held[:, 17] = np.clip(held[:, 17] + 40.0, -128, 127)
    found = figures(INT8, (reference, held))
    assert found.snr_db > 15.0
    assert not found.right and (found.worst_channel, found.wrong_channels) == (17, 1)


def test_a_few_codes_of_noise_on_next_to_nothing_are_no_fault():
    reference = np.zeros((100, 2))
    reference[0] = 0.5
    held = INT8.quantize(reference)
    held[:50, 0] += 1
    found = figures(INT8, (reference, held))
    assert found.snr_db < 0.0 and found.right
    assert not figures(INT8, (reference, held), criterion=Criterion(15.0, 0.1, 0.5)).right


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_wrong(value):
    found = figures(FLOAT, ([[1.0, 2.0]], [[1.0, value]]))
    assert not found.right and found.max_difference == math.inf and found.snr_db == -math.inf
    assert found.worst_channel == 1


def test_integers_are_equal_or_not():
    """Of classes that are far apart no difference is larger than that of neighbours."""
    places = TensorInfo("x", (1, 2, 2), np.dtype(np.int32), 0.0, 0)
    reference = np.asarray([[[0, 1], [2, 900]]])
    same = figures(places, (reference, reference))
    assert same.equal == 1.0 and same.right and math.isinf(same.total_snr_db)
    other = figures(places, (reference, np.asarray([[[0, 1], [2, 3]]])))
    assert other.equal == 0.75 and not other.right and other.codes_equal is None
    alone = TensorInfo("x", (1,), np.dtype(np.int32), 0.0, 0)
    assert figures(alone, ([3], [3]), ([4], [3])).equal == 0.5
    assert figures(FLOAT, ([[3.0, 4.0]], [[3.0, 4.0]])).equal is None
