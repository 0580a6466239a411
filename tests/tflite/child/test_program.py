import sys
import time

import numpy as np
import pytest

from tflite.child.program import last_line, run


def python(code, timeout_seconds=120, **options):
    return run([sys.executable, "-S", "-E", "-c", code], timeout_seconds, **options)


def test_output_input_and_exit_code():
    finished = python(
        "import sys; print(sys.stdin.read()[::-1]); print('two', file=sys.stderr); sys.exit(3)",
        stdin="abc",
    )
    assert (finished.exit_code, finished.signal_name) == (3, None)
    assert finished.output == "cba\ntwo\n" and finished.ending == "ended with exit code 3"


@pytest.mark.parametrize("fresh_rusage", [False, True])
def test_a_crash_is_named(fresh_rusage):
    code = "import os, sys; print('last words', file=sys.stderr, flush=True); os.abort()"
    finished = python(code, fresh_rusage=fresh_rusage)
    assert finished.ending == "was ended by SIGABRT"
    assert finished.stderr == "last words\n"


@pytest.mark.parametrize("fresh_rusage", [False, True])
def test_a_program_that_hangs_is_stopped_with_all_it_started(fresh_rusage):
    started = time.monotonic()
    with pytest.raises(
        ValueError, match="sh was stopped after 2 s. Received: last line 'half way'"
    ):
        run(["/bin/sh", "-c", "echo half way; sleep 60; echo"], 2, fresh_rusage=fresh_rusage)
    # The grandchild holds the pipe: without its end this would take a minute.
    assert time.monotonic() - started < 50


def test_bytes_that_are_no_text():
    assert "\ufffd" in python("import os; os.write(1, bytes([255, 254, 10]))").stdout


def test_arguments_are_no_shells_business():
    finished = run(["/bin/echo", "$HOME; `false` *", "a b"], 60, fresh_rusage=True)
    assert finished.stdout == "$HOME; `false` * a b\n"


@pytest.mark.skipif(sys.platform != "linux", reason="a habit of Linux")
def test_a_big_process_does_not_show_in_a_small_ones_peak_memory():
    code = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    big = np.ones(200 * 2**20 // 8)
    inherited, own = (
        int(python(code, fresh_rusage=fresh).stdout) / 1024 for fresh in (False, True)
    )
    assert inherited > big.nbytes / 2**20 and own < 50


def test_what_cannot_be_started(tmp_path):
    with pytest.raises(ValueError, match="missing cannot be started. Received: .*No such file"):
        run([tmp_path / "missing"], 10)
    noise = tmp_path / "noise"
    noise.write_bytes(b"echo a script after all")
    with pytest.raises(ValueError, match="cannot be started. Received: .*Permission denied"):
        run([noise], 10)
    noise.chmod(0o755)
    with pytest.raises(ValueError, match="cannot be started. Received: .*Exec format error"):
        run([noise], 10)


def test_last_line():
    assert last_line("one\ntwo \n\n") == "two"
    assert last_line("\n") == "no output" and len(last_line("x" * 999)) == 200
