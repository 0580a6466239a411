import itertools
import time

import pytest

from care_keras.console.progress import progress


def test_items_pass_through_and_a_log_gets_a_line_per_quarter(capsys):
    assert list(progress(range(100), "reading")) == list(range(100))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" (")[0] for line in lines] == [
        "reading 25/100",
        "reading 50/100",
        "reading 75/100",
        "reading 100/100",
    ]


def test_fewer_items_than_quarters_and_none(capsys):
    assert list(progress([7, 8], "reading")) == [7, 8]
    assert list(progress([], "nothing")) == []
    assert capsys.readouterr().err.splitlines()[-1].startswith("reading 2/2")


@pytest.mark.parametrize(
    ("seconds", "rate"),
    [
        (0.0, ""),
        (0.1, ""),
        (1000, " (0.5/s)"),
        (20, " (25/s)"),
        (2, " (250/s)"),
        (0.25, " (2,000/s)"),
    ],
)
def test_the_rate(seconds, rate, capsys, monkeypatch):
    times = itertools.chain([10.0], itertools.repeat(10.0 + seconds))
    monkeypatch.setattr(time, "monotonic", lambda: next(times))
    list(progress(range(500), "reading"))
    assert capsys.readouterr().err.splitlines()[-1] == f"reading 500/500{rate}"
