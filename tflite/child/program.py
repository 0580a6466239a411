"""Running a program that may hang, crash or print garbage."""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Finished:
    """A program that came to its end.

    Attributes:
        exit_code: Its exit code; negative is the signal that ended it.
        stdout: What it printed; bytes that are no UTF-8 are replaced.
        stderr: Likewise.
    """

    exit_code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        """Both outputs, one after the other."""
        return "\n".join(part.rstrip("\n") for part in (self.stdout, self.stderr) if part) + "\n"

    @property
    def signal_name(self) -> str | None:
        """`"SIGABRT"` if a signal ended it, else `None`."""
        # A shell says by an exit code over 128 that its program was ended by a signal.
        number = -self.exit_code if self.exit_code < 0 else self.exit_code - 128
        try:
            return signal.Signals(number).name if number > 0 else None
        except ValueError:
            return None

    @property
    def ending(self) -> str:
        """How it ended, for a message."""
        if self.signal_name:
            return f"was ended by {self.signal_name}"
        return f"ended with exit code {self.exit_code}"


def last_line(text: str) -> str:
    """The last line with something in it, for a message: short, and in one line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "no output"


def check_program(program: str | os.PathLike) -> None:
    """Starts a program and stops it again, so that the system says whether it is one.

    A shell would go on to read a file that is no program as a script.

    Raises:
        ValueError: If it cannot be started here.
    """
    try:
        process = subprocess.Popen(
            [os.fspath(program), "--help"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise ValueError(
            f"The program cannot be started. Received: {program} ({error.strerror})"
        ) from error
    _kill_group(process)
    process.wait()


def run(
    arguments: Sequence[str | os.PathLike],
    timeout_seconds: float,
    stdin: str = "",
    fresh_rusage: bool = False,
) -> Finished:
    """Runs a program to its end, and all that it started with it.

    Args:
        arguments: The program and its arguments.
        timeout_seconds: Time after which it is killed.
        stdin: What it reads.
        fresh_rusage: Whether it looks at its own `ru_maxrss`. Linux keeps that
            figure across `exec`, so a child of this process starts with this
            process's peak; one that is started by a small process does not.

    Raises:
        ValueError: If it cannot be started or takes too long; the message
            holds the last line it printed.
    """
    arguments = [os.fspath(argument) for argument in arguments]
    program = os.path.basename(arguments[0])
    if fresh_rusage and sys.platform == "linux":
        # The `exit` keeps the shell from becoming the program instead of starting it; what the
        # shell has to say of a crash is kept out of the program's own stderr.
        script = 'exec 3>&2 2>/dev/null; ("$@" 2>&3 3>&-); exit "$?"'
        arguments = ["/bin/sh", "-c", script, "sh", *arguments]
    try:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise ValueError(
            f"{program} cannot be started. Received: {arguments[0]} ({error.strerror})"
        ) from error
    try:
        stdout, stderr = process.communicate(stdin, timeout=timeout_seconds)
    except subprocess.TimeoutExpired:
        _kill_group(process)
        stdout, stderr = process.communicate()
        line = last_line(stderr or stdout)
        raise ValueError(
            f"{program} was stopped after {timeout_seconds:g} s. Received: last line {line!r}"
        ) from None
    except BaseException:
        _kill_group(process)
        process.wait()
        raise
    return Finished(process.returncode, stdout, stderr)


def ask_worker(runtime: str, worker: str, request: dict, timeout_seconds: float) -> dict:
    """Has a module of ours run a model in a process of its own.

    Args:
        runtime: What it runs the model in, for a message.
        worker: The module's file. It reads a request in JSON on stdin and
            answers with JSON in the last line of stdout.
        request: `model`, the file, and what the worker wants besides.
        timeout_seconds: Time after which it is killed.

    Raises:
        ValueError: If the process comes to a bad end; what the worker itself
            finds wrong is in its answer.
    """
    # -P: the module's folder must not shadow other packages' modules.
    finished = run([sys.executable, "-P", worker], timeout_seconds, json.dumps(request))
    if finished.exit_code:
        raise ValueError(
            f"{runtime} {finished.ending} while running the model. "
            f"Received: {request['model']} (last line {last_line(finished.output)!r})"
        )
    return json.loads(finished.stdout.strip().splitlines()[-1])


def _kill_group(process):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
