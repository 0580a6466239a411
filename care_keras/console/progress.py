"""A progress line on stderr that suits a terminal and a log file alike."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

_T = TypeVar("_T")
_LEAST_SECONDS = 0.2
# From here on digits behind the point say nothing.
_WHOLE_RATE = 100


def say(text: str) -> None:
    """A line of progress: stderr's, for stdout is for results."""
    _show(f"{text}\n")


def progress(items: Iterable[_T], label: str, total: int | None = None) -> Iterator[_T]:
    """Yields `items` and shows how far it is and how fast.

    In a terminal one line is rewritten; elsewhere a line is printed at each
    quarter, so that logs stay short.

    Args:
        items: What to go through.
        label: What is being done, `"decoding"`.
        total: Number of items; `len(items)` if not given.
    """
    total = len(items) if total is None else total  # type: ignore[arg-type]
    terminal = sys.stderr.isatty()
    started = shown = time.monotonic()
    next_quarter = 1
    done = 0
    for item in items:
        yield item
        done += 1
        now = time.monotonic()
        if terminal and (now - shown > 0.1 or done == total):
            shown = now
            _show(f"\r{_line(label, done, total, now - started)}\033[K")
        elif not terminal and done * 4 >= next_quarter * total:
            next_quarter = done * 4 // max(total, 1) + 1
            _show(_line(label, done, total, now - started) + "\n")
    if terminal and done:
        _show("\n")


def _line(label, done, total, seconds):
    line = f"{label} {done}/{total}"
    if seconds < _LEAST_SECONDS:
        return line  # A rate of the first moment tells nothing.
    rate = done / seconds
    return f"{line} ({rate:,.0f}/s)" if rate >= _WHOLE_RATE else f"{line} ({rate:.3g}/s)"


def _show(text):
    sys.stderr.write(text)
    sys.stderr.flush()
