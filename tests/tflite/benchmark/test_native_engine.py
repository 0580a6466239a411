import ast
import pathlib

import numpy as np
import pytest

from tests.tflite import litert_program
from tests.tflite.fake_benchmark_model import write_fake, write_litert_fake
from tests.tflite.tiny_models import tiny_model
from tflite.benchmark.engine import ModelRun, RoundPlan
from tflite.benchmark.native_engine import BenchmarkModelEngine
from tflite.benchmark.worker import random_input

PLAN = RoundPlan(warmup_runs=4, warmup_seconds=0.25, runs=30, seconds=0.5)


@pytest.fixture
def two(tmp_path):
    """A model of two inputs."""
    path = tmp_path / "two.tflite"
    path.write_bytes(tiny_model("two"))
    return ModelRun(path, threads=2)


def calls(folder):
    """Flags of each call."""
    path = folder / "calls.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    return [
        dict(flag.split("=", 1) for flag in ast.literal_eval(line))
        for line in lines
        if line != "['--help']"
    ]


def test_a_round(two, tmp_path):
    engine = BenchmarkModelEngine(write_fake(tmp_path))
    taken = engine.run_round(two, PLAN)
    assert (taken.load_ms, taken.first_inference_ms) == (18.278, 11.243)
    assert (taken.inferences, taken.latency_min_ms, taken.latency_mean_ms) == (109, 8.846, 9.15949)
    assert (taken.latency_median_ms, taken.latency_p95_ms) == (9.113, 9.425)
    assert taken.latency_center_ms == 9.113 and taken.samples_ms is None
    assert (taken.memory_increase_mib, taken.peak_memory_mib) == (38.8359, None)
    assert (taken.delegate.coverage, taken.delegate.partitions) == ("all", 1)
    (flags,) = calls(tmp_path)
    assert flags["--graph"] == str(two.path) and flags["--num_threads"] == "2"
    assert (flags["--num_runs"], flags["--min_secs"]) == ("30", "0.5")
    assert (flags["--warmup_runs"], flags["--warmup_min_secs"]) == ("4", "0.25")
    # Never while times are taken: both cost time.
    assert "--report_peak_memory_footprint" not in flags and "--enable_op_profiling" not in flags


def test_inputs_are_those_of_the_other_engine(two, tmp_path):
    copy = (
        "import shutil\n"
        "for flag in sys.argv[1:]:\n"
        "    if flag.startswith('--input_layer_value_files='):\n"
        "        for pair in flag.split('=', 1)[1].split(','):\n"
        f"            shutil.copy(pair.split(':')[1], {str(tmp_path)!r})\n"
    )
    engine = BenchmarkModelEngine(write_fake(tmp_path, before=copy), seed=7)
    engine.check(two)
    (flags,) = calls(tmp_path)
    assert flags["--input_layer"] == "input0,input1"
    assert flags["--input_layer_shape"] == "8,3:4"
    assert flags["--report_peak_memory_footprint"] == "true"
    generator = np.random.default_rng(7)
    for name, shape, dtype in (("input0", (8, 3), np.float32), ("input1", (4,), np.int32)):
        expected = random_input(shape, dtype, generator)
        assert (tmp_path / name).read_bytes() == expected.tobytes()


def test_a_profile(two, tmp_path):
    profile = BenchmarkModelEngine(write_fake(tmp_path)).profile(two)
    assert profile.phase == "regular" and len(profile.ops) == 7


def test_a_release_without_percentiles_gives_its_mean(two, tmp_path):
    fake = write_fake(tmp_path)
    fake.write_text(
        fake.read_text().replace(
            "command, rest", "text = re.sub(r' p5=.*', '', text)\ncommand, rest"
        )
    )
    taken = BenchmarkModelEngine(fake).run_round(two, PLAN)
    assert taken.latency_median_ms is None and taken.latency_center_ms == 9.15949


def test_xnnpack_that_was_switched_off(two, tmp_path):
    engine = BenchmarkModelEngine(
        write_fake(tmp_path, "run_05_noxnnpack_small_conv_f32"), xnnpack=False
    )
    assert engine.check(two).delegate.coverage == "none"
    assert calls(tmp_path)[0]["--use_xnnpack"] == "false"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"log": "run_27_threads_m5"}, "failed with exit code 1. .*num_threads should be >= 0"),
        ({"log": "run_14_dry_run"}, "timed no inference"),
        (
            {"before": "print('Aborted here', flush=True); os.abort()"},
            "was ended by SIGABRT.*last line 'Aborted here'",
        ),
        (
            {"before": "print('\\x00\\x1b[2J' * 99); sys.exit(0)"},
            "no line 'Inference timings in us'",
        ),
        ({"before": "sys.exit(0)"}, "no line 'Inference timings in us'. Received: 'no output'"),
        ({"before": "sys.exit(7)"}, "failed with exit code 7.*no output"),
    ],
)
def test_a_binary_that_fails_or_prints_garbage(two, tmp_path, options, message):
    engine = BenchmarkModelEngine(write_fake(tmp_path, **options))
    # What LiteRT says of the model has tests of its own.
    engine._tensors[two.path] = {"inputs": []}
    with pytest.raises(ValueError, match=message) as caught:
        engine.check(two)
    assert "\n" not in str(caught.value)


