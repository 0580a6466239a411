"""Commands of tflite/ run as a user runs them, in a process of their own."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]


def run_command(
    command: str, *arguments: str, folder: os.PathLike = ROOT, timeout: float = 600, **environment
) -> subprocess.CompletedProcess:
    """Runs `python -m tflite.COMMAND` in a folder, with text of both streams."""
    return subprocess.run(
        [sys.executable, "-m", f"tflite.{command}", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.fspath(ROOT)} | environment,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
