"""Workers: files of ours that open a model in a process which may hang, crash or print garbage."""

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import IO

import care_keras
from care_keras.files import parse_json
from tflite.child import serve
from tflite.child.program import Finished, end, last_line, start


class WorkerError(ValueError):
    """A worker ended before it had answered, or answered too late.

    Attributes:
        ending: How, in words: `"was ended by SIGABRT"`.
        exit_code: As of `Finished`; `None` if its time was up.
        last_line: Of what it and the runtime printed.
    """

    def __init__(self, ending: str, exit_code: int | None, said: str):
        self.ending, self.exit_code, self.last_line = ending, exit_code, last_line(said)
        super().__init__(f"the process {ending} ({self.last_line})")

    @property
    def died(self) -> bool:
        """Whether it was killed, by a signal or as its time was up: Python itself did not fail."""
        return self.exit_code is None or self.exit_code < 0


@contextlib.contextmanager
def open_worker(
    file: str | os.PathLike,
    request: dict,
    python: Sequence[str] = (sys.executable,),
    pass_fds: Sequence[int] = (),
) -> Iterator["Worker"]:
    """Starts a worker; leaving the `with` block ends it and all that it started.

    Args:
        file: The worker, a Python file with a function `work`; see `serve`.
        request: What `work` is given.
        python: Command of the Python that runs it, by default this one.
        pass_fds: Open descriptors that it has too.

    Raises:
        ValueError: If it cannot be started.
    """
    with (
        # Appended to, as reading it here would else move the place where the worker writes.
        tempfile.TemporaryFile("a+", errors="replace") as stderr,
        tempfile.TemporaryFile("w+") as stdin,
    ):
        json.dump(request, stdin)
        stdin.seek(0)
        # -P: the folder's files must not shadow other packages' modules.
        command = [*python, "-P", serve.__file__, file, *care_keras.__path__]
        streams = {"stdin": stdin, "stdout": subprocess.PIPE, "stderr": stderr}
        process = start(command, **streams, pass_fds=pass_fds)
        with process.stdout:
            try:
                yield Worker(process, stderr)
            finally:
                end(process)


class Worker:
    """A worker that was started."""

    def __init__(self, process: subprocess.Popen, stderr: IO[str]):
        self._process, self._stderr, self._unread = process, stderr, b""

    def next(self, timeout_seconds: float) -> dict:
        """Its next answer.

        Raises:
            WorkerError: If it ends, or gives none for so long.
        """
        until = time.monotonic() + timeout_seconds
        stdout = self._process.stdout.fileno()
        while True:
            line, found, rest = self._unread.partition(b"\n")
            if found:
                self._unread = rest
                # Other lines are what a runtime prints before `serve` has taken stdout away.
                with contextlib.suppress(ValueError):
                    if isinstance(answer := parse_json(line), dict):
                        return answer
                continue
            left = until - time.monotonic()
            if left <= 0 or not select.select([stdout], [], [], left)[0]:
                raise self._stopped(timeout_seconds)
            if not (read := os.read(stdout, 1 << 16)):
                raise self.ended(timeout_seconds)
            self._unread += read

    def finish(self, timeout_seconds: float) -> None:
        """Lets it come to its end.

        Raises:
            WorkerError: If that is a bad one, or too late.
        """
        error = self.ended(timeout_seconds)
        if error.exit_code != 0:
            raise error

    @property
    def said(self) -> str:
        """What it and the runtime have printed."""
        self._stderr.seek(0)
        return self._stderr.read()

    def ended(self, timeout_seconds: float) -> WorkerError:
        """Waits for its end; says how it came."""
        try:
            finished = Finished(self._process.wait(timeout_seconds), "", "")
        except subprocess.TimeoutExpired:
            return self._stopped(timeout_seconds)
        return WorkerError(finished.ending, finished.exit_code, self.said)

    def _stopped(self, timeout_seconds):
        return WorkerError(f"was stopped after {timeout_seconds:g} s", None, self.said)


def ask(runtime: str, file: str | os.PathLike, request: dict, timeout_seconds: float) -> dict:
    """The one answer of a worker.

    Args:
        runtime: What it runs the model in, for a message.
        file: The worker.
        request: `model`, the file, and what the worker wants besides.
        timeout_seconds: Time after which it is killed.

    Raises:
        WorkerError: If the process comes to a bad end.
        ValueError: What the worker itself finds wrong.
    """
    try:
        with open_worker(file, request) as worker:
            answer = worker.next(timeout_seconds)
            worker.finish(timeout_seconds)
    except WorkerError as error:
        error.args = (
            f"{runtime} {error.ending} while running the model. "
            f"Received: {request['model']} (last line {error.last_line!r})",
        )
        raise
    error = answer.get("error", "")
    if error and "Received:" not in error:
        error = f"{runtime} cannot run the model. Received: {request['model']} ({error})"
    if error:
        raise ValueError(error)
    return answer
