"""What a figure was measured on: without it a latency says nothing."""

import datetime
import os
import pathlib
import platform
import re


def describe_machine() -> dict:
    """The machine as plain JSON types; `None` is what the system does not tell."""
    usable = getattr(os, "sched_getaffinity", None)
    return {
        "cpu": cpu_name(),
        "architecture": platform.machine(),
        "cpus": os.cpu_count(),
        "usable_cpus": len(usable(0)) if usable else os.cpu_count(),
        "memory_mib": _memory_mib(),
        "system": f"{platform.system()} {platform.release()}",
        "cpu_governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
    }


def cpu_name() -> str:
    """Name of the processor, as near as the system tells it."""
    for field in ("model name", "Hardware", "Model"):
        found = re.search(rf"^{field}\s*: (.+)$", _read("/proc/cpuinfo") or "", re.MULTILINE)
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()


def cpu_flags() -> frozenset[str]:
    """What the first processor can do, in the kernel's words (`"avx512_vnni"`); empty if untold."""
    found = re.search(r"^(?:flags|Features)\s*: (.+)$", _read("/proc/cpuinfo") or "", re.MULTILINE)
    return frozenset(found[1].split()) if found else frozenset()


def load_average() -> float | None:
    """Runnable processes over the last minute, `None` where there is no such figure."""
    try:
        return round(os.getloadavg()[0], 2)
    except (AttributeError, OSError):
        return None


def now() -> str:
    """The time in UTC, to the second, in ISO 8601."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _memory_mib():
    found = re.search(r"^MemTotal:\s+(\d+) kB", _read("/proc/meminfo") or "", re.MULTILINE)
    return None if found is None else int(found[1]) // 1024


def _read(path):
    try:
        return pathlib.Path(path).read_text().strip()
    except OSError:
        return None
