"""Other processes in tests: they race, are killed at any moment, or find the disk full."""

import contextlib
import os
import pathlib
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parents[1]


def start(code: str, *words: object) -> subprocess.Popen:
    """Starts Python code with `sys.argv[1:]`, as a command of this project: without Keras."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)],
        env=os.environ | {"PYTHONPATH": os.fspath(ROOT), "CARE_KERAS_COMMAND": "1"},
        # Or one that waits for its end would not, where the tests' own is closed.
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen) -> str:
    """What it prints; an error in it fails the test."""
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    return stdout


def kill_at_moments(code: str, *words: object, moments: int = 12) -> Iterator[int]:
    """Kills code that prints a line and then writes without end, each time a little later.

    Yields:
        The number of each kill, after it.
    """
    for number in range(moments):
        with start(code, *words) as process:
            assert process.stdout.readline(), process.stderr.read()
            # Moments that share no period with what it does.
            time.sleep(0.002 * 1.7**number % 0.15)
            process.send_signal(signal.SIGKILL)
            process.wait()
        yield number


@contextlib.contextmanager
def full_disk(size: int = 100_000) -> Iterator[None]:
    """In it no file can grow beyond a size, as on a disk that fills up."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
