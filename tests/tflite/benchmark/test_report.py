import dataclasses
import hashlib
import json
import pathlib

import pytest

from tests.tflite.latencies import made_up
from tflite.benchmark.engine import RoundPlan
from tflite.benchmark.latency import Candidate
from tflite.benchmark.report import check_comparable, compare, read_report, report, sidecar_top1
from tflite.benchmark_tool.profile import parse_profile

LOGS = pathlib.Path(__file__).parents[1] / "benchmark_model_logs"


SETTINGS = {"engine": "litert", "xnnpack": True}


class Engine:
    name = "litert"

    def versions(self):
        return {"ai-edge-litert": "2.3.0"}


@pytest.fixture
def files(tmp_path):
    result = [tmp_path / f"{name}.tflite" for name in "abc"]
    for path in result:
        path.write_bytes(path.name.encode())
    return result


def write(latencies, path, **options):
    content = report(
        latencies,
        options.get("accuracies", {}),
        options.get("profiles", {}),
        Engine(),
        RoundPlan(),
        {"rounds": 8, "xnnpack": True},
    )
    # Strictly JSON: no NaN.
    path.write_text(json.dumps(content, allow_nan=False))
    return content


def test_everything_is_in_the_report(files, tmp_path):
    profile = parse_profile((LOGS / "run_02_profile_t2_small_conv_f32.log").read_text())[1]
    latency = made_up(files[0], 10.0)
    write(
        [latency],
        tmp_path / "report.json",
        accuracies={"a.tflite": 0.8},
        profiles={("a.tflite", 1): profile},
    )
    content = read_report(tmp_path / "report.json")
    assert content["machine"]["cpu"] and content["machine"]["cpus"]
    assert content["versions"]["ai-edge-litert"] == "2.3.0" and content["versions"]["python"]
    assert content["settings"] == {
        "engine": "litert",
        "warmup_runs": 3,
        "warmup_seconds": 0.1,
        "runs": 20,
        "seconds": 0.3,
        "rounds": 8,
        "xnnpack": True,
    }
    (entry,) = content["models"]
    assert entry["file"] == "a.tflite" and entry["threads"] == 1 and entry["top1"] == 0.8
    assert entry["sha256"] == hashlib.sha256(b"a.tflite").hexdigest()
    assert entry["latency_median_ms"]["low"] <= entry["latency_median_ms"]["value"]
    assert entry["delegate"] == {
        "coverage": "part",
        "partitions": 9,
        "delegated_ops": 295,
        "ops": 303,
    }
    assert entry["rounds_ms"] == list(latency.centers_ms)
    assert len(entry["profile"]["ops"]) == 7
    for field in ("latency_min_ms", "load_ms", "first_inference_ms", "peak_memory_mib"):
        assert entry[field] > 0


def test_faster_slower_or_neither(files, tmp_path):
    old = [made_up(path, center) for path, center in zip(files, (10.0, 10.0, 10.0), strict=True)]
    write(old, tmp_path / "old.json")
    new = [made_up(path, center) for path, center in zip(files, (12.0, 8.0, 10.2), strict=True)]
    found = compare(new, read_report(tmp_path / "old.json"), tolerance=0.05)
    assert [(one.label, one.verdict) for one in found] == [
        ("a.tflite", "slower"),
        ("b.tflite", "faster"),
        ("c.tflite", "no difference beyond noise"),
    ]
    assert found[0].ratio.low < 1.2 < found[0].ratio.high
    assert found[0].ratio.value == pytest.approx(1.2, rel=0.02)


def test_a_difference_has_to_be_beyond_tolerance_and_interval(files, tmp_path):
    write([made_up(files[0], 10.0)], tmp_path / "old.json")
    old = read_report(tmp_path / "old.json")
    new = [made_up(files[0], 10.8)]
    assert compare(new, old, tolerance=0.02)[0].verdict == "slower"
    assert compare(new, old, tolerance=0.2)[0].verdict == "no difference beyond noise"
    # The median is 40 % off, but the rounds say anything.
    old["models"][0]["rounds_ms"] = [5, 20, 6, 19, 7.7, 5, 20, 5]
    assert compare(new, old, tolerance=0.02)[0].verdict == "no difference beyond noise"


