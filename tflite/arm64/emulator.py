"""Programs of an ARM64 Python on this machine: qemu's user-mode emulation of one core type."""

import contextlib
import dataclasses
import os
import pathlib
import re
import tempfile
from collections.abc import Iterator, Sequence

from tflite.arm64 import core_id
from tflite.arm64.cache import Cache
from tflite.arm64.setup import find_python, find_qemu, find_runtime, find_system, missing
from tflite.child.program import last_line, run

# qemu 7.2 gave wrong results with SME kernels that 10.0 runs right (LiteRT 2.1.6 to 2.3.0); what is
# between was not tried.
_OLDEST_QEMU_WITH_SME = 10
_TIMEOUT_SECONDS = 120
_ROOT = pathlib.Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class Emulator:
    """An emulator and what it runs.

    Attributes:
        qemu: Its program.
        qemu_version: `"7.2.22"`.
        system: Root folder of the ARM64 system.
        wheels: Folder of the runtime's wheels.
        packages: The system's Debian packages, `"name version"`.
        loader: Words before the program, where it is not started by itself.
        options: Of qemu, besides the core's.
    """

    qemu: pathlib.Path
    qemu_version: str
    system: pathlib.Path
    wheels: pathlib.Path
    packages: tuple[str, ...]
    loader: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    @contextlib.contextmanager
    def as_core(self, core: str) -> Iterator[list[str]]:
        """Yields the command that runs the ARM64 Python on a core type, to add arguments to.

        Args:
            core: A name that qemu has for it, `"cortex-a76"`; properties may
                follow, `"max,sve=off"`.

        Raises:
            ValueError: If qemu has no such core.
        """
        with tempfile.TemporaryDirectory(prefix="care_keras_arm64-") as name:
            root = pathlib.Path(name)
            for entry in self.system.iterdir():
                (root / entry.name).symlink_to(entry)
            command = self._command(core, root)
            # qemu 7.2 shows this machine's own /proc/cpuinfo: LiteRT 2.2 and 2.3 find no ARM core
            # in it, or fewer than there are, and crash. qemu 10 writes one itself.
            cpuinfo = core_id.cpuinfo(self._main_id(command, core), os.cpu_count() or 1)
            (root / "proc").mkdir()
            (root / "proc/cpuinfo").write_text(cpuinfo)
            yield command

    def cpu_model(self, core: str) -> str:
        """What qemu is asked for: the core, less what this qemu computes wrongly."""
        if core == "max" and int(self.qemu_version.partition(".")[0]) < _OLDEST_QEMU_WITH_SME:
            return "max,sme=off"
        return core

    def _command(self, core, root):
        # Nothing of this machine's environment, least of all its Python's, is for the guest.
        path = os.pathsep.join(map(os.fspath, (self.wheels, _ROOT)))
        environment = ["/usr/bin/env", "--ignore-environment", "LC_ALL=C.UTF-8"]
        qemu = [*self.loader, self.qemu, *self.options, "-cpu", self.cpu_model(core)]
        qemu += ["-L", root, "-E", f"PYTHONPATH={path}"]
        return [*environment, *map(os.fspath, qemu), os.fspath(find_python(self.system))]

    def _main_id(self, command, core):
        done = run([*command, core_id.__file__], _TIMEOUT_SECONDS)
        if done.exit_code:
            raise ValueError(
                f"qemu {self.qemu_version} cannot run Python as the core {core}. "
                f"Received: {last_line(done.stderr)} (qemu-aarch64 -cpu help lists its cores)"
            )
        return int(done.stdout)


def find_emulator(cache: Cache, runtime: str, path: str | None = None) -> Emulator:
    """What `set_up` has put in place.

    Args:
        cache: The cache.
        runtime: A name of `pins.RUNTIMES`.
        path: Where to look for the system's qemu, by default `PATH`.

    Raises:
        ValueError: If anything is missing.
    """
    if lacking := missing(cache, runtime, path):
        raise ValueError(
            f"Not set up: run with --setup first. Received: {cache.folder} "
            f"without {', '.join(lacking)}"
        )
    qemu, system = find_qemu(cache, path), find_system(cache)
    version = read_qemu_version([qemu])
    record = cache.record(system.name)
    wheels = find_runtime(cache, runtime, system)
    return Emulator(qemu, version, system, wheels, tuple(record["packages"]))


def read_qemu_version(qemu: Sequence[str | os.PathLike]) -> str:
    """What `qemu --version` says: `"7.2.22"`.

    Args:
        qemu: The words that start it.

    Raises:
        ValueError: If it says something else.
    """
    said = run([*qemu, "--version"], _TIMEOUT_SECONDS).output
    found = re.search(r"version (\d+(\.\d+)+)", said)
    if not found:
        raise ValueError(f"qemu does not tell its version. Received: {last_line(said)}")
    return found[1]
