import contextlib
import os

import pytest

from care_keras.locks import try_lock
from tests.processes import start

pytestmark = pytest.mark.skipif(os.name != "posix", reason="locks are Unix's")
HOLDER = """
import sys
from care_keras.locks import try_lock
stream = open(sys.argv[1], "a")
print(try_lock(stream, by_process=sys.argv[2] == "True"), flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def another_process_has(path, by_process=False):
    """A process that holds the lock until its stdin is closed."""
    with start(HOLDER, path, by_process) as process:
        assert process.stdout.readline() == "True\n"
        yield
        process.stdin.close()


@pytest.mark.parametrize("by_process", [False, True])
def test_one_process_has_it_until_its_end(tmp_path, by_process):
    path = tmp_path / "lock"
    with open(path, "a") as stream:
        with another_process_has(path, by_process):
            assert try_lock(stream, by_process) is False
        assert try_lock(stream, by_process) is True


def test_a_folder_is_locked_by_its_descriptor(tmp_path):
    first, second = (os.open(tmp_path, os.O_RDONLY) for _ in range(2))
    assert try_lock(first) is True
    assert try_lock(second) is False
    os.close(first)
    assert try_lock(second) is True
    os.close(second)


def test_a_process_may_open_its_own_file_again(tmp_path):
    with open(tmp_path / "lock", "a") as first, open(tmp_path / "lock", "a") as second:
        assert try_lock(first, by_process=True) is True
        assert try_lock(second, by_process=True) is True


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    import fcntl

    def none(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", none)
    with open(tmp_path / "lock", "a") as stream:
        assert try_lock(stream) is None
