import pathlib

import numpy as np
import pytest

from care_keras.convert.draw import DrawnExamples
from care_keras.convert.examples import InputSpec
from care_keras.convert.job import ConversionJob
from care_keras.data.record import Preprocessing

RECORD = Preprocessing.of_pixels(8, 8)
LEFT = InputSpec("left", (8, 8, 3), "float32", RECORD)
RIGHT = InputSpec("right", (8, 8, 3), "float32", RECORD)
EXTRA = InputSpec("extra", (5,), "float32", None)


@pytest.fixture
def draw(tmp_path):
    """Draws examples, at most 12 and 6 of them; warnings come back as well."""

    def draw(specs, calibrated=True, arrays=None, held_out=None, **changes):
        for name, content in (("calibration", arrays), ("evaluation", held_out)):
            if content:
                changes[name] = str(tmp_path / f"{name}.npz")
                np.savez(changes[name], **content)
        job = ConversionJob("m.keras", pathlib.Path("m.tflite"), "int8", None, **changes)
        warnings = []
        found = DrawnExamples(job, specs, calibrated).draw(12, job.check_samples or 6, warnings)
        return *found, warnings

    return draw


def numbered(count, first=0):
    return {"extra": np.arange(first, first + count)[:, None] + np.zeros((count, 5))}


def numbers_of(examples):
    return examples.arrays["extra"][:, 0].astype(int).tolist()


def test_photos_of_two_inputs_are_not_the_same(draw):
    ranges, check, _ = draw([LEFT, RIGHT])
    assert (len(ranges), len(check)) == (12, 6)
    for examples in (ranges, check):
        left, right = examples.arrays["left"], examples.arrays["right"]
        assert left.dtype == np.uint8 and not np.array_equal(left, right)
        # The same photos in another order.
        sums = (sorted(x.sum(axis=(1, 2, 3), dtype=int)) for x in (left, right))
        assert np.array_equal(*sums)
    assert ranges.name == "bundled:train" and check.name == "bundled:test"


def test_the_last_arrays_are_held_out(draw):
    ranges, check, warnings = draw([EXTRA], arrays=numbered(20))
    assert numbers_of(check) == [16, 17, 18, 19] and not warnings
    assert len(set(numbers_of(ranges))) == 12 and max(numbers_of(ranges)) < 16
    ranges, check, _ = draw([EXTRA], arrays=numbered(20), check_samples=7)
    assert numbers_of(check) == list(range(13, 20))
    # Half of them at most.
    ranges, check, _ = draw([EXTRA], arrays=numbered(4), check_samples=100)
    assert (numbers_of(ranges), numbers_of(check)) == ([0, 1], [2, 3])
    ranges, check, warnings = draw([EXTRA], arrays=numbered(1))
    assert numbers_of(ranges) == numbers_of(check) == [0] and "has one example" in warnings[0]


def test_arrays_of_a_second_file(draw):
    ranges, check, _ = draw([EXTRA], arrays=numbered(10), held_out=numbered(8, first=50))
    assert numbers_of(ranges) == list(range(10)) and numbers_of(check) == list(range(50, 56))


def test_photos_beside_arrays(draw):
    ranges, check, warnings = draw([EXTRA, LEFT], arrays=numbered(20))
    assert list(check.arrays) == ["extra", "left"] and not warnings
    assert numbers_of(check) == [16, 17, 18, 19] and check.arrays["left"].shape == (4, 8, 8, 3)
    assert ranges.arrays["left"].shape == (12, 8, 8, 3)
    assert "bundled:test" in check.name and "(held out)" in check.name


def test_arrays_may_hold_the_images(draw):
    values = np.random.default_rng(0).standard_normal((10, 8, 8, 3))
    _, check, _ = draw([EXTRA, LEFT], arrays=numbered(10) | {"left": values})
    assert not check.records
    np.testing.assert_array_equal(check.values()["left"], values[-2:])


def test_noise_where_no_ranges_are_wanted(draw):
    ranges, check, (warning,) = draw([LEFT, EXTRA], calibrated=False)
    assert ranges is None and check.noise == ("extra",) and len(check) == 6
    assert "checked on noise in 'extra'" in warning and "noise for 'extra'" in check.name
    _, check, _ = draw([EXTRA], calibrated=False)
    assert check.name == "noise for 'extra'" and len(check) == 6


@pytest.mark.parametrize(
    ("specs", "settings", "message"),
    [
        ([LEFT, EXTRA], {}, "--calibration=FILE.npz .*'extra' .5.; .* Received: calibration='bun"),
        ([EXTRA], {"held_out": numbered(3)}, "int8 needs examples of inputs that take no images"),
        (
            [EXTRA],
            {"arrays": numbered(3), "evaluation": "bundled"},
            "checked on the last of them, .* Received: evaluation='bundled'",
        ),
        (
            [EXTRA, LEFT],
            {"arrays": numbered(3), "held_out": {"left": np.ones((3, 8, 8, 3))}},
            "arrays for the same inputs. Received: extra and left",
        ),
    ],
)
def test_what_cannot_be_drawn(draw, specs, settings, message):
    with pytest.raises(ValueError, match=message):
        draw(specs, **settings)
