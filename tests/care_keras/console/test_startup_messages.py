import os
import subprocess
import sys

import pytest

from care_keras.console import startup_messages

NOISE = (
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
    "I0000 00:00:1.2 3 port.cc:153] oneDNN custom operations are on. You may see",
    "I0000 00:00:1.2 3 cudart_stub.cc:31] Could not find cuda drivers on your machine, GPU",
    "E0000 00:00:1.2 3 cuda_platform.cc:52] failed call to cuInit: INTERNAL: UNKNOWN ERROR (303)",
)
KEPT = (
    "E0000 00:00:1.2 3 cuda_platform.cc:52] failed call to cuInit: SYSTEM_NOT_READY (802)",
    "a warning of another package",
)


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env={key: value for key, value in os.environ.items() if not key.startswith("TF_CPP")}
        | {"KERAS_BACKEND": "tensorflow"}
        | environment,
    )


def test_noise_alone_is_held_back(capfd):
    with startup_messages.without_noise():
        os.write(2, "\n".join((*NOISE, *KEPT, "")).encode())
    assert capfd.readouterr().err.splitlines() == list(KEPT)


def test_what_was_written_before_an_error_is_not_lost(capfd):
    with pytest.raises(ImportError), startup_messages.without_noise():
        os.write(2, b"the reason\n")
        raise ImportError
    assert capfd.readouterr().err == "the reason\n"


def test_a_command_writes_nothing_but_its_own():
    done = run("-m", "care_keras.models", "--model=nano")
    assert done.returncode == 0 and "care_nano" in done.stdout
    assert done.stderr == ""


def test_processes_that_a_command_starts_are_quiet():
    code = "import care_keras, tensorflow; print(tensorflow.constant(1).numpy())"
    done = run("-c", code, **{startup_messages._MARK: "1"})
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_a_question_for_tensorflow_is_no_import():
    """As JAX and PyTorch ask, before something imports it."""
    code = (
        "import importlib.util, runpy\n"
        f"runpy.run_path({startup_messages.__file__!r})['quiet_commands']()\n"
        "assert importlib.util.find_spec('tensorflow')\n"
        "import tensorflow; print(tensorflow.constant(1).numpy())"
    )
    done = run("-c", code, **{startup_messages._MARK: "1"})
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_nothing_changes_for_those_who_import_the_package():
    code = (
        "import sys\n"
        "from care_keras.console import startup_messages\n"
        "print(any(isinstance(x, startup_messages._Finder) for x in sys.meta_path))"
    )
    done = run("-c", code, KERAS_BACKEND=os.environ.get("KERAS_BACKEND", "tensorflow"))
    assert done.stdout == "False\n"
