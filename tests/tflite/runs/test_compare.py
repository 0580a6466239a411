"""How far two runs are apart, and whether that is far."""

import math

import numpy as np
import pytest

from tflite.runs.answers import Classes
from tflite.runs.compare import compare
from tflite.runs.run import Run

HOST = [np.array([[3, -7, 100]], np.int8), np.array([[-128, 127, 0]], np.int8)]

CLASSES = Classes(0, "same class")


def run(*images, names=("scores",), **fields):
    """A run that gave these outputs, one array or a list of several for each image."""
    outputs = {i: image if isinstance(image, list) else [image] for i, image in enumerate(images)}
    return Run(names=names, outputs=outputs, **fields)


def judge(first, second, max_codes=0, tolerance=1e-4, answers=CLASSES):
    return compare(first, second, max_codes, tolerance, answers)


def test_equal_integers():
    found = judge(run(*HOST), run(*HOST))
    assert (found.images, found.values, found.equal) == (2, 6, 6)
    assert (found.largest_codes, found.largest_relative) == (0, None)
    assert (found.verdict, found.passed) == ("equal", True)
    assert found.agreement == 1.0 and found.worst_output is None


@pytest.mark.parametrize(
    ("max_codes", "verdict"), [(0, "wrong"), (1, "wrong"), (2, "within 2 codes")]
)
def test_integers_a_few_codes_apart(max_codes, verdict):
    found = judge(run(*HOST), run(HOST[0], HOST[1] + np.int8([[2, 0, -1]])), max_codes)
    assert (found.equal, found.largest_codes, found.verdict) == (4, 2, verdict)
    assert found.passed == (verdict != "wrong") and found.worst_output == "scores"


def test_differences_of_integers_do_not_wrap_around():
    low, high = np.full((1, 2), -128, np.int8), np.full((1, 2), 127, np.int8)
    assert judge(run(low), run(high)).largest_codes == 255
    assert judge(run(low.view(np.uint8)), run(high.view(np.uint8))).largest_codes == 1


def test_the_best_class_of_another_image_is_another():
    other = np.array([[100, 127, 127]], np.int8)
    found = judge(run(*HOST), run(HOST[0], other), max_codes=255)
    # Of equal ones the first is the best, on both sides.
    assert found.agreement == 1.0
    other = np.array([[127, 126, 0]], np.int8)
    assert judge(run(*HOST), run(HOST[0], other), max_codes=255).agreement == 0.5


def test_floats_are_judged_by_their_largest():
    first = np.array([[1000.0, 0.001]], np.float32)
    second = np.array([[1000.0, 0.011]], np.float32)
    found = judge(run(first), run(second))
    assert found.largest_relative == pytest.approx(1e-5, rel=1e-3)
    assert found.largest_codes is None and found.verdict == "within 0.0001"
    assert judge(run(first), run(second), tolerance=1e-6).verdict == "wrong"
    assert judge(run(first), run(first), tolerance=0.0).verdict == "equal"


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_equal_to_its_like_alone(odd):
    first, second = np.float32([[odd, 1.0, 2.0]]), np.float32([[5.0, 1.0, 2.0]])
    assert judge(run(first), run(first)).verdict == "equal"
    for pair in ((first, second), (second, first)):
        found = judge(run(pair[0]), run(pair[1]), tolerance=1e9)
        assert math.isinf(found.largest_relative) and found.verdict == "wrong"


def test_floats_beside_zeros():
    zeros = np.zeros((1, 3), np.float32)
    assert judge(run(zeros), run(-zeros)).verdict == "equal"
    assert judge(run(zeros), run(zeros + 1e-30)).verdict == "wrong"


def test_several_outputs_name_the_worst():
    first = [np.int8([[1, 2]]), np.float32([[1.0, 2.0]]), np.bool_([[True, False]])]
    second = [np.int8([[1, 3]]), np.float32([[1.0, 2.5]]), np.bool_([[True, False]])]
    names = ("codes", "values", "flags")
    found = judge(run(first, names=names), run(second, names=names), 1, 0.1, answers=None)
    assert found.worst_output == "values" and found.verdict == "wrong"
    assert (found.largest_codes, found.largest_relative) == (1, 0.25)
    assert found.agreement is None
    found = judge(run(first, names=names), run(second, names=names), 1, 0.3, answers=None)
    assert found.verdict == "within 1 codes and 0.3"


def test_an_image_that_fails_on_either_side_is_no_pass():
    host = run(*HOST)
    died = Run(names=("scores",), outputs={0: [HOST[0]]}, failures={1: "the process died"})
    found = judge(host, died)
    assert (found.images, found.equal, found.values) == (1, 3, 3)
    assert (found.verdict, found.passed) == ("failed", False)
    assert found.failures == {1: "the process died"}
    assert judge(died, host).failures == {1: "on the host: the process died"}
    assert judge(died, host).verdict == "failed"
    assert judge(died, died).failures == {1: "on both sides: the process died"}


def test_nothing_that_ran_is_no_pass():
    assert judge(run(*HOST), Run(error="no such operation")).verdict == "failed"


def test_outputs_of_another_kind_are_refused():
    with pytest.raises(ValueError, match="Received: int8 .1, 3. and int8 .3,."):
        judge(run(*HOST), run(HOST[0][0], HOST[1]))
    with pytest.raises(ValueError, match="Received: int8 .1, 3. and uint8"):
        judge(run(*HOST), run(HOST[0].view(np.uint8), HOST[1]))
