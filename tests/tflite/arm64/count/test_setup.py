"""Setting up: without a compiler, with one that fails, and with a qemu that takes no plugins."""

import os
import platform

import pytest

from tests.tflite.arm64.test_setup import NO_TOOLS, make, program
from tflite.arm64 import setup as arm64_setup
from tflite.arm64.cache import Cache
from tflite.arm64.count import setup


@pytest.fixture
def cache(tmp_path):
    """A cache that has an ARM64 system, and a qemu whose program is a script."""
    cache = Cache(tmp_path / "cache")
    make(cache, "system", arm64_setup._system_key(), "usr/bin/python3.11")
    make(cache, setup._QEMU, platform.machine(), setup._PROGRAM)
    return cache


def qemu(cache, script):
    program(cache.folder / setup._QEMU / "usr/bin", "qemu-aarch64", script)


def test_nothing_is_there_at_first(tmp_path):
    with pytest.raises(ValueError, match="run with --setup --count first. Received: .* and the pl"):
        setup.find_counter(Cache(tmp_path))


def test_without_a_compiler_it_is_one_line(tmp_path):
    with pytest.raises(ValueError, match="needs a C compiler .* Received: no cc or gcc or clang"):
        setup.set_up_counting(Cache(tmp_path), print, NO_TOOLS)


def test_a_compiler_that_fails(cache, tmp_path):
    program(tmp_path, "cc", "echo 'plugin.c:3:1: error: no such header' >&2; exit 1")
    with pytest.raises(ValueError, match=r"cannot be built. Received: .*cc .*\(no such header\)$"):
        setup.set_up_counting(cache, lambda text: None, os.fspath(tmp_path))
    assert cache.record(setup._PLUGIN) is None


def test_a_qemu_without_plugins(cache, tmp_path):
    qemu(
        cache,
        'case "$1" in --version) echo "qemu-aarch64 version 10.0.3";;'
        ' *) echo "qemu: unknown option plugin" >&2; exit 1;; esac',
    )
    program(tmp_path, "cc", "exit 0")
    with pytest.raises(ValueError, match=r"does not take the plugin.*Received: qemu 10.0.3 .*unkn"):
        setup.set_up_counting(cache, lambda text: None, os.fspath(tmp_path))


def test_a_qemu_that_takes_it(cache, tmp_path):
    """As `cc` and qemu say so; that it counts is for `test_counting`."""
    qemu(
        cache,
        'case "$1" in --version) echo "qemu-aarch64 version 7.2.22";;'
        ' -plugin) echo "1 2 3 4 5 6 7 8 9" > "${2#*counts=}";; *) exit 1;; esac',
    )
    program(tmp_path, "cc", "exit 0")
    said = []
    for _ in range(2):
        setup.set_up_counting(cache, said.append, os.fspath(tmp_path))
    assert said == ["building the plugin that counts instructions"]
    counter = setup.find_counter(cache)
    assert counter.loader == () and counter.plugin.parent.name == setup._PLUGIN
    emulator = counter.on(setup.Emulator(None, "", tmp_path, tmp_path, ()), tmp_path / "a,b")
    assert emulator.options[1].endswith("/a,,b") and emulator.qemu_version == "7.2.22"
