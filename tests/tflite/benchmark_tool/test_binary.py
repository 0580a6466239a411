"""Which benchmark_model is run when none is named."""

import os
import pathlib
import shutil
import sys

import pytest

from tflite.benchmark_tool.binary import BAZEL_OUTPUT, find_benchmark_model


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / BAZEL_OUTPUT).parent.mkdir(parents=True)
    return tmp_path


def test_none(checkout):
    assert find_benchmark_model(checkout) is None


def test_built_by_bazel(checkout):
    shutil.copy(os.path.realpath(sys.executable), checkout / BAZEL_OUTPUT)
    assert find_benchmark_model(checkout) == str(checkout / BAZEL_OUTPUT)


def test_built_for_a_phone(checkout):
    header = bytearray(pathlib.Path(sys.executable).read_bytes()[:64])
    header[18] ^= 0xFF
    (checkout / BAZEL_OUTPUT).write_bytes(header)
    assert find_benchmark_model(checkout) is None


def test_path_comes_first(checkout):
    shutil.copy(os.path.realpath(sys.executable), checkout / BAZEL_OUTPUT)
    program = checkout / "bin" / "benchmark_model"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert find_benchmark_model(checkout) == str(program)
