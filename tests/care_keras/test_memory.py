"""The peak of a process's memory, whoever started it."""

import os
import subprocess
import sys

import pytest

from care_keras.memory import peak_bytes, status_bytes

_PEAK = "from care_keras.memory import peak_bytes; print(peak_bytes())"


def peak_of_a_child():
    # As the commands do, without Keras.
    environment = os.environ | {"CARE_KERAS_COMMAND": "1"}
    return int(subprocess.check_output([sys.executable, "-c", _PEAK], env=environment))


def test_the_peak_remains():
    before = peak_bytes()
    held = bytearray(300_000_000)
    assert peak_bytes() > len(held)
    del held
    assert peak_bytes() >= max(before, 300_000_000)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell it by /proc")
def test_a_large_process_starts_a_small_one():
    held = bytearray(600_000_000)
    assert status_bytes("VmRSS") > len(held)
    assert peak_of_a_child() < 300_000_000


def test_what_the_system_does_not_say():
    assert status_bytes("VmNothing") is None