def test_a_binary_that_hangs(two, tmp_path):
    program = tmp_path / "benchmark_model"
    write_fake(tmp_path, before="import time; print('Loading', flush=True); time.sleep(60)")
    engine = BenchmarkModelEngine(program, timeout_seconds=2)
    engine._tensors[two.path] = {"inputs": []}
    message = "benchmark_model was stopped after 2 s. Received: last line 'Loading'"
    with pytest.raises(ValueError, match=message):
        engine.check(two)


def test_a_bad_model_is_found_before_the_binary_is_asked(tmp_path):
    path = tmp_path / "noise.tflite"
    path.write_bytes(b"noise" * 100)
    engine = BenchmarkModelEngine(write_fake(tmp_path))
    with pytest.raises(ValueError, match="LiteRT cannot open the model. Received: .*noise"):
        engine.check(ModelRun(path))
    assert calls(tmp_path) == []


def test_what_is_no_program(tmp_path):
    with pytest.raises(ValueError, match="no such program that can be run. Received: .*missing"):
        BenchmarkModelEngine(tmp_path / "missing")
    text = tmp_path / "notes.txt"
    text.write_text("notes")
    with pytest.raises(ValueError, match="no such program that can be run"):
        BenchmarkModelEngine(text)
    text.chmod(0o755)
    with pytest.raises(ValueError, match="cannot be started. Received: .*notes.txt"):
        BenchmarkModelEngine(text)
    with pytest.raises(ValueError, match="no benchmark_model that is known: its --help lists"):
        BenchmarkModelEngine("/bin/echo")


def test_two_builds_are_told_apart(tmp_path):
    sums = []
    for name in "ab":
        folder = pathlib.Path(tmp_path / name)
        folder.mkdir()
        sums.append(BenchmarkModelEngine(write_fake(folder)).versions()["benchmark_model"])
    assert sums[0] != sums[1] and len(sums[0]) == len("sha256 ") + 64


def test_litert_s_own_program(two, tmp_path):
    run = litert_program.outputs(peak_mib=35.2)
    engine = BenchmarkModelEngine(
        write_litert_fake(tmp_path, run, profile=litert_program.profile())
    )
    assert engine.name == "litert_benchmark_model"
    release = "LiteRT's benchmark_model (CompiledModel), 2.2.0 or newer"
    assert engine.versions()["program"] == release
    taken = engine.run_round(two, PLAN)
    assert (taken.load_ms, taken.first_inference_ms, taken.inferences) == (4.478, 1.033, 5)
    assert (taken.latency_median_ms, taken.latency_p95_ms) == (0.461, 0.979)
    assert taken.memory_increase_mib == 11.51
    # On a computer it says that XNNPACK was made, and not what it runs.
    assert taken.delegate.coverage is None
    (flags,) = calls(tmp_path)
    assert flags["--use_cpu"] == "true" and flags["--num_threads"] == "2"
    assert (flags["--num_runs"], flags["--warmup_min_secs"]) == ("30", "0.25")
    assert not {"--use_xnnpack", "--input_layer"} & flags.keys()
    assert engine.check(two).peak_memory_mib == 35.2
    # It writes no outputs, so that nothing can be said of them.
    assert engine.outputs(two) is None
    assert [op.node_type for op in engine.profile(two).ops] == ["AllocateTensors", "Conv (F32)"]
    assert calls(tmp_path)[-1]["--use_profiler"] == "true"


def test_litert_s_own_program_cannot_do_without_xnnpack(tmp_path):
    program = write_litert_fake(tmp_path, ("", ""))
    with pytest.raises(
        ValueError, match="LiteRT's .* no delegate cpu: it cannot switch XNNPACK off"
    ):
        BenchmarkModelEngine(program, xnnpack=False)


def test_litert_s_own_program_that_fails(two, tmp_path):
    run = ("INFO: STARTING!\n", "ERROR: [x.cc:1] No such model\nERROR: Benchmarking failed.\n")
    engine = BenchmarkModelEngine(write_litert_fake(tmp_path, run, exit_code=1))
    with pytest.raises(ValueError, match=r"exit code 1. Received: .*two.tflite \(No such model\)"):
        engine.check(two)
    # As `LITERT_ABORT` ends it, after a message.
    run = ("INFO: STARTING!\n", "ERROR: [x.cc:1] Invalid gpu-precision: fp8\n")
    engine = BenchmarkModelEngine(write_litert_fake(tmp_path, run, exit_code=134))
    with pytest.raises(ValueError, match="ended by SIGABRT.*last line .*Invalid gpu-precision"):
        engine.check(two)
