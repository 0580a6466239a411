"""Runs a module of ours as the program, with `tflite` and `android_bench` on its path alone."""

import os
import pathlib
import runpy
import sys

_HERE = pathlib.Path(__file__).parent
# The console commands that are one module each.
COMMANDS = {
    "care_keras.ablate": "care-ablate",
    "care_keras.convert": "care-convert",
    "care_keras.models": "care-models",
    "care_keras.train": "care-train",
    "care_keras.weights": "care-weights",
    "android_bench": "care-bench",
}


def tools_folder() -> pathlib.Path:
    """The folder that holds `tflite` and `android_bench`.

    An installation has it in here, where nobody else's imports find them: PyPI has another
    `tflite`. Else it is the checkout's root.
    """
    installed = _HERE / "tools"
    return installed if installed.is_dir() else _HERE.parent


def tflite_tools() -> list[str]:
    """Names of the packages of `tflite` that are commands."""
    return sorted(path.parent.name for path in tools_folder().glob("tflite/*/__main__.py"))


def launch(module: str) -> None:
    """Runs a module as `python -m` does, with the words that `sys.argv` has from the second on.

    Args:
        module: Its name.
    """
    # Before `care_keras` is imported: for a library's user it would load Keras.
    os.environ["CARE_KERAS_COMMAND"] = "1"
    sys.path.insert(0, os.fspath(tools_folder()))
    from care_keras.console import launched

    names = COMMANDS | {f"tflite.{tool}": f"care-tflite {tool}" for tool in tflite_tools()}
    # -P: a folder `tflite` or `care_keras` where the command is typed is not ours.
    launched.begin(["-P", "-m", "care_keras_commands"], names)
    runpy.run_module(module, run_name="__main__", alter_sys=True)
