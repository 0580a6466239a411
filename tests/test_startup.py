"""Every command answers before anything heavy is loaded."""

import pytest

from tests.startup import HEAVY, MAX_CPU_SECONDS, MAX_MEGABYTES, MISSING, measure, start


@pytest.fixture(scope="module")
def starts():
    return measure()


@pytest.mark.parametrize("command", MISSING)
def test_help(starts, command):
    answer = starts[command][0]
    assert answer.exit_code == 0 and "flags:" in answer.output
    assert not set(answer.modules) & HEAVY


@pytest.mark.parametrize("command", MISSING)
@pytest.mark.parametrize("what", [1, 2], ids=["flag", "path"])
def test_what_is_wrong_is_one_line(starts, command, what):
    answer = starts[command][what]
    assert answer.exit_code == 2
    assert answer.output.startswith("error: ") and len(answer.output.splitlines()) == 1


@pytest.mark.parametrize("command", MISSING)
def test_answers_come_at_once(starts, command):
    # A neighbour of the core lengthens CPU time too: what counts is the best of a few.
    for words, first in zip(
        (["--help"], ["--no_such_flag"], MISSING[command]), starts[command], strict=True
    ):
        seconds = first.cpu_seconds
        for _ in range(4):
            if seconds > MAX_CPU_SECONDS:
                seconds = min(seconds, start(command, *words).cpu_seconds)
        assert seconds <= MAX_CPU_SECONDS
    assert max(one.megabytes for one in starts[command]) <= MAX_MEGABYTES


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        ("tflite.compare", ["--keras", "--mean", "--crop_ratio"]),
        ("tflite.audit", ["--gpu", "--std"]),
        ("care_keras.ablate", ["--variants", "--learning_rate"]),
        ("android_bench run", ["--rounds", "--verify", "--interpolation"]),
    ],
)
def test_help_shows_flags_of_other_modules_too(starts, command, flags):
    shown = starts[command][0].output.replace("[no]", "")
    assert [flag for flag in flags if f"{flag}:" not in shown] == []
