"""Every command answers before anything heavy is loaded."""

import pytest

from tests.startup import MISSING, measure, problems


@pytest.mark.parametrize("command", MISSING)
def test_answers_at_once_and_in_one_line(command):
    assert problems(command) == []


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        ("tflite.compare", ["--keras", "--mean", "--crop_ratio"]),
        ("tflite.audit", ["--gpu", "--std"]),
        ("care_keras.ablate", ["--variants", "--learning_rate"]),
        ("android_bench run", ["--rounds", "--verify", "--interpolation"]),
    ],
)
def test_help_shows_flags_of_other_modules_too(command, flags):
    shown = measure(command)[0].output.replace("[no]", "")
    assert [flag for flag in flags if f"{flag}:" not in shown] == []
