"""Fast tests and the rest: `python -m tests.tiers JUNIT.xml` finds out anew which are slow.

    make test_all PYTEST_FLAGS="--numprocesses=2 --dist=loadfile --junitxml=all.xml"
    .venv/bin/python -m tests.tiers all.xml

A run of a few files will do for these: what stands in the list of others stays.

`slow.txt` has a line for each test that takes more than three seconds: the seconds of its cases
together, and its name. `make test` leaves these tests out; of the others it takes every third case.
Whatever runs, files that take longest are begun first.
"""

import pathlib
import sys
import xml.etree.ElementTree as ET
from collections import Counter, defaultdict
from collections.abc import Iterable

ROOT = pathlib.Path(__file__).parents[1]
LIST = pathlib.Path(__file__).with_name("slow.txt")
# Of a test's longest case. Some 200 of 1,900 tests are above, and take 70 % of the time.
SECONDS = 3.0
TIERS = ("all", "fast", "rest")
# Of each test's cases the fast tier has the first and every third after it.
FAST_EVERY = 3


def read(file: pathlib.Path = LIST) -> dict[str, int]:
    """Seconds of each slow test, by its name without its cases."""
    lines = (line.split(maxsplit=1) for line in file.read_text().splitlines())
    return {name: int(seconds) for seconds, name in lines}


def test_name(nodeid: str) -> str:
    """`tests/test_x.py::test_y` of `tests/test_x.py::test_y[case]`."""
    return nodeid.partition("[")[0]


# No test, though its name begins like one.
test_name.__test__ = False


def chosen(tests: Iterable[tuple[str, bool]], tier: str = "all", every: int = 1) -> list[bool]:
    """Which tests are run; which cases stay depends on their order alone.

    Args:
        tests: Each test's nodeid, and whether it is slow.
        tier: One of `TIERS`.
        every: Of each test's cases the first and every so-manieth after it.
    """
    seen, runs = Counter(), []
    for nodeid, is_slow in tests:
        name = test_name(nodeid)
        fast = seen[name] % FAST_EVERY == 0 and not is_slow
        runs.append(seen[name] % every == 0 and (tier == "all" or fast == (tier == "fast")))
        seen[name] += 1
    return runs


def slow_tests(report: pathlib.Path) -> dict[str, float]:
    """Seconds of the tests that pytest's JUnit report has as slow, the longest first."""
    cases = defaultdict(list)
    for case in ET.parse(report).iter("testcase"):
        if not case.get("classname"):  # A file that was skipped as a whole.
            continue
        cases[_file(case.get("classname")), test_name(case.get("name"))].append(
            float(case.get("time"))
        )
    found = {
        f"{file}::{name}": sum(times)
        for (file, name), times in cases.items()
        if max(times) > SECONDS
    }
    return dict(sorted(found.items(), key=lambda one: -one[1]))


def _file(classname):
    """`tests/test_x.py` of the dotted name, with `::Class` where there is one."""
    parts = classname.split(".")
    for end in range(len(parts), 0, -1):
        path = pathlib.Path(*parts[:end]).with_suffix(".py")
        if (ROOT / path).is_file():
            return "::".join([path.as_posix(), *parts[end:]])
    raise ValueError(f"no file of tests. Received: {classname}")


def main(report: pathlib.Path) -> None:
    """Writes the list anew, as far as a report says."""
    cases = ET.parse(report).iter("testcase")
    files = {_file(case.get("classname")) for case in cases if case.get("classname")}
    others = {name: seconds for name, seconds in read().items() if _path(name) not in files}
    found = dict(sorted((others | slow_tests(report)).items(), key=lambda one: -one[1]))
    LIST.write_text("".join(f"{seconds:4.0f} {name}\n" for name, seconds in found.items()))


def _path(name):
    """The file, and the class, of a test's name."""
    return name.rpartition("::")[0]


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
