"""What is said of a run in half precision, by made-up runs."""

import numpy as np
import pytest

from tflite.arm64.half_precision import compare_half_precision
from tflite.runs.run import Run

FAMILIES = ("constant", *["photo"] * 100)
SCORES = np.float32([[3.0, 1.0, 2.0]])


def run(changes=None, images=101, **fields):
    """A run that gives `SCORES` and half a thousandth for each image, or what `changes` says."""
    outputs = {image: [SCORES + np.float32(0.0005)] for image in range(images)}
    outputs |= {image: [np.float32([scores])] for image, scores in (changes or {}).items()}
    return Run(names=("scores",), outputs=outputs, **fields)


def judge(other, plain=None):
    reference = run()
    for image in reference.outputs:
        reference.outputs[image] = [SCORES]
    plain = plain or Run(names=("scores",), outputs={0: [SCORES]})
    return compare_half_precision(reference, other, plain, FAMILIES)


def test_a_run_that_holds():
    found = judge(run())
    assert (found.verdict, found.passed, found.agreement) == ("holds", True, 1.0)
    assert (found.images, found.photos, found.not_finite) == (101, 100, 0)
    assert found.snr_db == pytest.approx(20 * np.log10(np.sqrt(14 / 3) / 0.0005), abs=0.1)


@pytest.mark.parametrize(("flips", "verdict"), [(0, "holds"), (1, "holds"), (2, "other classes")])
def test_one_photo_of_a_hundred_may_change_its_class(flips, verdict):
    found = judge(run({1 + image: [1.9, 1.0, 2.0] for image in range(flips)}))
    assert found.verdict == verdict and len(found.others) == flips
    for one in found.others:
        assert (one.margin, one.error) == (1.0, pytest.approx(1.1, rel=1e-5))


def maps(noise):
    """A run of two outputs, maps of two numbers that none is picked of."""
    outputs = [np.ones((1, 2, 2, 2), np.float32), np.full((1, 2, 2, 2), 3.0, np.float32)]
    outputs = [output + np.float32(noise) for output in outputs]
    return Run(names=("a", "b"), outputs=dict.fromkeys(range(101), outputs))


@pytest.mark.parametrize(("noise", "verdict"), [(0.001, "holds"), (1.0, "noisy")])
def test_what_nobody_picks_from_is_judged_by_its_noise(noise, verdict):
    found = compare_half_precision(maps(0.0), maps(noise), maps(0.0), FAMILIES)
    assert (found.verdict, found.photos, found.agreement) == (verdict, 0, None)


def test_pixels_keep_their_classes():
    class Pixels:
        def same(self, first, second):
            return int((first[0].argmax(-1) == second[0].argmax(-1)).sum()), second[0][..., 0].size

    scores = np.float32([[[3.0, 1.0], [1.0, 2.0]]])
    reference, other = (
        Run(names=("a",), outputs={image: [one] for image in range(101)})
        for one in (scores, scores[:, ::-1])
    )
    found = compare_half_precision(reference, other, reference, FAMILIES, Pixels())
    assert (found.agreement, found.photos, found.verdict) == (0.0, 0, "other classes")


def test_extreme_images_may():
    assert judge(run({0: [0.0, 1.0, 2.0]})).verdict == "holds"


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_what_is_not_finite_is_seen_on_any_image(value):
    found = judge(run({0: [3.0, 1.0, value]}))
    assert (found.verdict, found.not_finite) == ("not finite", 1)


def test_equal_numbers_are_float32s():
    found = judge(run(), run())
    assert (found.used, found.verdict) == (False, "computed in float32")


def test_images_that_fail_are_no_success():
    other = run(images=100, failures={100: "was ended by SIGABRT"})
    found = judge(other)
    assert (found.verdict, found.failures) == ("failed", {100: "was ended by SIGABRT"})
