"""Fetches and builds what counts instructions: a qemu that takes plugins, and the plugin."""

import dataclasses
import hashlib
import os
import pathlib
import platform
import re
import shutil
import tempfile
from collections.abc import Callable

from tflite.arm64 import debian
from tflite.arm64.cache import Cache
from tflite.arm64.count.instructions import Counts
from tflite.arm64.emulator import Emulator, read_qemu_version
from tflite.arm64.setup import find_python, find_system
from tflite.child.program import last_line, run

_HERE = pathlib.Path(__file__).parent
_SOURCES = ("plugin.c", "instruction_classes.c", "instruction_classes.h")
COMPILERS = ("cc", "gcc", "clang")
_OPTIONS = ("-std=c11", "-O2", "-shared", "-fPIC", "-fvisibility=hidden")
_PACKAGE = "qemu-user"
_PROGRAM = "usr/bin/qemu-aarch64"
_QEMU, _PLUGIN = "qemu-with-plugins", "count-plugin"
_LIBRARY = "count.so"
_TIMEOUT_SECONDS = 120
# What the worker does around an inference.
_TRIAL = "import os; os.getpriority(os.PRIO_PROCESS, 0)"


@dataclasses.dataclass(frozen=True)
class Counter:
    """What counts instructions.

    Attributes:
        loader: The words that start qemu with the libraries that it was built with.
        qemu: The program, which takes plugins.
        qemu_version: `"7.2.22"`.
        plugin: The plugin.
    """

    loader: tuple[str, ...]
    qemu: pathlib.Path
    qemu_version: str
    plugin: pathlib.Path

    def on(self, emulator: Emulator, counts: pathlib.Path) -> Emulator:
        """The same emulation, with the plugin in it.

        Args:
            emulator: What `find_emulator` gives.
            counts: The file that the plugin is to write.
        """
        # qemu's own way to write a comma within a value.
        words = [f"{self.plugin}".replace(",", ",,"), f"counts={counts}".replace(",", ",,")]
        return dataclasses.replace(
            emulator,
            loader=self.loader,
            qemu=self.qemu,
            qemu_version=self.qemu_version,
            options=("-plugin", ",".join(words)),
        )


def find_counter(cache: Cache) -> Counter:
    """What `set_up_counting` has put in place.

    Raises:
        ValueError: If anything is missing, or qemu does not tell its version.
    """
    qemu, plugin = _find_qemu(cache), _find_plugin(cache)
    lacking = [] if qemu else ["a qemu that takes plugins"]
    lacking += [] if plugin else ["the plugin that counts"]
    if lacking:
        raise ValueError(
            "Counting is not set up: run with --setup --count first. "
            f"Received: {cache.folder} without {' and '.join(lacking)}"
        )
    return _counter(qemu, plugin)


def set_up_counting(cache: Cache, say: Callable[[str], None], path: str | None = None) -> None:
    """Puts in place what is missing, once `tflite.arm64.setup.set_up` is through.

    Args:
        cache: The cache.
        say: Is told what is being done.
        path: Where to look for programs, by default `PATH`.

    Raises:
        ValueError: If there is no C compiler, something cannot be downloaded, or this
            system's qemu takes no plugins.
    """
    if _find_qemu(cache) and _find_plugin(cache):
        return
    compilers = filter(None, (shutil.which(name, path=path) for name in COMPILERS))
    compiler = next(compilers, None)
    if compiler is None:
        raise ValueError(
            "Counting instructions needs a C compiler to build its plugin: install gcc, and run "
            f"--setup --count again. Received: no {' or '.join(COMPILERS)} on PATH"
        )
    with cache.lock():
        if _find_qemu(cache) is None:
            debian.check_system(path)
            say("downloading a qemu that takes plugins")
            _make_qemu(cache)
        if _find_plugin(cache) is None:
            say("building the plugin that counts instructions")
            _make_plugin(cache, compiler)


def _counter(qemu, plugin):
    """What is in the two folders."""
    loader, program = _loader(qemu), qemu / _PROGRAM
    return Counter(loader, program, read_qemu_version([*loader, program]), plugin / _LIBRARY)


def _find_qemu(cache):
    return cache.find(_QEMU, platform.machine())


def _find_plugin(cache):
    return cache.find(_PLUGIN, _plugin_key())


def _plugin_key():
    content = [_HERE.joinpath(name).read_bytes() for name in _SOURCES]
    digest = hashlib.sha256(b"\0".join([" ".join(_OPTIONS).encode(), *content]))
    return f"{platform.machine()} {digest.hexdigest()}"


def _make_qemu(cache):
    with (
        cache.make(_QEMU, platform.machine()) as (folder, record),
        debian.public_temporary_folder() as state,
    ):
        # With all libraries that it needs, the C library too: the system need not have them.
        archives = debian.Apt(debian.host_architecture(), state).download([_PACKAGE])
        record["packages"] = debian.unpack(archives, folder)
        if not (folder / _PROGRAM).is_file():
            raise ValueError(
                f"The package {_PACKAGE} has no {_PROGRAM}. "
                f"Received: {', '.join(record['packages'])}"
            )
        # The other emulators in the package are 130 MB.
        for other in (folder / "usr/bin").iterdir():
            if other.name != pathlib.Path(_PROGRAM).name:
                other.unlink()
        shutil.rmtree(folder / "usr/share", ignore_errors=True)


def _make_plugin(cache, compiler):
    with cache.make(_PLUGIN, _plugin_key()) as (folder, record):
        sources = [_HERE / name for name in _SOURCES if name.endswith(".c")]
        done = run([compiler, *_OPTIONS, "-o", folder / _LIBRARY, *sources], _TIMEOUT_SECONDS)
        if done.exit_code:
            raise ValueError(
                f"The plugin that counts instructions cannot be built. "
                f"Received: {compiler} {done.ending} ({_first_error(done)})"
            )
        record["compiler"] = compiler
        _try(_counter(_find_qemu(cache), folder), find_system(cache))


def _try(counter, system):
    """Raises ValueError where qemu does not take the plugin."""
    with tempfile.TemporaryDirectory(prefix="care_keras_arm64-") as name:
        counts = pathlib.Path(name) / "counts"
        emulator = counter.on(Emulator(counter.qemu, "", system, counts.parent, ()), counts)
        words = [*emulator.loader, emulator.qemu, *emulator.options, "-L", system]
        done = run([*words, find_python(system), "-I", "-c", _TRIAL], _TIMEOUT_SECONDS)
        if done.exit_code == 0 and counts.is_file():
            (line,) = counts.read_text().splitlines()
            if Counts.of_line(line).total > 0:
                return
    raise ValueError(
        f"This system's {_PACKAGE} does not take the plugin that counts: version 1 of the plugin "
        "interface is needed, which a dynamically linked qemu 7.2 has. "
        f"Received: qemu {counter.qemu_version} {done.ending} ({last_line(done.output)})"
    )


def _loader(folder):
    """The dynamic loader in a system's root folder, and where it is to look for libraries."""
    loaders = sorted(folder.glob("lib*/ld-linux-*.so.*"))
    # A program that is linked statically needs none.
    if not loaders:
        return ()
    libraries = sorted({path.parent for path in folder.glob("**/lib*.so.*") if path.is_file()})
    return os.fspath(loaders[0]), "--library-path", os.pathsep.join(map(os.fspath, libraries))


def _first_error(done):
    found = re.search(r"^.*error: (.+)", done.output, re.MULTILINE)
    return found[1] if found else last_line(done.output)
