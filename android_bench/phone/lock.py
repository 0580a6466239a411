"""One run at a time on a phone.

The phone's kernel holds the lock for a process that lives as long as the
connection to it: whatever ends the run, here or there, also ends the lock.
"""

import contextlib
import getpass
import os
import platform
import time
from collections.abc import Callable

from android_bench.phone.connection import Phone
from android_bench.phone.deadline import EXIT, read_packet
from android_bench.phone.errors import CommandError, LockedError, PhoneError, PhoneLostError
from tflite.benchmark.machine import now

_TAKEN = 75
# `{ ...; } 9>>` and not `exec 9>>`: mksh, Android's shell, hides what exec opens from programs.
_SCRIPT = '{ flock -n 9 || exit 75; echo "$2" >"$1"; echo locked; cat; } 9>>"$1"'
_SECONDS = 20.0
_MOST_WORDS = 1 << 16


@contextlib.contextmanager
def lock(phone: Phone, path: str, run: str = ""):
    """Holds the lock of a phone.

    Args:
        phone: The phone.
        path: File on the phone that stands for the lock.
        run: Name of the run, to know its own lock by.

    Raises:
        LockedError: If another run holds it; the message says whose.
        CommandError: If the phone lacks flock.
    """
    owner = f"{_user()} on {platform.node()}, process {os.getpid()}, since {now()} {run}".strip()
    with contextlib.ExitStack() as stack:
        try:
            connection = stack.enter_context(
                phone.open_shell(["sh", "-c", _SCRIPT, "sh", path, owner], _SECONDS)
            )
            printed, code = _first_words(connection)
        except (EOFError, OSError) as error:
            raise PhoneLostError(f"{phone.serial} was lost while it was locked") from error
        if code == _TAKEN:
            holder = _holder(phone, path)
            raise LockedError(
                f"{phone.serial} is in use by another run ({holder}): wait for it",
                own=bool(run) and holder.endswith(run),
            )
        if code == 127:
            raise CommandError(f"{phone.serial} has no flock: Android 8 or newer is needed")
        if code is not None:
            raise CommandError(
                f"{phone.serial} cannot be locked: exit code {code}, {printed.strip()!r}"
            )
        yield


@contextlib.contextmanager
def patient_lock(phone: Phone, path: str, run: str, seconds: float, sleep: Callable[[float], None]):
    """`lock`, which waits for a lock of the same run that a broken connection left.

    Args:
        phone: The phone.
        path: File on the phone that stands for the lock.
        run: Name of the run.
        seconds: How long to wait, at most.
        sleep: Passes time.
    """
    with contextlib.ExitStack() as stack:
        for left in reversed(range(max(1, round(seconds)))):
            try:
                stack.enter_context(lock(phone, path, run))
                break
            except LockedError as error:
                if not error.own or not left:
                    raise
            sleep(1.0)
        yield


def _first_words(connection):
    """What is printed until it says that the lock is held, or ends."""
    deadline = time.monotonic() + _SECONDS
    printed = ""
    while "locked" not in printed:
        kind, data = read_packet(connection, deadline)
        if kind == EXIT:
            return printed, data[0]
        if len(printed) > _MOST_WORDS:
            raise EOFError("it does not say whether it holds the lock")
        printed += data.decode("utf-8", "replace")
    return printed, None


def _holder(phone, path):
    try:
        return phone.pull(path).decode("utf-8", "replace").strip() or "unknown"
    except PhoneError:
        return "unknown"


def _user():
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
