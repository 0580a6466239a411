import numpy as np
import pytest

from tflite.benchmark.engine import DelegateSummary, Round, RoundPlan
from tflite.benchmark.latency import make_candidates, measure

PLAN = RoundPlan()


class DriftingEngine:
    """A machine that gets slower all the time: every process 5 % slower than the one before."""

    name = "drifting"

    def __init__(self, scale, samples=True):
        self.scale = scale
        self.samples = samples
        self.calls = []
        self.noise = np.random.default_rng(0)

    def check(self, model):
        self.calls.append(("check", model.path.name, model.threads))
        return self._round(model, 1.0)

    def run_round(self, model, plan):
        assert plan is PLAN
        self.calls.append(("round", model.path.name, model.threads))
        return self._round(model, 1.05 ** len(self.calls))

    def _round(self, model, drift):
        center = self.scale[model.path.name] * drift / model.threads
        samples = center * np.exp(self.noise.normal(0, 0.01, 50))
        return Round(
            load_ms=2 * center,
            first_inference_ms=3 * center,
            inferences=50,
            latency_min_ms=float(samples.min()),
            latency_mean_ms=float(samples.mean()),
            latency_median_ms=float(np.median(samples)) if self.samples else None,
            latency_p95_ms=None,
            samples_ms=samples if self.samples else None,
            memory_increase_mib=len(self.calls),
            delegate=DelegateSummary("all"),
        )


@pytest.fixture
def paths(tmp_path):
    result = [tmp_path / "a.tflite", tmp_path / "b.tflite"]
    for path in result:
        path.write_bytes(b"x")
    return result


def test_rounds_are_interleaved_and_their_orders_vary(paths):
    engine = DriftingEngine({"a.tflite": 1.0, "b.tflite": 2.0})
    candidates = make_candidates(paths, [1, 2], {})
    measure(candidates, engine, PLAN, rounds=12)
    every = {("a.tflite", 1), ("b.tflite", 1), ("a.tflite", 2), ("b.tflite", 2)}
    assert {call[1:] for call in engine.calls[:4]} == every
    assert all(call[0] == "check" for call in engine.calls[:4])
    rounds = [engine.calls[start : start + 4] for start in range(4, len(engine.calls), 4)]
    assert len(rounds) == 12
    assert all({call[1:] for call in one} == every for one in rounds)
    assert len({tuple(one) for one in rounds}) > 4


def test_a_ratio_holds_against_a_drift_that_ruins_the_times(paths):
    engine = DriftingEngine({"a.tflite": 1.0, "b.tflite": 1.5})
    first, second = measure(make_candidates(paths, [1], {}), engine, PLAN, rounds=16)
    assert first.latency_median_ms.high > 1.5 * first.latency_median_ms.low
    assert second.ratio.low < 1.5 < second.ratio.high
    assert second.ratio.high - second.ratio.low < 0.2
    assert (first.ratio.value, first.ratio.low, first.ratio.high) == (1, 1, 1)


def test_figures_of_all_rounds(paths):
    engine = DriftingEngine({"a.tflite": 1.0, "b.tflite": 1.5})
    first, second = measure(make_candidates(paths, [1], {}), engine, PLAN, rounds=5)
    assert (first.label, first.inferences, first.center) == ("a.tflite", 250, "median")
    assert len(first.centers_ms) == 5
    assert first.latency_min_ms < first.latency_median_ms.value < first.latency_p90_ms.value
    assert first.latency_p90_ms.value <= first.latency_p95_ms.value <= first.latency_p99_ms.value
    assert first.load_ms == pytest.approx(2 / 3 * first.first_inference_ms)
    # The largest of all looks, not the last.
    assert {first.memory_increase_mib, second.memory_increase_mib} == {11, 12}


def test_each_number_of_threads_has_its_own_reference(paths):
    engine = DriftingEngine({"a.tflite": 1.0, "b.tflite": 1.5})
    found = measure(make_candidates(paths, [1, 2], {}), engine, PLAN, rounds=8)
    assert [(one.label, one.run.threads) for one in found] == [
        ("a.tflite", 1),
        ("b.tflite", 1),
        ("a.tflite", 2),
        ("b.tflite", 2),
    ]
    assert found[2].ratio.value == 1
    assert found[3].ratio.value == pytest.approx(1.5, rel=0.15)


def test_an_engine_that_gives_means_only(paths):
    engine = DriftingEngine({"a.tflite": 1.0, "b.tflite": 1.5}, samples=False)
    first, _ = measure(make_candidates(paths, [1], {}), engine, PLAN, rounds=3)
    assert first.center == "mean"
    assert first.latency_p90_ms is first.latency_p95_ms is first.latency_p99_ms is None


def test_a_model_that_fails_ends_it_before_any_round(paths):
    class Failing(DriftingEngine):
        def check(self, model):
            super().check(model)
            if model.path.name == "b.tflite":
                raise ValueError("LiteRT cannot open the model. Received: b")
            return None

    engine = Failing({"a.tflite": 1.0, "b.tflite": 1.0})
    with pytest.raises(ValueError, match="Received: b"):
        measure(make_candidates(paths, [1], {}), engine, PLAN, rounds=3)
    assert [call[0] for call in engine.calls] == ["check", "check"]


def test_names_of_candidates(paths, tmp_path):
    a, b = paths
    assert [one.label for one in make_candidates([a, b], [1], {})] == ["a.tflite", "b.tflite"]
    assert [one.label for one in make_candidates([a, a], [1], {})] == [f"{a} #1", f"{a} #2"]
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.tflite").write_bytes(b"x")
    assert [one.label for one in make_candidates([a, other / "a.tflite"], [1], {})] == [
        str(a),
        str(other / "a.tflite"),
    ]


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(ValueError, match="Received: .*none.tflite .there is no such file"):
        make_candidates([tmp_path / "none.tflite"], [1], {})
    with pytest.raises(ValueError, match="it is a folder"):
        make_candidates([tmp_path], [1], {})
