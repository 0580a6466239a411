"""Fetches what `tflite.arm64` needs: qemu, an ARM64 Python with its libraries, ARM64 wheels."""

import hashlib
import pathlib
import platform
import re
import shutil
import sys
import zipfile
from collections.abc import Callable

from tflite.arm64 import debian
from tflite.arm64.cache import Cache
from tflite.arm64.pins import PLATFORMS, requirements
from tflite.child.program import run

# The one name in Debian 12 and its contemporaries, the other where qemu-user itself is static.
QEMU_NAMES = ("qemu-aarch64-static", "qemu-aarch64")
# The distribution's own Python 3, whichever that is, and what the wheels link to.
_SYSTEM_PACKAGES = ("python3-minimal", "libpython3-stdlib", "libstdc++6")
_QEMU, _SYSTEM = "qemu", "system"
_PIP_TIMEOUT_SECONDS = 1800


def find_qemu(cache: Cache, path: str | None = None) -> pathlib.Path | None:
    """The emulator: the system's, or the cache's.

    Args:
        cache: The cache.
        path: Where to look for the system's, by default `PATH`.
    """
    for name in QEMU_NAMES:
        if found := shutil.which(name, path=path):
            return pathlib.Path(found)
    folder = cache.find(_QEMU, platform.machine())
    return None if folder is None else folder / QEMU_NAMES[0]


def find_system(cache: Cache) -> pathlib.Path | None:
    """Root folder of the ARM64 system."""
    return cache.find(_SYSTEM, _system_key())


def find_python(system: pathlib.Path) -> pathlib.Path:
    """The ARM64 Python in it, `usr/bin/python3.11`."""
    return max(
        (path for path in (system / "usr/bin").glob("python3.*") if path.name[8:].isdecimal()),
        key=lambda path: int(path.name[8:]),
    )


def find_runtime(cache: Cache, runtime: str, system: pathlib.Path) -> pathlib.Path | None:
    """The folder of a runtime's wheels, made for the system's Python.

    Raises:
        ValueError: If there is no such runtime.
    """
    return cache.find(*_runtime_part(runtime, find_python(system)))


def missing(cache: Cache, runtime: str, path: str | None = None) -> list[str]:
    """What is not in place to run a runtime, in words.

    Raises:
        ValueError: If there is no such runtime.
    """
    requirements(runtime)
    lacking = []
    if find_qemu(cache, path) is None:
        lacking.append(f"{QEMU_NAMES[0]} (Debian's package qemu-user-static)")
    system = find_system(cache)
    if system is None:
        lacking.append("an ARM64 Python")
    if system is None or find_runtime(cache, runtime, system) is None:
        lacking.append(f"the ARM64 wheels of runtime {runtime}")
    return lacking


def set_up(cache: Cache, runtime: str, say: Callable[[str], None], path: str | None = None) -> None:
    """Puts in place what is missing; needs no root, and changes nothing outside the cache.

    Args:
        cache: The cache.
        runtime: A name of `pins.RUNTIMES`.
        say: Is told what is being done.
        path: Where to look for programs, by default `PATH`.

    Raises:
        ValueError: If this is not Debian or Ubuntu, something cannot be
            downloaded, or the cache folder cannot be written to.
    """
    if not missing(cache, runtime, path):
        return
    with cache.lock():
        if find_qemu(cache, path) is None:
            debian.check_system(path)
            say("downloading qemu for user-mode emulation")
            _make_qemu(cache)
        if find_system(cache) is None:
            debian.check_system(path)
            say("downloading an ARM64 Python")
            _make_system(cache)
        python = find_python(find_system(cache))
        name, key = _runtime_part(runtime, python)
        if cache.find(name, key) is None:
            say(f"downloading the ARM64 wheels of runtime {runtime} for {python.name}")
            _make_runtime(cache, name, key, runtime, python)


def _make_qemu(cache):
    architecture = debian.host_architecture()
    with (
        cache.make(_QEMU, platform.machine()) as (folder, record),
        debian.public_temporary_folder() as state,
    ):
        apt = debian.Apt(architecture, state)
        unpacked = folder / "unpacked"
        record["packages"] = debian.unpack(apt.download(["qemu-user-static"]), unpacked)
        programs = [unpacked / "usr/bin" / name for name in reversed(QEMU_NAMES)]
        found = [path for path in programs if path.is_file()]
        if not found:
            raise ValueError(
                f"The package qemu-user-static has no {' or '.join(QEMU_NAMES)}. "
                f"Received: {', '.join(record['packages'])}"
            )
        shutil.copy(found[0], folder / QEMU_NAMES[0])
        # The other emulators in the package are 350 MB.
        shutil.rmtree(unpacked)


def _make_system(cache):
    with (
        cache.make(_SYSTEM, _system_key()) as (folder, record),
        debian.public_temporary_folder() as state,
    ):
        archives = debian.Apt("arm64", state).download(_SYSTEM_PACKAGES)
        record["packages"] = debian.unpack(archives, folder)


def _make_runtime(cache, name, key, runtime, python):
    version = python.name.removeprefix("python")
    with cache.make(name, key) as (folder, record), debian.public_temporary_folder() as wheels:
        (wheels / "requirements.txt").write_text(requirements(runtime))
        done = run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
                *("--require-hashes", "--only-binary=:all:", "--disable-pip-version-check"),
                *("--implementation=cp", f"--python-version={version}"),
                *(f"--platform={platform}" for platform in PLATFORMS),
                *("--dest", wheels, "--requirement", wheels / "requirements.txt"),
            ],
            _PIP_TIMEOUT_SECONDS,
        )
        if done.exit_code:
            errors = re.findall(r"^(?:ERROR: )?(.*\S)", done.stderr, re.MULTILINE)
            reason = next((line for line in errors if "hash" in line.lower()), "")
            raise ValueError(
                f"pip cannot download the wheels of runtime {runtime} for Python {version}. "
                f"Received: {reason or (errors[-1] if errors else done.ending)}"
            )
        record["wheels"] = sorted(path.name for path in wheels.glob("*.whl"))
        for wheel in record["wheels"]:
            with zipfile.ZipFile(wheels / wheel) as archive:
                archive.extractall(folder)


def _system_key():
    return " ".join(_SYSTEM_PACKAGES)


def _runtime_part(runtime, python):
    key = hashlib.sha256(requirements(runtime).encode()).hexdigest()
    return f"runtime-{runtime}-{python.name}", key
