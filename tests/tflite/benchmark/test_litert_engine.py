import pathlib
import sys

import pytest

from tests.tflite.tiny_models import tiny_model
from tflite.benchmark import worker
from tflite.benchmark.engine import ModelRun, RoundPlan
from tflite.benchmark.litert_engine import LiteRTEngine

SHORT = RoundPlan(warmup_runs=2, warmup_seconds=0, runs=5, seconds=0)


@pytest.fixture
def wide(tmp_path):
    path = tmp_path / "wide.tflite"
    path.write_bytes(tiny_model("wide"))
    return ModelRun(path)


def test_a_round_is_a_process_of_its_own(wide):
    engine = LiteRTEngine()
    taken = engine.run_round(wide, SHORT)
    assert taken.inferences == 5 == len(taken.samples_ms)
    assert 0 < taken.latency_min_ms <= taken.latency_median_ms <= taken.latency_p95_ms
    assert taken.latency_center_ms == taken.latency_median_ms
    assert taken.load_ms > 0 and taken.first_inference_ms > 0
    assert (taken.delegate.coverage, taken.delegate.ops) == ("all", 1)
    if sys.platform == "linux":
        # 4 MB of weights and a packed copy of them; and none of this process's memory.
        assert 4 < taken.memory_increase_mib < 40
        assert taken.memory_increase_mib < taken.peak_memory_mib < 150
    assert engine.profile(wide) is None and engine.versions()["ai-edge-litert"]


def test_without_xnnpack(wide):
    delegate = LiteRTEngine(xnnpack=False).check(wide).delegate
    assert (delegate.coverage, delegate.delegated_ops, delegate.partitions) == ("none", 0, 0)


def test_a_bad_file_is_one_line(tmp_path):
    path = tmp_path / "half.tflite"
    path.write_bytes(tiny_model("wide")[:1000])
    with pytest.raises(
        ValueError, match="LiteRT cannot open the model. Received: .*half"
    ) as caught:
        LiteRTEngine().check(ModelRun(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        # What TFLite's kernels do where a condition of theirs does not hold.
        (
            "import os, sys; print('div.cc: condition was not true', file=sys.stderr, flush=True); "
            "os.abort()",
            "LiteRT was ended by SIGABRT .*'div.cc: condition was not true'",
        ),
        ("import time; time.sleep(60)", "LiteRT was stopped after 2 s .*last line 'no output'"),
        ("raise MemoryError", "LiteRT ended with exit code 1 .*MemoryError"),
    ],
)
def test_a_model_that_aborts_or_hangs(wide, tmp_path, monkeypatch, code, message):
    script = tmp_path / "worker.py"
    script.write_text(code)
    monkeypatch.setattr(worker, "__file__", str(script))
    with pytest.raises(ValueError, match=message):
        LiteRTEngine(timeout_seconds=2 if "sleep" in code else 300).check(wide)


def test_the_worker_is_found_beside_the_engine():
    assert pathlib.Path(worker.__file__).name == "worker.py"
