import dataclasses
import pathlib

from tests.tflite.latencies import made_up
from tflite.benchmark.engine import DelegateSummary
from tflite.benchmark.report import Comparison
from tflite.benchmark.statistics import Estimate
from tflite.benchmark.tables import comparison_table, latency_table, profile_table, start_table
from tflite.benchmark_tool.profile import parse_profile

LOGS = pathlib.Path(__file__).parents[1] / "benchmark_model_logs"
FIRST = made_up(pathlib.Path("a.tflite"), 2.0)
SECOND = made_up(pathlib.Path("b.tflite"), 3.0, reference_ms=2.0)


def test_latencies():
    header, _, first, second = latency_table([FIRST, SECOND]).splitlines()
    assert header.split("  ")[0] == "model" and "median ms" in header and "p99 ms" in header
    assert first.split()[-2:] == ["1.000x", "-"]
    assert f"{SECOND.latency_median_ms.value:.3f}" in second
    assert f"{SECOND.ratio.low:.3f} to {SECOND.ratio.high:.3f}" in second


def test_latencies_of_an_engine_that_gives_less():
    less = dataclasses.replace(
        FIRST, center="mean", latency_p90_ms=None, latency_p95_ms=None, latency_p99_ms=None
    )
    header = latency_table([less]).splitlines()[0]
    assert "mean ms" in header and "p95 ms" in header and "p99" not in header


def test_starts():
    def row(coverage, *counts):
        delegate = DelegateSummary(coverage, *counts)
        return start_table([dataclasses.replace(FIRST, delegate=delegate)]).splitlines()[2]

    assert "295 of 303 ops in 9 parts" in start_table([FIRST])
    assert row("all", 1).endswith("all")
    assert row("part", 9).endswith("a part in 9 parts")
    assert row("none", 0).endswith("nothing") and row(None).endswith("unknown")
    without = dataclasses.replace(FIRST, memory_increase_mib=None)
    assert start_table([without]).splitlines()[2].split()[4:6] == ["-", "60.0"]


def test_profile():
    profile = parse_profile((LOGS / "run_02_profile_t2_small_conv_f32.log").read_text())[1]
    row = profile_table(profile).splitlines()[2]
    assert row.split()[-3:] == ["2", "0.1200", "80.5%"]


def test_comparisons():
    lines = comparison_table(
        [
            Comparison("a.tflite", 1, Estimate(1.25, 1.2, 1.3), "slower"),
            Comparison("b.tflite", 1, None, "not in the old report"),
        ]
    ).splitlines()
    assert lines[2].endswith("1.250x  1.200 to 1.300  slower")
    assert lines[3].endswith("not in the old report")