def test_files_are_matched_by_name_and_threads(files, tmp_path):
    write([made_up(files[0], 10.0), made_up(files[0], 5.0, threads=2)], tmp_path / "old.json")
    new = [made_up(files[0], 5.0, threads=2), made_up(files[1], 10.0)]
    found = compare(new, read_report(tmp_path / "old.json"), tolerance=0.05)
    assert [one.verdict for one in found] == ["no difference beyond noise", "not in the old report"]
    assert found[1].ratio is None
    reshaped = dataclasses.replace(
        new[0], run=dataclasses.replace(new[0].run, shapes={"": [4, 8, 8, 3]})
    )
    (other,) = compare([reshaped], read_report(tmp_path / "old.json"), tolerance=0.05)
    assert other.verdict == "not in the old report"
    # Nor is a median held against means.
    old = read_report(tmp_path / "old.json")
    old["models"] = [entry | {"center": "mean"} for entry in old["models"]]
    (other,) = compare(new[:1], old, tolerance=0.05)
    assert other.ratio is None
    assert other.verdict == "of means in the old report, of medians here"


@pytest.mark.parametrize(
    ("part", "field", "value", "message"),
    [
        ("machine", "cpu", "Cortex-A76", "another processor.*Received: Cortex-A76, here"),
        ("settings", "engine", "benchmark_model", "another engine.*Received: benchmark_model"),
        ("settings", "xnnpack", False, "another XNNPACK setting.*Received: False, here True"),
    ],
)
def test_reports_that_cannot_be_compared(files, tmp_path, part, field, value, message):
    latency = made_up(files[0], 10.0)
    candidate = Candidate(latency.label, latency.run)
    content = write([latency], tmp_path / "old.json")
    check_comparable(content, [candidate], SETTINGS)
    content[part][field] = value
    with pytest.raises(ValueError, match=message):
        check_comparable(content, [candidate], SETTINGS)


def test_a_report_of_other_files(files, tmp_path):
    content = write([made_up(files[0], 10.0)], tmp_path / "old.json")
    other = made_up(files[1], 10.0)
    with pytest.raises(ValueError, match="none of the models. Received: a report of a.tflite"):
        check_comparable(content, [Candidate(other.label, other.run)], SETTINGS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no JSON"),
        ("[]", "none of python -m tflite.benchmark"),
        ('{"schema": "other"}', "none of python -m tflite.benchmark"),
        ('{"schema": "care_keras.tflite.latency/1"}', "none of python -m tflite.benchmark"),
        ("[" * 200_000, "is no JSON"),
    ],
)
def test_what_is_no_report(tmp_path, text, message):
    path = tmp_path / "old.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"{message}. Received: .*old.json"):
        read_report(path)
    with pytest.raises(ValueError, match="cannot be read. Received: .*No such file"):
        read_report(tmp_path / "missing.json")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("date",), 3),
        (("machine", "cpu"), []),
        (("versions",), {"numpy": 2}),
        (("settings", "xnnpack"), "yes"),
        (("models", 0, "file"), ["a.tflite"]),
        (("models", 0, "threads"), None),
        (("models", 0, "input_shapes"), {"x": "1x8"}),
        (("models", 0, "rounds_ms"), []),
        (("models", 0, "rounds_ms"), {"1": 1}),
        (("models", 0, "rounds_ms"), [1.0, float("inf")]),
        (("models", 0, "rounds_ms"), [1.0, 0.0]),
        (("models", 0, "rounds_ms"), [10**400]),
    ],
)
def test_a_report_that_was_changed(tmp_path, place, value):
    content = {
        "schema": "care_keras.tflite.latency/1",
        "date": "2026-01-01",
        "machine": {"cpu": "a CPU"},
        "versions": {"numpy": "2.4.6"},
        "settings": {"engine": "litert", "xnnpack": True},
        "models": [{"file": "a", "threads": 1, "input_shapes": {"x": [1]}, "rounds_ms": [1.5]}],
    }
    path = tmp_path / "old.json"
    path.write_text(json.dumps(content))
    assert read_report(path) == content
    holder = content
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    path.write_text(json.dumps(content))
    with pytest.raises(
        ValueError, match="none of python -m tflite.benchmark. Received: .*old.json"
    ):
        read_report(path)


def test_accuracy_from_the_sidecar(files):
    path = files[0]
    checks = [{"name": "float32", "top1": 0.9}, {"name": "int8", "top1": 0.8}]
    sidecar = {"sha256": hashlib.sha256(b"a.tflite").hexdigest(), "check": {"files": checks}}
    assert sidecar_top1(path) is None
    path.with_suffix(".json").write_text(json.dumps(sidecar))
    assert sidecar_top1(path) == 0.8
    # The file was made anew, the JSON was not.
    path.write_bytes(b"other")
    assert sidecar_top1(path) is None
    path.write_bytes(b"a.tflite")
    checks[-1]["top1"] = None
    path.with_suffix(".json").write_text(json.dumps(sidecar))
    assert sidecar_top1(path) is None
    path.with_suffix(".json").write_text("{")
    assert sidecar_top1(path) is None
