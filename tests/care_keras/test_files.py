import os
import pathlib

import pytest

from care_keras.files import (
    atomic_path,
    parse_json,
    printable,
    remove_leftovers,
    write_atomically,
)
from tests.processes import finish, full_disk, kill_at_moments, start


@pytest.fixture
def umask():
    """A usual umask, whatever that of the process is."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.parametrize("content", [b"\x00\xff", "grün\n", ""])
def test_writes_bytes_and_text(tmp_path, content):
    write_atomically(tmp_path / "file", content)
    expected = content.encode() if isinstance(content, str) else content
    assert (tmp_path / "file").read_bytes() == expected
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_replaces_what_was_there(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("a longer text before")
    write_atomically(os.fspath(path), "after")
    assert path.read_text() == "after"


def test_the_old_file_is_there_until_the_end(tmp_path):
    path = tmp_path / "model.keras"
    path.write_text("old")
    with atomic_path(path) as temporary:
        temporary.write_text("new, not yet who")
        assert path.read_text() == "old"
        temporary.write_text("new")
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_leaves_nothing_behind(tmp_path, error):
    path = tmp_path / "model.keras"
    for before in (None, "old"):
        if before:
            path.write_text(before)
        with pytest.raises(error), atomic_path(path) as temporary:
            temporary.write_text("half")
            raise error
        assert [file.read_text() for file in tmp_path.iterdir()] == ([before] if before else [])


@pytest.mark.parametrize(
    ("name", "ending"),
    [("model.keras", ".keras"), ("last.weights.h5", ".weights.h5"), ("README", "")],
)
def test_the_temporary_file_is_beside_and_ends_alike(tmp_path, name, ending):
    with atomic_path(tmp_path / name) as temporary:
        temporary.write_text("")
        assert temporary.parent == tmp_path
        assert temporary.name.endswith(ending)
        assert bool(temporary.suffix) == bool(ending)
        assert temporary.name.startswith(".")


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_follow_the_umask(tmp_path, umask, mask, mode):
    os.umask(mask)
    write_atomically(tmp_path / "file", "")
    assert (tmp_path / "file").stat().st_mode & 0o777 == mode
    assert os.umask(mask) == mask


def test_a_link_leads_to_the_new_file(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "latest.txt").symlink_to("runs/1.txt")
    for content in ("made", "replaced"):
        write_atomically(tmp_path / "latest.txt", content)
        assert (tmp_path / "latest.txt").is_symlink()
        assert (tmp_path / "runs" / "1.txt").read_text() == content
    assert [one.name for one in (tmp_path / "runs").iterdir()] == ["1.txt"]


def test_pipes_and_devices_are_written_to(tmp_path):
    pipe = tmp_path / "pipe.txt"
    os.mkfifo(pipe)
    reader = start("import sys; print(open(sys.argv[1]).read())", pipe)
    write_atomically(pipe, "through the pipe")
    assert finish(reader).strip() == "through the pipe" and pipe.is_fifo()
    writes = "from care_keras.files import write_atomically as w; w('/dev/stdout', 'to the end')"
    assert finish(start(writes)) == "to the end"
    write_atomically("/dev/null", "nowhere")
    assert pathlib.Path("/dev/null").is_char_device()


def test_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "missing" / "file", "")


def test_a_folder_in_the_way(tmp_path):
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError, match="file"):
        write_atomically(tmp_path / "file", "")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_file_name_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_atomically("file", "text")
    assert (tmp_path / "file").read_text() == "text"


@pytest.mark.parametrize("name", ["a.npz", "model.weights.h5", "a*.npz"])
def test_what_a_kill_leaves_is_removed_and_nothing_else(tmp_path, name):
    kept = [tmp_path / name.replace("*", "b"), tmp_path / "other.npz", tmp_path / ".other-x.npz"]
    for path in kept:
        path.touch()
    with pytest.raises(FileNotFoundError), atomic_path(kept[0]) as temporary:
        assert temporary.exists()
        remove_leftovers(tmp_path / name)
        assert not temporary.exists()
    assert sorted(tmp_path.iterdir()) == sorted(kept)


def test_json_of_anyones():
    assert parse_json(b'{"a": [1, null]}') == {"a": [1, None]} == parse_json('{"a": [1, null]}')
    for content in ("[" * 200_000, '{"a":' * 200_000, b"\xff", "", "9" * 5000, "{'a': 1}"):
        with pytest.raises(ValueError) as error:
            parse_json(content)
        assert "\n" not in str(error.value)


def test_text_of_anyones():
    assert printable("grün, 日本 'x'") == "grün, 日本 'x'"
    assert printable("a\x1b[2J\nb\u202ec\ud800") == "a\ufffd[2J\ufffdb\ufffdc\ufffd"


WRITES = """
import sys
from care_keras.files import write_atomically
path, letter, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
print(flush=True)
for _ in range(times):
    write_atomically(path, letter * 300_000)
"""


def is_whole(content):
    return len(content) == 300_000 and len(set(content)) == 1


def test_two_processes_write_one_file(tmp_path):
    """A reader meets one's or the other's, whole."""
    path, seen = tmp_path / "file.txt", set()
    write_atomically(path, "o" * 300_000)
    both = [start(WRITES, path, letter, 60) for letter in "ab"]
    while any(one.poll() is None for one in both):
        content = path.read_text()
        assert is_whole(content)
        seen.add(content[0])
    for one in both:
        finish(one)
    assert path.read_text()[0] in "ab" and [one.name for one in tmp_path.iterdir()] == ["file.txt"]


def test_a_kill_at_any_moment_leaves_the_file_whole(tmp_path):
    path = tmp_path / "file.txt"
    write_atomically(path, "o" * 300_000)
    for _ in kill_at_moments(WRITES, path, "n", 100_000):
        assert is_whole(path.read_text())
        remove_leftovers(path)
        assert [one.name for one in tmp_path.iterdir()] == ["file.txt"]


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "file.txt"
    write_atomically(path, "before")
    with full_disk(), pytest.raises(OSError):
        write_atomically(path, "n" * 300_000)
    assert path.read_text() == "before" and len(list(tmp_path.iterdir())) == 1


def test_a_clock_that_was_set_back(tmp_path):
    """What is newer by its content, not by its time, is what is there."""
    path = tmp_path / "file.txt"
    write_atomically(path, "old")
    os.utime(path, (4e9, 4e9))
    write_atomically(path, "new")
    assert path.read_text() == "new"
