"""OpenVINO's reading of our int8 files: what `python -m tflite.openvino` finds."""

import pytest

from tests.needed import need_package
from tests.tflite.cast_codes import write_good_and_cast
from tests.tflite.commands import run_command


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The bundled int8 model, and the same with roots that are tables of cast codes."""
    need_package("openvino", "openvino")
    folder = tmp_path_factory.mktemp("openvino")
    write_good_and_cast(folder)
    return folder


def rows_of(done):
    """`{(model, mode): share of the same class}`"""
    lines = [line for line in done.stdout.splitlines() if ".tflite " in line and "%" in line]
    return {
        (line.split()[0], " ".join(line.split()[1:3])): float(line.split()[4].rstrip("%"))
        for line in lines
    }


def test_the_bundled_file_means_the_same(folder):
    done = run_command("openvino", "--model=good.tflite", folder=folder)
    assert done.returncode == 0, done.stderr
    rows = rows_of(done)
    assert rows["good.tflite", "real numbers"] >= 95.0
    # Some nine in ten where the CPU's own sums saturate, as the command then says.
    assert rows["good.tflite", "int8 kernels"] >= (85.0 if "no VNNI" in done.stdout else 95.0)
    assert "200" in done.stdout and "against LiteRT" in done.stdout


def test_a_file_of_cast_codes_is_told(folder):
    """For LiteRT it is the same network; its codes mean other numbers to OpenVINO."""
    done = run_command("openvino", "--model=cast.tflite", "--samples=100", folder=folder)
    assert done.returncode == 1
    assert rows_of(done)["cast.tflite", "real numbers"] < 90.0
    last = done.stderr.splitlines()[-1]
    assert "come to the same answers too seldom: cast.tflite, real numbers" in last
    audited = run_command("audit", "--model=cast.tflite", "--portable", folder=folder)
    assert audited.returncode == 1 and "7 cast-of-codes" in audited.stderr


def test_what_is_no_model_is_one_line(folder):
    (folder / "bad.tflite").write_bytes(b"no model")
    done = run_command("openvino", "--model=bad.tflite", folder=folder)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")
