"""Keeps what C++ libraries print away from the user."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def captured_native_output() -> Iterator[None]:
    """Sends the process's file descriptors 1 and 2 to a file; Python's prints still show.

    TensorFlow's converter and runtimes print from C++ what means nothing to
    the user.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(1), os.dup(2)]
    python_streams = sys.stdout, sys.stderr
    with tempfile.TemporaryFile() as sink:
        try:
            if sys.stdout.fileno() == 1:
                sys.stdout = os.fdopen(os.dup(saved[0]), "w", buffering=1)
            if sys.stderr.fileno() == 2:
                sys.stderr = os.fdopen(os.dup(saved[1]), "w", buffering=1)
        except (OSError, ValueError, AttributeError):
            pass  # Streams that are no files (captured by a test) print as they are.
        os.dup2(sink.fileno(), 1)
        os.dup2(sink.fileno(), 2)
        try:
            yield
        finally:
            for stream, original in zip((sys.stdout, sys.stderr), python_streams, strict=True):
                if stream is not original:
                    stream.close()
            sys.stdout, sys.stderr = python_streams
            for target, copy in zip((1, 2), saved, strict=True):
                os.dup2(copy, target)
                os.close(copy)
