"""Vulkan drivers that the GPU accelerator may run on: the system's, else SwiftShader."""

import json
import os
import pathlib
import sys
from collections.abc import Iterator

from tflite.child.program import run

_DEVICES = pathlib.Path(__file__).with_name("devices.py")
_TIMEOUT_SECONDS = 60
# By these a user chooses drivers; the loader reads them.
CHOICES = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES")
# Where browsers keep SwiftShader, a Vulkan driver that computes on the CPU.
_BROWSERS = (
    "/usr/lib/chromium",
    "/usr/lib64/chromium-browser",
    "/usr/lib/chromium-browser",
    "/opt/google/chrome",
)
INSTALL = (
    "install libvulkan1 and your GPU's Vulkan driver or, without a GPU, chromium, which has "
    "SwiftShader (Debian: apt-get install libvulkan1 chromium)"
)


def drivers(folder: str | os.PathLike) -> Iterator[str | None]:
    """Drivers to try in turn: `None` for the system's or the user's, or a description's path.

    Args:
        folder: Where a description may be written.
    """
    yield None
    if any(os.environ.get(name) for name in CHOICES):
        return
    library = find_swiftshader()
    if library is not None:
        # What lies beside the library, if anything, may name it by a path of its own.
        path = pathlib.Path(folder, "swiftshader.json")
        icd = {"library_path": os.fspath(library), "api_version": "1.1.0"}
        path.write_text(json.dumps({"file_format_version": "1.0.0", "ICD": icd}))
        yield os.fspath(path)


def find_swiftshader() -> pathlib.Path | None:
    """SwiftShader's library, where a browser has it."""
    found = (pathlib.Path(folder, "libvk_swiftshader.so") for folder in _BROWSERS)
    return next((path for path in found if path.is_file()), None)


def vulkan_devices(icd: str | None) -> list[dict]:
    """What Vulkan says of its devices; none where it cannot be asked.

    Args:
        icd: A driver's description, or `None` for the system's or the user's.

    Returns:
        Dictionaries of `name`, `type`, `driver` and `half_precision`.
    """
    command = [sys.executable, "-P", _DEVICES, *([icd] if icd else [])]
    try:
        done = run(command, _TIMEOUT_SECONDS)
        return json.loads(done.stdout.splitlines()[-1]).get("devices", [])
    # A driver that crashes as it starts says nothing.
    except (ValueError, IndexError):
        return []
