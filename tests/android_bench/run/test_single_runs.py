"""Runs timed one by one: three to a process, of which the tool's figures say each."""

from dataclasses import replace

import numpy as np
import pytest

from android_bench.records import of_kind, read_records
from android_bench.run.folder import WORK_FOLDER
from android_bench.run.single_runs import RUNS, single_flags, times_of
from tests.android_bench.sessions import make_request, run_session
from tests.tflite.benchmark_tool.test_log import LOGS
from tflite.benchmark_tool.log import parse_log
from tflite.benchmark_tool.runs import RunStatistics

ODD_FOLDER = "/data/local/tmp/it's a; $(reboot) ä folder"


def printed(times, percentiles=True) -> str:
    """A real log whose regular runs were these, as `StatWithPercentiles` prints whole us."""
    text = (LOGS / "run_01_default_small_conv_f32.log").read_text().split("\n", 1)[1]
    ordered = sorted(times)
    average = f"{sum(times) / len(times):.6g}"
    line = f"count={len(times)} "
    if ordered[0] == ordered[-1]:
        line += f"curr={times[-1]}(all same)"
    else:
        line += f"first={times[0]} curr={times[-1]} min={ordered[0]} max={ordered[-1]} "
        line += f"avg={average} std={np.std(times):.0f}"
    if percentiles:
        line += "".join(
            f" {name}={ordered[len(times) * percent // 100]}"
            for name, percent in (("p5", 5), ("median", 50), ("p95", 95))
        )
    lines = [
        f"INFO: {line}" if "count=10144" in one else one.replace("98.1292", average)
        for one in text.splitlines()
    ]
    return "\n".join(lines)


@pytest.mark.parametrize("percentiles", [True, False])
@pytest.mark.parametrize("scale", [60, 9_000, 480_000, 7_000_000])
def test_each_time_is_known(scale, percentiles):
    generator = np.random.default_rng(scale)
    for _ in range(30):
        times = [int(time) for time in generator.lognormal(np.log(scale), 0.3, RUNS)]
        found = times_of(parse_log(printed(times, percentiles)).regular)
        # The average is printed with six digits.
        np.testing.assert_allclose(found, sorted(times), rtol=2e-5, atol=0.02)
        assert found == sorted(found)


@pytest.mark.parametrize("times", [[95, 95, 95], [95, 95, 96], [96, 95, 95]])
def test_times_that_are_alike(times):
    assert times_of(parse_log(printed(times)).regular) == pytest.approx(sorted(times), abs=0.01)


def test_another_number_of_runs():
    with pytest.raises(ValueError, match="did not run 3 times. Received: 50 runs"):
        times_of(RunStatistics(count=50, min_us=1.0, max_us=3.0, avg_us=2.0))


def singles(path):
    return [one["singles"] for one in of_kind(read_records(path), "cell")]


def request_of(model, binary, folder=WORK_FOLDER):
    request = make_request([model], binary, folder)
    return replace(request, length=replace(request.length, single_runs=5, single_seconds=30))


def test_on_a_phone(phone, fake, tiny_file, stand_in_binary, tmp_path):
    path = tmp_path / "run.jsonl"
    request = request_of(tiny_file, stand_in_binary, ODD_FOLDER)
    assert run_session(phone, request, path)[0] == 0
    probe, measured = singles(path)
    # The probe is one look; a round has two processes of three runs, rounded up from five.
    assert probe is None and measured["reason"] is None and measured["processes"] == 2
    assert len(measured["times_us"]) == 6 and min(measured["times_us"]) > 0
    (loop,) = fake.loops
    assert loop[3:6] == ["2", "30", "taskset"] and loop[7] == f"{ODD_FOLDER}/benchmark_model"
    assert loop[-4:] == single_flags() and "--use_xnnpack=true" in loop
    assert not fake.path(ODD_FOLDER).exists()


def test_what_goes_wrong_costs_no_more_than_them(phone, fake, tiny_file, stand_in_binary, tmp_path):
    path = tmp_path / "run.jsonl"
    request = request_of(tiny_file, stand_in_binary)
    fake.faults.loop_output = lambda text: text[: int(len(text) * 0.8)]
    failed, lines = run_session(phone, request, path)
    assert failed == 0 and any("warning: of the runs one by one 3: The output" in x for x in lines)
    assert singles(path)[1]["processes"] == 1 and singles(path)[1]["output"]
    fake.faults.loop_output = None
    fake.faults.drop_during_loop, fake.faults.back_after_s = 1, 0.3
    failed, lines = run_session(phone, request, tmp_path / "dropped")
    assert failed == 0 and any("the phone is back" in line for line in lines)
    records = of_kind(read_records(tmp_path / "dropped"), "cell")
    assert [one["status"] for one in records] == ["ok", "ok"]
    assert "was lost while sh ran" in records[1]["singles"]["reason"]
