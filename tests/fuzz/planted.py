"""Readers with a fault each, which a campaign has to find."""

import os
import signal
import time
import warnings

from tests.fuzz.formats import Format
from tests.fuzz.mutate import binary

_SOUND = b"sound file"


def _hang(path):
    time.sleep(60)


def _crash(path):
    os.kill(os.getpid(), signal.SIGSEGV)


def _memory(path):
    bytearray(4 << 30)


def _lines(path):
    raise ValueError("two\nlines. Received: x")


def _length(path):
    raise ValueError(f"Received: {'x' * 5000}")


def _nameless(path):
    raise ValueError("something is wrong")


def _foreign(path):
    raise KeyError("x")


def _warning(path):
    warnings.warn("a word to the user", stacklevel=1)


def _refused(path):
    raise ValueError(f"No such file as it shall be. Received: {path}")


def _accepted(path):
    pass


def _format(fault):
    """A format whose sound file is read, and whose mutants meet the fault."""

    def read(path):
        if path.read_bytes() != _SOUND:
            fault(path)

    return Format(".planted", lambda: {"sound": _SOUND}, binary.mutate, read)


FAULTS = (_hang, _crash, _memory, _lines, _length, _nameless, _foreign, _warning)
FORMATS = {fault.__name__.strip("_"): _format(fault) for fault in (*FAULTS, _refused, _accepted)}
