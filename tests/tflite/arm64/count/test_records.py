"""Counts in JSON and in tables, and two runs against each other."""

import json

import pytest

from tflite.arm64.count.compare import HELD, compare
from tflite.arm64.count.instructions import CLASSES, Counts
from tflite.arm64.count.records import OperatorCounts, Record, read_records, to_json
from tflite.arm64.count.report import format_comparison, format_counts, format_operators


def counts(**by_class):
    return Counts(dict.fromkeys(CLASSES, 0) | by_class)


def record(model="a.tflite", core="cortex-a76", operators=None, **by_class):
    return Record(model, "2.3.0", core, core, "7.2.22", counts(**by_class), operators)


CONVOLUTIONS = OperatorCounts("CONV_2D", 3, counts(dot=3_000_000, vector_load=500_000), ("no",))
ADDITIONS = OperatorCounts("ADD", 2, counts(other_vector=1_500_000))


def test_sums():
    one = Counts.of_line("1 2 3 4 5 6 7 8 9")
    assert (one.total, one.arithmetic, one.memory) == (45, 15, 13)
    assert one + one - one == one
    with pytest.raises(ValueError):
        Counts.of_line("1 2 3")


def test_json_gives_back_what_it_was_given(tmp_path):
    records = [record(dot=5, scalar=7), record("b", "max", (CONVOLUTIONS, ADDITIONS), scalable=1)]
    path = tmp_path / "counts.json"
    path.write_text(to_json(records))
    assert read_records(path) == records
    first = json.loads(path.read_text())[0]
    assert (first["total"], first["vector_arithmetic"], first["by_class"]["dot"]) == (12, 5, 5)


@pytest.mark.parametrize(
    "content", ["", "{", "7", "[3]", "[{}]", '[{"model": "m"}]', '{"models": []}', "null"]
)
def test_other_files_are_one_line(tmp_path, content):
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"arm64 --count has written. Received: .*other.json$"):
        read_records(path)


def test_whole_files_as_a_table():
    text = format_counts([record(dot=43_050_000, scalar=20_000_000, vector_store=1_000_000)])
    head, row = [line.split() for line in text.splitlines() if "a.tflite" in line or "dot" in line]
    assert row[:7] == ["a.tflite", "2.3.0", "cortex-a76", "64.05", "43.05", "43.05", "0.00"]
    assert row[7:] == ["0.00", "0.00", "0.00", "0.00", "1.00", "20.00"]
    assert "SVE" not in text and head[:4] == ["model", "runtime", "core", "total"]
    assert "SVE, SME" in format_counts([record(dot=1), record(scalable=1)])


def test_operators_as_a_table():
    whole = record(operators=(ADDITIONS, CONVOLUTIONS), dot=3_000_000, vector_load=600_000)
    lines = format_operators(whole).splitlines()
    rows = [line.split() for line in lines]
    assert rows[3][:4] == ["CONV_2D", "3", "70.0%", "3.50"]
    assert rows[4][:4] == ["ADD", "2", "30.0%", "1.50"]
    assert rows[5][:5] == ["their", "sum", "5", "100.0%", "5.00"]
    assert rows[6][:5] == ["the", "whole", "file", "5", "-"] and rows[6][5] == "3.60"
    assert lines[7] == "not counted: 1 of 3 CONV_2D: no" and len(lines) == 8


def test_what_is_held():
    before = [record(dot=1000, vector_load=100, scalar=100), record("gone", dot=1)]
    after = [record(dot=1011, vector_load=100, scalar=80), record("new", dot=1)]
    found = {one.figure: one.growth for one in compare(before, after)}
    assert found == pytest.approx(
        {"total": -9 / 1200, "vector arithmetic": 0.011, "vector loads and stores": 0.0}
    )
    assert tuple(found) == tuple(HELD)
    # A class may grow where another shrinks by more.
    assert all(one.growth <= 0 for one in compare([record(multiply_long=200)], [record(dot=100)]))
    (arithmetic,) = (
        one for one in compare([record(scalar=1)], [record(dot=1)]) if "arith" in one.figure
    )
    assert arithmetic.growth == float("inf")


def test_a_comparison_as_a_table():
    compared = compare([record(dot=100, scalar=1)], [record(dot=102, scalar=1)])
    verdicts = [line.split()[-2:] for line in format_comparison(compared, 0.01).splitlines()[3:]]
    assert verdicts == [["+1.98%", "grew"], ["+2.00%", "grew"], ["-", "same"]]
    compared = compare([record(dot=102)], [record(dot=100)])
    assert "-1.96%  shrank" in format_comparison(compared, 0.01)


def test_runs_of_other_files_cannot_be_compared():
    with pytest.raises(ValueError, match=r"no file.*Received: a.tflite.* before, b"):
        compare([record()], [record("b")])


@pytest.mark.parametrize("number", ["1e400", "NaN", '"x"', "null", "[" * 200_000])
def test_counts_that_are_none(tmp_path, number):
    path = tmp_path / "other.json"
    path.write_text(to_json([record(dot=123456)]).replace("123456", number))
    with pytest.raises(ValueError, match=r"arm64 --count has written. Received: .*other.json$"):
        read_records(path)
