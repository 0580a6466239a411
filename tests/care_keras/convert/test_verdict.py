"""What is said of a converted file, by figures and by the command."""

import dataclasses

import keras
import numpy as np
import pytest
from PIL import Image

from care_keras.convert.check import CheckResult
from care_keras.convert.examples import Examples
from care_keras.convert.run import run_job
from care_keras.convert.verdict import (
    FailedCheckError,
    alike_arrays,
    calibration_warning,
    judge,
    no_knowledge,
)
from tests.care_keras.convert.test_run import foreign_model, small_job

GOOD = CheckResult("int8", 1000, 50, None, 0.97, 17.0)


def verdict(min_agreement=0.0, constant_reference=False, alike=False, **changes):
    check = dataclasses.replace(GOOD, **changes)
    return judge(check, constant_reference, "do this", min_agreement, alike)


@pytest.mark.parametrize(
    ("changes", "warnings", "failures"),
    [
        ({}, 0, 0),
        ({"agreement": 0.9, "snr_db": 5.0}, 0, 0),
        ({"agreement": 0.89}, 1, 0),
        ({"snr_db": 4.9}, 1, 0),
        ({"agreement": 0.4, "snr_db": 0.0}, 2, 0),
        ({"agreement": 0.4, "snr_db": -0.1}, 2, 1),
        ({"snr_db": float("-inf")}, 1, 1),
        ({"snr_db": float("inf"), "agreement": 1.0}, 0, 0),
        ({"constant": True}, 1, 1),
        # As for a model whose output is the same for all images, and so equal to the file's.
        (
            {
                "constant": True,
                "agreement": 1.0,
                "snr_db": float("inf"),
                "constant_reference": True,
            },
            1,
            1,
        ),
        ({"agreement": 0.1, "snr_db": -9.0, "constant_reference": True}, 1, 1),
        ({"min_agreement": 0.97}, 0, 0),
        ({"min_agreement": 0.98}, 0, 1),
        ({"min_agreement": 0.98, "agreement": 0.5, "snr_db": -1.0}, 2, 2),
    ],
)
def test_figures(changes, warnings, failures):
    found = verdict(**changes)
    assert (len(found.warnings), len(found.failures)) == (warnings, failures)
    assert all("\n" not in line for line in (*found.warnings, *found.failures))
    for line in found.warnings:
        assert "do this" in line or "convert a trained model" in line


def test_classes_have_no_noise():
    assert verdict(snr_db=None, chance=0.3) == verdict()
    assert len(verdict(snr_db=None, agreement=0.4, chance=0.3).warnings) == 1
    assert verdict(snr_db=None, agreement=0.3, chance=0.3).failures
    (alone,) = verdict(snr_db=None, agreement=1.0, chance=1.0).warnings
    assert "give one class for all of the 50 images" in alone


def test_lines_name_the_figure():
    low = verdict(agreement=0.4, snr_db=-7.3)
    assert low.warnings == (
        "int8 picks the Keras model's class on 40.00% of 50 images: do this",
        "the outputs of int8 are more noise than signal, -7.3 dB against the Keras model's: "
        "do this",
    )
    assert low.failures == ("the int8 file's outputs are more noise than signal (-7.3 dB)",)
    (asked,) = verdict(min_agreement=0.98).failures
    assert asked.endswith("on 97.00% of the images, --min_agreement asks for 98.00%")


@pytest.mark.parametrize(
    ("agreement", "chance", "images", "lost"),
    [
        (0.10, 0.10, 50, True),
        (0.14, 0.10, 50, True),
        (0.15, 0.10, 50, False),
        (0.55, 0.50, 100, True),
        (0.56, 0.50, 100, False),
        # All of one class, as an untrained model's often are.
        (0.85, 0.85, 50, False),
        (0.10, None, 50, False),
    ],
)
def test_agreement_by_chance_is_no_success(agreement, chance, images, lost):
    found = verdict(agreement=agreement, chance=chance, images=images)
    assert any("no more often than by chance" in line for line in found.failures) == lost
    # Where the model itself cannot tell its classes apart, no file can.
    undecided = verdict(agreement=agreement, chance=chance, images=images, undecided=True)
    assert not undecided.failures and "less than one code apart" in undecided.warnings[0]


