"""The list of slow tests names tests that are there, and what reads it does what it says."""

import itertools
import re

import pytest

from tests import tiers


def test_every_test_of_the_list_is_there():
    gone = [
        f"{file}::{test}"
        for file, _, test in (name.partition("::") for name in tiers.read())
        if not re.search(rf"^ *def {test.split('::')[-1]}\(", text(file), re.M)
    ]
    assert not gone, "make it again: python -m tests.tiers"


def text(file):
    path = tiers.ROOT / file
    return path.read_text() if path.exists() else ""


REPORT = """<testsuites><testsuite>
<testcase classname="" name="skipped as a whole" time="9"/>
<testcase classname="tests.test_tiers" name="test_a[1]" time="2.5"/>
<testcase classname="tests.test_tiers" name="test_a[2]" time="3.5"/>
<testcase classname="tests.test_tiers.TestB" name="test_b" time="7"/>
<testcase classname="tests.test_tiers" name="test_c[x]" time="2.9"/>
</testsuite></testsuites>"""


def test_slow_is_what_has_a_long_case(tmp_path):
    (tmp_path / "all.xml").write_text(REPORT)
    found = tiers.slow_tests(tmp_path / "all.xml")
    assert list(found.items()) == [
        ("tests/test_tiers.py::TestB::test_b", 7.0),
        ("tests/test_tiers.py::test_a", 6.0),
    ]


CASES = [*((f"tests/test_x.py::test_cases[{case}]", False) for case in range(7)), ("slow", True)]


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, "0123456s"),
        ({"tier": "fast"}, "036"),
        ({"tier": "rest"}, "1245s"),
        ({"tier": "fast", "every": 2}, "06"),
        ({"every": 2}, "0246s"),
    ],
    ids=str,
)
def test_what_a_tier_has(options, kept):
    runs = tiers.chosen(CASES, **options)
    names = [name for name, _ in itertools.compress(CASES, runs)]
    assert "".join(re.findall(r"\d|^s", name)[0] for name in names) == kept
