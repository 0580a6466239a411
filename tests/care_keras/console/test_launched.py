"""What console commands change, and that `python -m` changes nothing."""

import sys

import pytest

from care_keras.console import launched


@pytest.fixture
def by_console_command(monkeypatch):
    monkeypatch.setattr(launched, "_launcher", [])
    monkeypatch.setattr(launched, "_names", {})
    names = {"tflite.audit": "care-tflite audit", "android_bench": "care-bench"}
    launched.begin(["-P", "-m", "care_keras_commands"], names)


TEXT = "look with python -m android_bench doctor, or python -m tflite.audit."


def test_commands_are_called_as_they_were_typed(by_console_command):
    assert launched.as_typed(TEXT) == "look with care-bench doctor, or care-tflite audit."


@pytest.mark.parametrize("module", ["tflite.audit.gpu", "tflite.auditor", "care_keras.ablate"])
def test_what_has_no_console_command_keeps_its_name(by_console_command, module):
    text = f"python -m {module} --model=m.tflite"
    assert launched.as_typed(text) == text


def test_python_m_is_as_it_is():
    assert not launched.is_launched() and launched.as_typed(TEXT) == TEXT
    assert launched.own_module("tflite.zoo.worker") == [sys.executable, "-m", "tflite.zoo.worker"]


def test_processes_are_started_in_the_same_way(by_console_command):
    words = [sys.executable, "-P", "-m", "care_keras_commands", "tflite.zoo.worker"]
    assert launched.is_launched() and launched.own_module("tflite.zoo.worker") == words
