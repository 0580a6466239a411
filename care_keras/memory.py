"""Resident memory of this process."""

import pathlib
import re
import resource
import sys


def status_bytes(field: str) -> int | None:
    """What Linux says of this process's memory, `VmRSS` now or `VmHWM` at its peak.

    `None` on other systems.
    """
    try:
        status = pathlib.Path("/proc/self/status").read_text()
    except OSError:
        return None
    found = re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)
    return None if found is None else int(found[1]) * 1024


def peak_bytes() -> int:
    """Largest resident memory so far.

    On Linux not by `getrusage`, whose figure survives `exec`: it begins at the
    peak of the process that started this one.
    """
    peak = status_bytes("VmHWM")
    if peak is not None:
        return peak
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
