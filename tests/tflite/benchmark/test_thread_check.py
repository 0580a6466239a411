"""Outputs of several threads against those of one, right and wrong."""

import json
import pathlib

import numpy as np
import pytest

from tests.tflite.commands import run_here
from tests.tflite.fake_benchmark_model import write_fake
from tests.tflite.tiny_models import tiny_model
from tflite.benchmark.engine import ModelRun
from tflite.benchmark.latency import make_candidates
from tflite.benchmark.litert_engine import LiteRTEngine
from tflite.benchmark.native_engine import BenchmarkModelEngine
from tflite.benchmark.thread_check import check_candidates, check_threads

# A benchmark_model whose float outputs are 1, those of two threads what `second` says.
WRITES_OUTPUTS = """
import numpy
flags = dict(flag.split("=", 1) for flag in sys.argv[1:] if "=" in flag)
if "--output_filepath" in flags:
    value = {second} if flags["--num_threads"] == "2" else 1.0
    numpy.full({count}, value, numpy.float32).tofile(flags["--output_filepath"])
"""


@pytest.fixture
def conv(tmp_path):
    path = tmp_path / "conv.tflite"
    path.write_bytes(tiny_model("conv"))
    return path


def int8(*values):
    return np.asarray(values, np.int8)


def test_integers_must_be_equal():
    assert check_threads(2, [int8(1, 2), int8(3)], [int8(1, 2), int8(3)]).passed
    check = check_threads(4, [int8(-128, 2, 3, 4)], [int8(127, 2, 3, 4)])
    assert not check.passed and check.largest_codes == 255
    assert str(check) == (
        "with 4 threads 25% of the output values are not those with one, by up to 255 codes"
    )


def test_floats_may_differ_by_their_rounding():
    one = np.asarray([100.0, 1.0], np.float32)
    assert check_threads(2, [one], [one + np.float32(1e-3)]).passed
    assert not check_threads(2, [one], [one + np.float32(1.0)]).passed
    broken = np.asarray([100.0, np.nan], np.float32)
    check = check_threads(2, [one], [broken])
    assert not check.passed and check_threads(2, [broken], [broken]).passed
    assert check.to_dict()["largest_relative"] is None and not check.to_dict()["passed"]


def test_the_runtime_of_this_machine(conv):
    engine = LiteRTEngine()
    candidates = make_candidates([conv], [1, 2, 4], {})
    checks = check_candidates(candidates, engine)
    assert set(checks) == {("conv.tflite", 2), ("conv.tflite", 4)}
    assert all(check.passed and check.values == 16 * 16 * 3 for check in checks.values())
    (output,) = engine.outputs(candidates[0].run)
    assert output.shape == (1, 16, 16, 3) and output.dtype == np.float32 and output.std() > 0


@pytest.mark.parametrize(("second", "passed"), [(1.0, True), (3.0, False)])
def test_a_benchmark_model(conv, tmp_path, second, passed):
    before = WRITES_OUTPUTS.format(second=second, count=16 * 16 * 3)
    engine = BenchmarkModelEngine(write_with_numpy(tmp_path, before))
    (output,) = engine.outputs(ModelRun(conv))
    np.testing.assert_array_equal(output, np.ones((1, 16, 16, 3), np.float32))
    (check,) = check_candidates(make_candidates([conv], [2], {}), engine).values()
    assert check.passed == passed and (check.largest_relative == 2.0) != passed


def test_a_benchmark_model_that_writes_none(conv, tmp_path):
    engine = BenchmarkModelEngine(write_fake(tmp_path))
    assert engine.outputs(ModelRun(conv)) is None
    assert check_candidates(make_candidates([conv], [2], {}), engine) == {}


def test_wrong_numbers_are_exit_code_1(conv, tmp_path):
    before = WRITES_OUTPUTS.format(second=3.0, count=16 * 16 * 3)
    done = run_here(
        "tflite.benchmark",
        "--model=conv.tflite",
        "--threads=1",
        "--threads=2",
        f"--benchmark_binary={write_with_numpy(tmp_path, before)}",
        "--rounds=3",
        "--output_json=figures.json",
        folder=tmp_path,
    )
    assert done.returncode == 1 and "median ms" in done.stdout
    assert done.stderr.splitlines()[-1] == (
        "error: conv.tflite with 2 threads 100% of the output values are not those with one, by "
        "up to 2 of the largest output: times of wrong numbers (tflite.audit --portable looks for "
        "the operator)"
    )
    one, two = json.loads((tmp_path / "figures.json").read_text())["models"]
    assert one["outputs_against_one_thread"] is None
    assert not two["outputs_against_one_thread"]["passed"]


def write_with_numpy(folder, before) -> pathlib.Path:
    """The stand-in, which needs this environment's packages."""
    program = write_fake(folder, before=before)
    first, rest = program.read_text().split("\n", 1)
    program.write_text(f"{first.removesuffix(' -SE')}\n{rest}")
    return program
