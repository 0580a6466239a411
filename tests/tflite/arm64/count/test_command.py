"""The command: comparing two files of counts, and what it says of mistakes."""

import pytest

from tests.tflite.arm64.count.test_records import record
from tests.tflite.commands import run_here
from tflite.arm64.count.records import to_json


def command(*arguments, **environment):
    return run_here("tflite.arm64", *arguments, **environment)


@pytest.fixture
def runs(tmp_path):
    """Two files; the second has 2 % more dot products."""
    names = []
    for name, dot in (("before", 1_000_000), ("after", 1_020_000)):
        path = tmp_path / f"{name}.json"
        path.write_text(to_json([record(dot=dot), record("other.tflite", dot=7)]))
        names.append(f"--compare={path}")
    return names


def test_two_files(runs):
    done = command("--count", *runs)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "error: grew by more than 1 %: total of a.tflite, 2.3.0, cortex-a76 by 2.0 %; "
        "vector arithmetic of a.tflite, 2.3.0, cortex-a76 by 2.0 %"
    )
    assert command("--count", *runs, "--max_growth=3").returncode == 0
    done = command("--count", *reversed(runs))
    assert done.returncode == 0 and "shrank" in done.stdout and not done.stderr


def test_what_only_one_has_is_told(runs, tmp_path):
    path = tmp_path / "few.json"
    path.write_text(to_json([record(dot=1_000_000)]))
    done = command("--count", runs[0], f"--compare={path}")
    assert done.returncode == 0
    assert "not compared: other.tflite, 2.3.0, cortex-a76 (there is none after)" in done.stdout


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--compare=a.json"], "--compare goes with --count"),
        (["--count_operators"], "--count_operators goes with --count"),
        (["--max_growth=2"], "--max_growth goes with --count"),
        (["--count"], "nothing to do: give --model=FILE.tflite, or --setup"),
        (["--count", "--model=m", "--threads=2"], "--threads goes without --count, "),
        (["--count", "--operators"], "--operators goes without --count, "),
        (["--count", *["--compare=a"] * 3], "--compare is given 3 times: once with --model, "),
        (["--count", "--model=m", *["--compare=a"] * 2], "--compare is given 2 times: "),
        (["--count", "--model=m", "--compare=none"], "cannot be read: No such file"),
        (["--count", "--model=a/m", "--model=b/m"], "two files are named m; "),
        (["--count", "--max_growth=-1"], "flag --max_growth=-1"),
    ],
)
def test_mistakes_are_one_line(arguments, message):
    done = command(*arguments)
    assert done.returncode == 2 and message in done.stderr.splitlines()[-1]


def test_without_the_setup(tmp_path):
    (tmp_path / "m.tflite").touch()
    done = command("--count", f"--model={tmp_path}/m.tflite", f"--cache_dir={tmp_path}/empty")
    assert done.returncode == 2 and "run with --setup" in done.stderr.splitlines()[-1]
