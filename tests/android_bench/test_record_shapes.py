"""Records that were changed: one line, before a report is made of them."""

import copy
import json
import random

import pytest

from android_bench.records import RecordFile, read_records
from android_bench.report.contents import as_csv, as_json, evaluate, text
from tests.android_bench.made_records import SERIAL, write_run

ODD = (None, [], {}, "x", -1, 10**400, float("nan"), "\ud800")


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    path = write_run(tmp_path_factory.mktemp("run") / "run.jsonl", {("a", "cpu"): [1.0, "broke"]})
    cell = {"serial": SERIAL, "label": "a", "sha256": "sum of a", "delegate": "cpu"}
    done = {"status": "ok", "reason": None}
    with RecordFile(path) as file:
        file.append(
            "verify", **cell, **done, threads=1, host_runtime="2.3.0", images="8", verdict="exact"
        )
        file.append("profile", **cell, **done, operations=[{"type": "ADD", "share": 1.0}])
        file.append("lost", serial=SERIAL, reason="gone")
    return read_records(path)


def places(value, path=()):
    """All places inside of a record."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in pairs:
        yield (*path, key)
        if isinstance(inner, dict | list):
            yield from places(inner, (*path, key))


def refused_or_told(path, records):
    """Whether the file is refused; what is not is made a report of."""
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    try:
        read = read_records(path)
    except ValueError as error:
        assert "Received: " in str(error) and "\n" not in str(error) and len(str(error)) < 400
        return True
    report = evaluate(read)
    for make in (text, as_csv, as_json):
        make(report)
    return False


def test_every_place_may_hold_anything(tmp_path, records, monkeypatch):
    monkeypatch.setattr("tflite.benchmark.statistics._RESAMPLES", 8)
    generator = random.Random(0)
    all_places = [(line, place) for line, one in enumerate(records) for place in places(one)]
    # Of numbers in a list one says what all say.
    chosen = generator.sample([one for one in all_places if not isinstance(one[1][-1], int)], 120)
    refused = 0
    for number, (line, place) in enumerate(chosen):
        changed = copy.deepcopy(records)
        holder = changed[line]
        for key in place[:-1]:
            holder = holder[key]
        if number % 4:
            holder[place[-1]] = generator.choice(ODD)
        else:
            del holder[place[-1]]
        refused += refused_or_told(tmp_path / "run.jsonl", changed)
    assert len(chosen) / 4 < refused < len(chosen)


@pytest.mark.parametrize(
    ("line", "changes", "place"),
    [
        (0, {"kind": "cell"}, "none of python -m android_bench run"),
        (2, {"serial": "other"}, "serial in line 3"),
        (2, {"sha256": "other"}, "sha256 in line 3"),
        (2, {"delegate": "gpu"}, "delegate in line 3"),
        (2, {"cores": "prime"}, "cores in line 3"),
        (2, {"log": None}, "log in line 3"),
        (2, {"threads": "1"}, "threads in line 3"),
    ],
)
def test_what_does_not_fit_together(tmp_path, records, line, changes, place):
    changed = copy.deepcopy(records)
    changed[line] |= changes
    path = tmp_path / "run.jsonl"
    path.write_text("".join(f"{json.dumps(record)}\n" for record in changed))
    with pytest.raises(ValueError, match=f"{place}. Received: "):
        read_records(path)


def test_a_line_that_is_nested_too_deep(tmp_path, records):
    path = tmp_path / "run.jsonl"
    path.write_text(json.dumps(records[0]) + "\n" + "[" * 200_000 + "\n")
    with pytest.raises(ValueError, match="Line 2 of .* is no record. Received: "):
        read_records(path)