def test_a_check_on_images_that_are_all_alike_says_little():
    """Neither of the model nor of the file can be said that it gives one output for all images."""
    for changes in ({"constant": True}, {"constant_reference": True}):
        found = verdict(alike=True, **changes)
        assert "50 held-out images are all alike" in found.warnings[0]
        assert "--evaluation=DIR" in found.warnings[0] and not found.failures
    (failure,) = verdict(alike=True, min_agreement=0.9).failures
    assert "--min_agreement" in failure
    assert verdict(alike=True, snr_db=-1.0).failures


def images(*colours):
    """Flat images."""
    return np.stack([np.full((8, 8, 3), colour, np.uint8) for colour in colours])


def test_calibration_images_that_say_nothing(photos):
    assert calibration_warning("photos", photos) is None
    assert "has one calibration image" in calibration_warning("x", photos[:1])
    assert "the 12 calibration images of x are all alike" in calibration_warning(
        "x", images(*[128] * 12)
    )
    # One photo again and again, as a recompressed copy differs from it.
    copies = np.repeat(photos[:1], 5, axis=0)
    copies[::2] = np.clip(copies[::2].astype(int) + 1, 0, 255)
    assert "are all alike" in calibration_warning("x", copies)
    assert "are each of one colour" in calibration_warning("x", images(0, 90, 255))
    assert calibration_warning("x", photos[:2]) is None


def test_arrays_that_say_nothing(photos):
    moving = np.random.default_rng(0).normal(size=(5, 3))
    examples = Examples("x.npz", {"still": np.ones((5, 3)), "moving": moving}, {})
    (line,) = alike_arrays(examples)
    assert line.startswith("the 5 calibration examples of 'still' are all the same")
    assert not alike_arrays(examples.part(0, 1))


def test_a_keras_model_that_knows_nothing():
    labels = np.repeat([0, 1], [30, 70])
    assert "right class for 72.00% of 100 images, no more than chance" in no_knowledge(0.72, labels)
    assert no_knowledge(0.8, labels) is None and no_knowledge(None, labels) is None
    # Of one class nothing can be said.
    assert no_knowledge(1.0, np.zeros(10, int)) is None


def test_one_class_for_everything_is_said():
    found = verdict(agreement=1.0, chance=1.0, images=50)
    assert "one class for all of the 50 images" in found.warnings[0] and not found.failures
    assert not verdict(agreement=1.0, chance=1.0, images=1).warnings


def dead_model():
    """Outputs that no image moves."""
    inputs = keras.Input((20, 20, 3))
    flat = keras.layers.GlobalAveragePooling2D()(inputs)
    outputs = keras.layers.Dense(10, kernel_initializer="zeros", bias_initializer="ones")(flat)
    return keras.Model(inputs, outputs)


def test_a_model_whose_outputs_are_all_equal_is_no_success(tmp_path):
    job = small_job(tmp_path, dead_model())
    with pytest.raises(FailedCheckError, match="the Keras model gives the same output") as error:
        run_job(job)
    assert any("convert a trained model" in line for line in error.value.result.warnings)
    assert not list(job.output.parent.iterdir())


def test_a_right_file_stays_where_held_out_images_are_all_alike(tmp_path):
    """One photo again and again: the file is not said to give one output for all images."""
    folder = tmp_path / "same"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    for number in range(6):
        Image.fromarray(pixels).save(folder / f"{number}.png")
    result = run_job(small_job(tmp_path, foreign_model(), calibration=str(folder)))
    assert any("held-out images are all alike" in line for line in result.warnings)
    assert result.checks[-1].snr_db > 80.0


def test_less_agreement_than_asked_for_leaves_no_file(tmp_path, small_model):
    """Calibrated with one grey image, it says so, and by how much it fails."""
    job = small_job(
        tmp_path,
        small_model,
        precision="int8",
        input_kind="rgb_uint8",
        samples=1,
        min_agreement=1.0,
    )
    with pytest.raises(FailedCheckError, match="--min_agreement asks for 100.00%") as error:
        run_job(job)
    assert any("one calibration image" in line for line in error.value.result.warnings)
    assert not list(job.output.parent.iterdir())


def test_a_file_that_is_right_is_left_with_its_warnings(tmp_path):
    job = small_job(tmp_path, foreign_model(), min_agreement=1.0)
    result = run_job(job)
    assert result.checks[-1].agreement == 1.0 and job.output.exists()
    assert "fed as pixels" in job.output.with_suffix(".json").read_text()
