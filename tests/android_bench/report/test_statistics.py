import numpy as np
import pytest

from android_bench.records import read_records
from android_bench.report.compare import compare
from android_bench.report.statistics import cell_statistics
from tests.android_bench.made_records import STATE, single_fields, write_run


def statistics(path, cells, changes=None):
    return cell_statistics(read_records(write_run(path, cells, changes)))


def test_figures_over_rounds(tmp_path):
    (cell,) = statistics(tmp_path / "a", {("m", "xnnpack"): [10.0, 10.2, 9.9, 10.1, 30.0]})
    assert cell.p50.value == 10.1 and cell.p50.low <= 10.1 <= cell.p50.high <= 30.0
    assert cell.centers_ms == (10.0, 10.2, 9.9, 10.1, 30.0)
    assert cell.spread == pytest.approx((30.0 - 9.9) / 10.1)
    # The real log has a 95th percentile of 107 and a slowest run of 1987 for a median of 95 us.
    assert cell.p95_ms == pytest.approx(10.1 * 107 / 95)
    assert cell.max_ms == pytest.approx(30.0 * 1987 / 95)
    assert (cell.init_ms, cell.first_ms, cell.memory_mib) == (0.919, 0.13, 3.86719)
    assert (cell.celsius_before, cell.celsius_after, cell.limit_mhz) == (31.0, 38.0, 2400.0)
    assert (cell.mhz_before, cell.mhz_after) == (1800.0, 1800.0)
    assert cell.marks == ("rounds disagree",) and cell.peak_memory_mib is None


def test_percentiles_of_runs_one_by_one(tmp_path):
    rounds = {("m", "xnnpack"): [10.0, 10.0, 10.0]}
    (cell,) = statistics(tmp_path / "all", rounds)
    times = np.tile(np.linspace(9.8, 10.2, 40), 3)
    assert cell.single_runs == 120 and cell.single_p50_ms == pytest.approx(10.0)
    assert cell.p90.value == pytest.approx(np.quantile(times, 0.9))
    assert cell.p99.value == pytest.approx(np.quantile(times, 0.99))
    assert cell.p90.low <= cell.p90.value <= cell.p90.high < cell.p99.high
    assert cell.marks == ("few rounds",)
    # Of too few there is none, and what disagrees with the median is marked.
    few = {("m", "xnnpack", number): {"singles": single_fields(13.0, 3)} for number in (1, 2, 3)}
    (cell,) = statistics(tmp_path / "few", rounds, few)
    assert (cell.single_runs, cell.p90, cell.p99) == (9, None, None)
    assert cell.marks == (
        "few rounds",
        "single runs differ",
    )
    some = {("m", "xnnpack", number): {"singles": single_fields(10.0, 9)} for number in (1, 2, 3)}
    some["m", "xnnpack", 2] = {"singles": single_fields(10.0, 9) | {"reason": "it broke"}}
    (cell,) = statistics(tmp_path / "some", rounds, some)
    assert (
        cell.p90 is not None
        and cell.p99 is None
        and cell.marks
        == (
            "few rounds",
            "single runs failed",
        )
    )
    none = {("m", "xnnpack", number): {"singles": None} for number in (1, 2, 3)}
    (cell,) = statistics(tmp_path / "none", rounds, none)
    assert (cell.single_runs, cell.single_p50_ms, cell.p90, cell.marks) == (
        *(0, None, None),
        ("few rounds",),
    )


