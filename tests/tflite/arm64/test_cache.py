"""Parts of the cache: whole or not there, whatever happens as they are made."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import time

import pytest

from care_keras.files import user_cache
from tests.processes import finish, full_disk, kill_at_moments, start
from tflite.arm64.cache import Cache


def make(cache, name="part", key="1", content="content"):
    with cache.lock(), cache.make(name, key) as (folder, record):
        (folder / "file").write_text(content)
        record["packages"] = ["a 1.0"]


def test_a_part_is_there_with_its_key_alone(tmp_path):
    cache = Cache(tmp_path / "deep" / "cache")
    assert cache.find("part", "1") is None and cache.record("part") is None
    make(cache)
    assert (cache.find("part", "1") / "file").read_text() == "content"
    assert cache.record("part") == {"key": "1", "packages": ["a 1.0"]}
    assert cache.find("part", "2") is None and cache.find("other", "1") is None
    make(cache, key="2", content="newer")
    assert cache.find("part", "1") is None
    assert (cache.find("part", "2") / "file").read_text() == "newer"
    assert sorted(os.listdir(cache.folder)) == [".lock", "part"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_is_interrupted_leaves_nothing(tmp_path, error):
    cache = Cache(tmp_path)

    def interrupted():
        with cache.lock(), cache.make("part", "1") as (folder, _):
            (folder / "file").write_text("half")
            raise error

    with pytest.raises(error):
        interrupted()
    assert cache.find("part", "1") is None and os.listdir(tmp_path) == [".lock"]
    make(cache)
    with pytest.raises(error):
        interrupted()
    assert (cache.find("part", "1") / "file").read_text() == "content"


def test_a_killed_process_leaves_nothing_that_is_taken_for_a_part(tmp_path):
    code = f"""
import os, signal, sys
from tflite.arm64.cache import Cache
cache = Cache({os.fspath(tmp_path)!r})
with cache.lock(), cache.make("part", "1") as (folder, _):
    (folder / "file").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"CARE_KERAS_COMMAND": "1"}, timeout=120
    )
    assert done.returncode == -signal.SIGKILL
    cache = Cache(tmp_path)
    assert cache.find("part", "1") is None and len(os.listdir(tmp_path)) == 2
    make(cache)
    assert cache.find("part", "1") and sorted(os.listdir(tmp_path)) == [".lock", "part"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"key": 1}'])
def test_a_damaged_record_is_no_part(tmp_path, content):
    cache = Cache(tmp_path)
    make(cache)
    (tmp_path / "part" / "complete.json").write_text(content)
    assert cache.find("part", "1") is None
    make(cache)
    assert cache.find("part", "1")


def test_two_do_not_fill_it_at_once(tmp_path):
    code = f"""
import fcntl, time
with open({os.fspath(tmp_path / ".lock")!r}, "w") as stream:
    fcntl.flock(stream, fcntl.LOCK_EX)
    print(flush=True)
    time.sleep(1)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        started = time.monotonic()
        make(Cache(tmp_path))
        assert time.monotonic() - started > 0.5


def test_a_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be written to. Received: .*Not a directory"):
        make(Cache(tmp_path / "file" / "cache"))
    folder = tmp_path / "read only"
    folder.mkdir()
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    if not os.access(folder, os.W_OK):  # root may write anywhere
        with pytest.raises(ValueError, match="cannot be written to. Received: .*denied"):
            make(Cache(folder))


def test_the_users_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", os.fspath(tmp_path))
    assert user_cache("arm64") == tmp_path / "care_keras" / "arm64"
    monkeypatch.setenv("HOME", "/home/of/user")
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert os.fspath(user_cache("arm64")) == "/home/of/user/.cache/care_keras/arm64"


SETS_UP = """
import pathlib, sys, time
from tflite.arm64.cache import Cache
cache = Cache(sys.argv[1])
for number in range(int(sys.argv[2])):
    with cache.lock():
        if cache.find("part", str(number)) is None:
            with cache.make("part", str(number)) as (folder, record):
                for name in "abc":
                    (folder / name).write_text(str(number) * 1000)
                print(f"made {number}", flush=True)
"""


def test_two_processes_make_each_part_once(tmp_path):
    both = [start(SETS_UP, tmp_path, 20) for _ in range(2)]
    made = "".join(finish(one) for one in both).splitlines()
    # A part that another has replaced since is made again, by whoever lags behind.
    assert set(made) == {f"made {number}" for number in range(20)}
    part = tmp_path / "part"
    contents = {(part / name).read_text() for name in "abc"}
    assert len(contents) == 1 and sorted(os.listdir(tmp_path)) == [".lock", "part"]


def test_a_kill_at_any_moment_leaves_no_half_of_a_part(tmp_path):
    cache = Cache(tmp_path)
    for _ in kill_at_moments(SETS_UP, tmp_path, 10**6, moments=8):
        if record := cache.record("part"):
            contents = {(tmp_path / "part" / name).read_text() for name in "abc"}
            assert contents == {record["key"] * 1000}
        shutil.rmtree(tmp_path / "part", ignore_errors=True)
    make(cache)
    assert sorted(os.listdir(tmp_path)) == [".lock", "part"]


def test_a_full_disk_is_one_line_and_leaves_the_part_as_it_was(tmp_path):
    cache = Cache(tmp_path)
    make(cache)
    with (
        full_disk(),
        pytest.raises(ValueError, match="cannot be written to. Received: .*too large"),
    ):
        make(cache, key="2", content="x" * 300_000)
    assert (cache.find("part", "1") / "file").read_text() == "content"
    assert sorted(os.listdir(tmp_path)) == [".lock", "part"]


def test_a_clock_that_was_set_back(tmp_path):
    cache = Cache(tmp_path)
    make(cache)
    for path in (tmp_path, *tmp_path.rglob("*")):
        os.utime(path, (4e9, 4e9))
    make(cache, key="2", content="newer")
    assert (cache.find("part", "2") / "file").read_text() == "newer"
