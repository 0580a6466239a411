import numpy as np
import pytest

from care_keras.metrics import snr_db
from tflite.zoo.worst_snr import WorstSNR

PHOTOS = 60
GENERATOR = np.random.default_rng(0)
REFERENCE = {
    "boxes": GENERATOR.normal(size=(PHOTOS, 4, 2)),
    "scores": GENERATOR.normal(size=(PHOTOS, 5)),
}


def noisy(boxes, scores, seed):
    generator = np.random.default_rng(seed)
    sizes = {"boxes": boxes, "scores": scores}
    return {
        name: one + sizes[name] * generator.normal(size=one.shape)
        for name, one in REFERENCE.items()
    }


def test_it_is_the_snr_of_the_output_that_lost_most():
    outputs = noisy(boxes=0.1, scores=0.3, seed=1)
    worst = WorstSNR(outputs, REFERENCE).value()
    assert worst == pytest.approx(snr_db(outputs["scores"], REFERENCE["scores"]))
    assert worst < snr_db(outputs["boxes"], REFERENCE["boxes"])


def test_photos_that_are_not_drawn_do_not_count():
    outputs = noisy(boxes=0.1, scores=0.3, seed=1)
    outputs["scores"][0] += 1e3
    draws = np.ones(PHOTOS)
    draws[0] = 0.0
    spared = WorstSNR(outputs, REFERENCE).value(draws)
    rest = {name: one[1:] for name, one in outputs.items()}
    expected = WorstSNR(rest, {name: one[1:] for name, one in REFERENCE.items()}).value()
    assert spared == pytest.approx(expected)


def test_a_file_with_half_the_noise_is_above_beyond_chance():
    better, worse = (WorstSNR(noisy(0.1, size, seed=2), REFERENCE) for size in (0.15, 0.3))
    low, high = better.interval_above(worse)
    assert low > 0.0 and low < better.value() - worse.value() < high
    assert worse.interval_above(better)[1] < 0.0


def test_files_of_equal_noise_are_not_told_apart():
    one, other = (WorstSNR(noisy(0.1, 0.3, seed), REFERENCE) for seed in (3, 4))
    low, high = one.interval_above(other)
    assert low < 0.0 < high


def test_without_noise_there_is_no_interval():
    exact = WorstSNR(REFERENCE, REFERENCE)
    assert exact.value() == float("inf")
    assert exact.interval_above(WorstSNR(noisy(0.1, 0.3, 5), REFERENCE)) is None
