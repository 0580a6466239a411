"""What the examples' commands say before they need the packages that train."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
# The package that each trains with.
TRAINING = {"on_cpu.cifar10": "torch", "on_gpu.cifar10": "jax", "on_gpu.camvid": "jax"}
FLAGS = ["--data=data.npz", "--output=model.keras"]


def command(name, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", f"examples.{name}", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=ROOT,
        env={**os.environ, **environment},
    )


@pytest.fixture
def without(tmp_path):
    """`without(package)` are settings with which Python does not find it."""

    def settings(package):
        error = f"ModuleNotFoundError('No module named {package}', name={package!r})"
        (tmp_path / f"{package}.py").write_text(f"raise {error}\n")
        return {"PYTHONPATH": str(tmp_path), "KERAS_BACKEND": "tensorflow"}

    return settings


@pytest.mark.parametrize("name", TRAINING)
def test_help_needs_no_package(name, without):
    result = command(name, "--help", **without(TRAINING[name]))
    assert result.returncode == 0 and result.stderr == ""
    assert f"python -m examples.{name} " in result.stdout and "--output" in result.stdout


@pytest.mark.parametrize("name", TRAINING)
def test_a_package_that_is_not_there_is_named(name, without):
    package = TRAINING[name]
    run_dir = ["--run_dir=run"] if name == "on_cpu.cifar10" else []
    result = command(name, *FLAGS, *run_dir, **without(package))
    assert result.returncode == 2 and result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert f"{package} is needed" in line and f"[{package}]" in line
