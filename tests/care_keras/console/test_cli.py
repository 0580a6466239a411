import os
import pathlib
import signal
import subprocess
import sys

import pytest

from care_keras.console import startup_messages
from tests.tflite.commands import run_here

ROOT = pathlib.Path(__file__).parents[3]

COMMAND = """
import os, signal
from absl import flags, logging
from care_keras.console import cli

COUNT = flags.DEFINE_integer("count", 1, "How many.", lower_bound=1)
ACTIONS = ["none", "user", "check", "bug", "signal", "much", "full"]
ACTION = flags.DEFINE_enum("action", "none", ACTIONS, "What.")


def main():
    logging.info("a step of a library's")
    print(f"count is {COUNT.value}")
    if ACTION.value == "user":
        raise cli.UserError("the file is missing:\\n  give \\x1b[2J--file")
    if ACTION.value == "check":
        raise cli.CheckError("the outputs differ")
    if ACTION.value == "much":
        for _ in range(100_000):
            print("a line of a long table")
    if ACTION.value == "full":
        raise OSError(28, "No space left on device", "/tmp/x.npy")
    if ACTION.value == "bug":
        raise RuntimeError("unexpected")
    if ACTION.value == "signal":
        # A shell's background job ignores it, and so would what it starts.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.kill(os.getpid(), signal.SIGINT)


cli.run(main)
"""


def run(*arguments, stdout=subprocess.PIPE):
    return subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments],
        env=os.environ | {"PYTHONPATH": os.fspath(ROOT), startup_messages._MARK: "1"},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )


def test_success():
    result = run("--count=3")
    assert (result.returncode, result.stdout, result.stderr) == (0, "count is 3\n", "")
    assert "a step of a library's" in run("--verbosity=0").stderr


@pytest.mark.parametrize(
    ("action", "code", "line"),
    [
        (
            "full",
            2,
            "error: nothing more can be written, as the disk or a quota is full: /tmp/x.npy\n",
        ),
        ("user", 2, "error: the file is missing: give \ufffd[2J--file\n"),
        ("check", 1, "error: the outputs differ\n"),
        ("signal", 128 + signal.SIGINT, "error: interrupted\n"),
    ],
)
def test_errors_are_one_line_and_a_code(action, code, line):
    result = run(f"--action={action}")
    assert (result.returncode, result.stdout, result.stderr) == (code, "count is 1\n", line)


def test_output_that_nobody_reads():
    """As of `| head`: no traceback, whether much or little is left."""
    for flag in ("--action=much", "--action=none", "--help"):
        reader, writer = os.pipe()
        os.close(reader)
        with os.fdopen(writer, "w") as closed:
            result = run(flag, stdout=closed)
        assert (result.returncode, result.stderr) == (128 + signal.SIGPIPE, "")


def test_a_bug_keeps_its_traceback():
    result = run("--action=bug")
    assert result.returncode == 1
    assert result.stderr.startswith("Traceback")
    assert "RuntimeError: unexpected" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--count=0"], "--count=0"),
        (["--count=many"], "--count=many"),
        (["--count"], "--count"),
        (["--action=fly"], "--action=fly"),
        (["--cuont=3"], "'cuont'"),
        (["photo.jpg"], "'photo.jpg'"),
        (["--count=2", "--", "rest"], "'rest'"),
    ],
)
def test_bad_flags(arguments, named):
    result = run(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")
    assert named in result.stderr
    assert result.stderr.endswith("(see --help)\n")
    assert result.stderr.count("\n") == 1


def test_help():
    result = run("--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert "--count: How many." in result.stdout


def test_a_command_of_the_package(tmp_path):
    """The whole way: nothing but the one line, whatever the libraries have to say."""
    result = subprocess.run(
        [sys.executable, "-m", "care_keras.train", "--model=huge", f"--run_dir={tmp_path}"],
        env=os.environ | {"PYTHONPATH": os.fspath(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.splitlines()[-1].startswith("error: --model must be one of ")
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_flag_that_must_be_given():
    done = run_here("care_keras.weights", "--model=s0")
    assert (done.returncode, done.stderr) == (2, "error: --checkpoint is missing (see --help)\n")
