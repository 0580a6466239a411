"""What is missing, and what becomes of a set-up whose tools fail."""

import base64
import hashlib
import os
import pathlib
import platform
import re
import zipfile

import pytest

from tflite.arm64 import debian, pins, setup
from tflite.arm64.cache import Cache
from tflite.arm64.emulator import Emulator, find_emulator
from tflite.arm64.pins import RUNTIMES, requirements

NO_TOOLS = "/nonexistent"


def program(folder, name, script):
    """A shell script by the name of a program."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def make(cache, name, key, *files):
    with cache.lock(), cache.make(name, key) as (folder, record):
        record["packages"] = []
        for file in files:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text("")


@pytest.fixture
def system(tmp_path):
    """A cache that has qemu and a system, and no runtime."""
    cache = Cache(tmp_path / "cache")
    make(cache, "qemu", platform.machine(), "qemu-aarch64-static")
    files = ("python3", "python3.9", "python3.11", "python3.11-config")
    make(cache, "system", setup._system_key(), *(f"usr/bin/{name}" for name in files))
    return cache


def test_everything_is_missing_at_first(tmp_path):
    cache = Cache(tmp_path)
    assert setup.missing(cache, "2.3.0", NO_TOOLS) == [
        "qemu-aarch64-static (Debian's package qemu-user-static)",
        "an ARM64 Python",
        "the ARM64 wheels of runtime 2.3.0",
    ]
    with pytest.raises(ValueError, match=r"^Not set up: run with --setup first. Received: /.*qemu"):
        find_emulator(cache, "2.3.0", NO_TOOLS)
    with pytest.raises(ValueError, match="runtimes 2.3.0, .*Received: runtime='1.0'"):
        find_emulator(cache, "1.0", NO_TOOLS)


def test_a_part_that_is_incomplete_is_missing(system):
    assert setup.missing(system, "2.3.0", NO_TOOLS) == ["the ARM64 wheels of runtime 2.3.0"]
    (system.folder / "system" / "complete.json").unlink()
    assert setup.missing(system, "2.3.0", NO_TOOLS) == [
        "an ARM64 Python",
        "the ARM64 wheels of runtime 2.3.0",
    ]


def test_the_newest_python_is_taken(system):
    assert setup.find_python(setup.find_system(system)).name == "python3.11"


def test_wheels_of_other_pins_are_missing(system):
    name, key = setup._runtime_part("2.1.0", pathlib.Path("python3.11"))
    make(system, name, key, "module.py")
    assert setup.missing(system, "2.1.0", NO_TOOLS) == []
    make(system, name, "of other pins", "module.py")
    assert setup.missing(system, "2.1.0", NO_TOOLS) == ["the ARM64 wheels of runtime 2.1.0"]


def test_the_systems_qemu_is_preferred(system, tmp_path):
    assert setup.find_qemu(system, NO_TOOLS) == system.folder / "qemu/qemu-aarch64-static"
    for name in ("qemu-aarch64", "qemu-aarch64-static"):
        path = program(tmp_path, name, "echo qemu-aarch64 version 9.1.2")
        assert setup.find_qemu(system, os.fspath(tmp_path)) == path


def test_a_second_set_up_does_nothing(system):
    name, key = setup._runtime_part("2.3.0", pathlib.Path("python3.11"))
    make(system, name, key)
    said = []
    setup.set_up(system, "2.3.0", said.append, NO_TOOLS)
    assert said == []


def test_a_system_without_apt_is_told_so(tmp_path):
    with pytest.raises(ValueError, match="Only a Debian or Ubuntu system .*apt-get and dpkg"):
        setup.set_up(Cache(tmp_path), "2.3.0", print, NO_TOOLS)
    program(tmp_path, "dpkg", "")
    with pytest.raises(ValueError, match="Received: a system without apt-get$"):
        debian.check_system(os.fspath(tmp_path))


def test_apt_that_finds_no_package_is_one_line(tmp_path):
    script = """
case "$*" in
  *" update "*) echo "W: Failed to fetch the index" >&2;;
  *) echo "Reading package lists..."; echo "E: Unable to locate package $7" >&2; exit 100;;
esac"""
    apt = debian.Apt("arm64", tmp_path / "state", program(tmp_path, "apt-get", script))
    with pytest.raises(ValueError) as caught:
        apt.download(["python3-minimal"])
    assert re.fullmatch(
        r"apt offers no arm64 packages of python3-minimal .*"
        r"Received: Unable to locate package .*; Failed to fetch the index",
        str(caught.value),
    )


def test_apt_keeps_to_its_own_state(tmp_path):
    """The system's index, packages and architectures are not its business."""
    log = tmp_path / "log"
    apt = debian.Apt(
        "arm64", tmp_path / "state", program(tmp_path, "apt-get", f'echo "$@" >> {log}')
    )
    assert apt.download(["python3-minimal"]) == []
    calls = log.read_text().splitlines()
    assert len(calls) == 2 and "--download-only" in calls[1]
    for call in calls:
        for option in ("Dir::State", "Dir::State::status", "Dir::Cache"):
            assert f"--option={option}={tmp_path}/state/" in call
        assert "--option=APT::Architecture=arm64" in call


def wheel(folder, name, version, content):
    """A wheel of one module; gives its sha256."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": content,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    sums = {
        path: base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        for path, text in files.items()
    }
    files[f"{info}/RECORD"] = "".join(f"{path},sha256={sums[path]},\n" for path in sums)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in files.items():
            archive.writestr(zipfile.ZipInfo(member), text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_pip_takes_the_pinned_file_and_no_other(system, tmp_path, monkeypatch):
    """With the real pip, on wheels of a local folder."""
    right = wheel(tmp_path, "tiny", "1.0", "value = 1\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", os.fspath(tmp_path))
    monkeypatch.setitem(pins.RUNTIMES, "tiny", f"\ntiny==1.0\n    --hash=sha256:{right}\n")
    wheel(tmp_path, "tiny", "1.0", "value = 2\n")
    with pytest.raises(ValueError, match="pip cannot download the wheels of runtime tiny.*HASH"):
        setup.set_up(system, "tiny", print, NO_TOOLS)
    assert setup.missing(system, "tiny", NO_TOOLS) == ["the ARM64 wheels of runtime tiny"]
    assert wheel(tmp_path, "tiny", "1.0", "value = 1\n") == right
    said = []
    setup.set_up(system, "tiny", said.append, NO_TOOLS)
    assert said == ["downloading the ARM64 wheels of runtime tiny for python3.11"]
    folder = system.folder / "runtime-tiny-python3.11"
    assert (folder / "tiny.py").read_text() == "value = 1\n"
    assert system.record(folder.name)["wheels"] == ["tiny-1.0-py3-none-any.whl"]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_every_wheel_is_pinned(runtime):
    lines = requirements(runtime).splitlines()
    names = [line.split("==")[0] for line in lines]
    assert "numpy" in names and len(names) == len(set(names))
    for line in lines:
        assert re.fullmatch(r"[\w.-]+==[\d.]+( --hash=sha256:[0-9a-f]{64})+", line), line


def test_qemu_is_asked_for_what_it_does_right():
    for version, model in (("7.2.22", "max,sme=off"), ("9.2.0", "max,sme=off"), ("10.0.13", "max")):
        emulator = Emulator(pathlib.Path(), version, pathlib.Path(), pathlib.Path(), ())
        assert emulator.cpu_model("max") == model
        assert emulator.cpu_model("cortex-a53") == "cortex-a53"
        assert emulator.cpu_model("max,sve=off") == "max,sve=off"
