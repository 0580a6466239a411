"""Running a program that may hang, crash or print garbage."""

import contextlib
import dataclasses
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


def start(arguments: Sequence[str | os.PathLike], **streams) -> subprocess.Popen:
    """Starts a program in a group of its own, which `end` ends.

    Args:
        arguments: The program and its arguments.
        **streams: Of `subprocess.Popen`.

    Raises:
        ValueError: If it cannot be started here.
    """
    arguments = [os.fspath(argument) for argument in arguments]
    try:
        return subprocess.Popen(arguments, start_new_session=True, **streams)
    except OSError as error:
        raise ValueError(
            f"{os.path.basename(arguments[0])} cannot be started. "
            f"Received: {arguments[0]} ({error.strerror})"
        ) from error


def end(process: subprocess.Popen) -> None:
    """Ends a program that `start` started, and all that it started itself."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def run(
    arguments: Sequence[str | os.PathLike],
    timeout_seconds: float,
    stdin: str = "",
    fresh_rusage: bool = False,
    name: str | None = None,
) -> Finished:
    """Runs a program to its end, and all that it started with it.

    Args:
        arguments: The program and its arguments.
        timeout_seconds: Time after which it is killed.
        stdin: What it reads.
        fresh_rusage: Whether it looks at its own `ru_maxrss`. Linux keeps that
            figure across `exec`, so a child of this process starts with this
            process's peak; one that is started by a small process does not.
        name: What messages call it, by default the name of its file.

    Raises:
        ValueError: If it cannot be started or takes too long; the message
            holds the last line it printed.
    """
    program = name or os.path.basename(arguments[0])
    if fresh_rusage and sys.platform == "linux":
        # The `exit` keeps the shell from becoming the program instead of starting it; what the
        # shell has to say of a crash is kept out of the program's own stderr.
        script = 'exec 3>&2 2>/dev/null; ("$@" 2>&3 3>&-); exit "$?"'
        arguments = ["/bin/sh", "-c", script, "sh", *arguments]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    process = start(arguments, text=True, errors="replace", **pipes)
    try:
        stdout, stderr = process.communicate(stdin, timeout=timeout_seconds)
    except subprocess.TimeoutExpired:
        end(process)
        stdout, stderr = process.communicate()
        line = last_line(stderr or stdout)
        raise ValueError(
            f"{program} was stopped after {timeout_seconds:g} s. Received: last line {line!r}"
        ) from None
    except BaseException:
        end(process)
        raise
    return Finished(process.returncode, stdout, stderr)
