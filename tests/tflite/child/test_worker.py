"""Workers that answer, print what they like, find something wrong, crash or hang."""

import os
import sys
import time

import pytest

from tflite.child.worker import WorkerError, ask, open_worker


@pytest.fixture
def write(tmp_path):
    """Writes a worker whose `work` has this body."""

    def write(*lines):
        path = tmp_path / "worker.py"
        body = "\n    ".join(lines)
        path.write_text(f"import os, sys, time\n\ndef work(request):\n    {body}\n")
        return path

    return write


def answers(path, **request):
    with open_worker(path, request) as worker:
        while True:
            try:
                yield worker.next(60)
            except WorkerError as error:
                yield str(error)
                return


def test_answers_one_by_one_and_the_end(write):
    path = write("for i in range(request['count']):", "    yield {'i': i}", "sys.exit('enough')")
    assert list(answers(path, count=2)) == [
        {"i": 0},
        {"i": 1},
        "the process ended with exit code 1 (enough)",
    ]


def test_modules_of_the_library_come_without_keras(write):
    """Also where no command has said that it is one."""
    path = write(
        "from care_keras.litert.file import LiteRTFile",
        "import tflite.inputs.noise",
        "return {'where': LiteRTFile.__module__, 'keras': 'keras' in sys.modules}",
    )
    assert next(answers(path)) == {"where": "care_keras.litert.file", "keras": False}


def test_what_is_printed_stands_beside_the_answers(write):
    path = write("os.system('echo {}')", "print('more')", "yield {'a': 'x' * 200_000}")
    with open_worker(path, {}) as worker:
        assert worker.next(60) == {"a": "x" * 200_000}
        worker.finish(60)
        assert worker.said == "{}\nmore\n"


def test_garbage_is_no_answer(write):
    garbage = "import os; os.write(1, bytes([255, 10]) + b'[1]\\n2\\n{')"
    with (
        pytest.raises(WorkerError, match=r"the process ended with exit code 0 \(no output\)"),
        open_worker(write("return {}"), {}, [sys.executable, "-c", garbage]) as worker,
    ):
        worker.next(60)


@pytest.mark.parametrize(
    ("line", "message", "died"),
    [
        ("os.abort()", "LiteRT was ended by SIGABRT while running the model. Received: m .*", True),
        ("sys.exit(3)", "LiteRT ended with exit code 3 .*'no output'", False),
        ("raise KeyError('x')", "LiteRT ended with exit code 1 .*last line .KeyError", False),
        ("time.sleep(600)", r"LiteRT was stopped after 2 s .*Received: m \(last line", True),
        # After its answer: it is not yet through then.
        ("yield {}; os.abort()", "LiteRT was ended by SIGABRT", True),
    ],
)
def test_bad_ends_are_told_alike(write, line, message, died):
    with pytest.raises(WorkerError, match=message) as caught:
        ask("LiteRT", write(line), {"model": "m"}, 2 if "sleep" in line else 60)
    assert caught.value.died == died


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("RuntimeError('no\\n operator')", r"It cannot run the model. Received: m \(no operator\)"),
        ("ValueError('No. Received: x')", "No. Received: x"),
    ],
)
def test_what_it_finds_wrong(write, error, message):
    with pytest.raises(ValueError, match=f"^{message}$") as caught:
        ask("It", write(f"raise {error}"), {"model": "m"}, 60)
    assert not isinstance(caught.value, WorkerError)


def test_all_that_it_started_ends_with_it(write, tmp_path):
    path = write("os.system('sleep 600 & echo $! > pid')", "yield {}", "time.sleep(600)")
    started = time.monotonic()
    python = ["/usr/bin/env", f"--chdir={tmp_path}", sys.executable]
    with open_worker(path, {}, python) as worker:
        worker.next(60)
    assert time.monotonic() - started < 100
    pid = int((tmp_path / "pid").read_text())
    for _ in range(100):
        try:
            # A zombie is one that its new parent has not looked after yet.
            with open(f"/proc/{pid}/stat") as stream:
                if stream.read().rpartition(")")[2].split()[0] == "Z":
                    return
        except OSError:
            return
        time.sleep(0.1)
    pytest.fail(f"process {pid} lives on: {os.listdir(tmp_path)}")


def test_what_cannot_be_started(write, tmp_path):
    with (
        pytest.raises(ValueError, match="^missing cannot be started. Received: .*No such file"),
        open_worker(write("return {}"), {}, [str(tmp_path / "missing")]),
    ):
        pass