def test_marks(tmp_path):
    slowed = STATE | {"limit_khz": {"4": 1_200_000, "0": 300_000}}
    changes = {
        ("slow", "xnnpack", 2): {"after": slowed},
        ("warm", "xnnpack", 1): {"after": STATE | {"thermal_status": 1}},
        ("saver", "xnnpack", 1): {"before": STATE | {"power_save": True}},
        # Cores that were not used may be slow.
        ("fine", "xnnpack", 1): {"after": STATE | {"limit_khz": {"0": 300_000}}},
    }
    names = ["fine", "slow", "warm", "saver"]
    cells = {(name, "xnnpack"): [1.0, 1.01, 1.0, 1.01, 1.0] for name in names}
    cells["broken", "xnnpack"] = [1.0, 1.0, "was lost"]
    cells["never", "xnnpack"] = ["no space"]
    found = {cell.label: cell for cell in statistics(tmp_path / "a", cells, changes)}
    assert list(found) == [*names, "broken", "never"]
    assert found["fine"].marks == ()
    assert found["slow"].marks == ("throttled",) and found["slow"].limit_mhz == 1200.0
    assert found["warm"].marks == ("throttled",)
    assert found["saver"].marks == ("battery saver",)
    assert (
        found["broken"].marks == ("few rounds", "1 failed")
        and found["broken"].failure == "was lost"
    )
    never = found["never"]
    assert (never.rounds, never.p50, never.spread, never.failure) == (0, None, None, "no space")


def compared(tmp_path, old, new, device=None, tolerance=0.05):
    files = []
    for cells, change in ((old, None), (new, device)):
        path = write_run(tmp_path / "run", cells, device=change)
        files.append(read_records(path))
        path.unlink()
    pairs, notes = compare(*files, tolerance)
    return {(pair.new or pair.old).label: pair for pair in pairs}, notes


def test_faster_slower_or_noise(tmp_path):
    noise = [0.99, 1.0, 1.01, 1.0, 1.02]
    old = {(name, "xnnpack"): noise for name in ("same", "fast", "slow", "little")}
    new = {
        ("same", "xnnpack"): [value * 1.01 for value in noise],
        ("fast", "xnnpack"): [value * 0.8 for value in noise],
        ("slow", "xnnpack"): [value * 1.3 for value in noise],
        # Beyond noise, and within the tolerance.
        ("little", "xnnpack"): [value * 1.04 for value in noise],
    }
    found, notes = compared(tmp_path, old, new)
    assert {name: pair.verdict for name, pair in found.items()} == {
        "same": "no difference beyond noise",
        "fast": "faster",
        "slow": "slower",
        "little": "no difference beyond noise",
    }
    assert found["slow"].ratio.low > 1.05 and found["slow"].bad and not found["fast"].bad
    assert notes == []
    found, _ = compared(tmp_path, old, new, tolerance=0.0)
    assert found["little"].verdict == "slower"


def test_noisy_rounds_are_no_difference(tmp_path):
    old = {("m", "xnnpack"): [1.0, 1.5, 0.8, 1.2, 0.9]}
    new = {("m", "xnnpack"): [1.3, 0.9, 1.6, 1.1, 1.2]}
    found, _ = compared(tmp_path, old, new)
    assert found["m"].verdict == "no difference beyond noise"
    assert found["m"].ratio.low < 1 < found["m"].ratio.high


def test_what_cannot_be_compared(tmp_path):
    names = ("a", "b", "c", "e", "f")
    old = {(name, "xnnpack"): [1.0] * 5 for name in names} | {("f", "xnnpack"): [1.0] * 5 + ["x"]}
    new = {
        ("a", "xnnpack"): [9.0] * 4,
        ("b", "xnnpack"): ["broke"],
        ("d", "xnnpack"): [1.0] * 5,
        ("e", "xnnpack"): [1.0] * 5 + ["broke"] * 2,
        ("f", "xnnpack"): [1.0] * 5 + ["broke"],
    }
    found, notes = compared(tmp_path, old, new, {"fingerprint": "other"})
    assert {name: pair.verdict for name, pair in found.items()} == {
        "a": "too few rounds",
        "b": "failed",
        "c": "only in the old run",
        "d": "only in the new run",
        "e": "2 of 7 failed",
        # As before.
        "f": "no difference beyond noise",
    }
    assert found["b"].bad and found["e"].bad and not found["f"].bad
    assert notes == ["Android is another build"]
    with pytest.raises(ValueError, match="no model with the same delegate"):
        compared(tmp_path, {("a", "xnnpack"): [1.0]}, {("b", "xnnpack"): [1.0]})
    with pytest.raises(ValueError, match="different phones.*Nobody Fake <1> and Nobody 2"):
        compared(tmp_path, old, new, {"model": "2"})
