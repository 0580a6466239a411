import errno
import os
import re
import zipfile

import numpy as np
import pytest

from care_keras.console.cli import UserError
from care_keras.training.run.checkpoint import (
    Checkpoint,
    CheckpointFolder,
    Position,
    read_checkpoint,
)
from tests.processes import kill_at_moments


def checkpoint(epoch=0, step=0, size=50):
    rng = np.random.default_rng((epoch, step))
    arrays = {
        "model/00000/kernel": rng.normal(size=(size, 3)).astype("float32"),
        "optimizer/00000/iteration": np.asarray(epoch * 10 + step),
        "random/torch": rng.integers(255, size=7).astype("uint8"),
    }
    return Checkpoint(Position(epoch, step), arrays, {"best": {"epoch": 1, "accuracy": 0.5}})


def assert_same(actual, expected):
    assert (actual.position, actual.notes) == (expected.position, expected.notes)
    assert actual.arrays.keys() == expected.arrays.keys()
    for name, array in expected.arrays.items():
        np.testing.assert_array_equal(actual.arrays[name], array)
        assert actual.arrays[name].dtype == array.dtype


def test_gives_back_what_was_written(tmp_path):
    folder = CheckpointFolder(tmp_path / "checkpoints")
    assert folder.newest() is None
    folder.write(checkpoint(1, 5))
    assert_same(folder.newest(), checkpoint(1, 5))


def test_keeps_the_newest_and_the_one_before_it(tmp_path):
    folder = CheckpointFolder(tmp_path)
    (tmp_path / "notes.txt").write_text("somebody's own")
    # Not in the order of names: 10,000 comes after 9,999.
    positions = [(2, 0), (2, 7), (9999, 0), (10000, 0)]
    for position in positions:
        folder.write(checkpoint(*position))
        assert folder.newest().position == Position(*position)
    assert [read_checkpoint(path).position for path in folder.paths()] == [
        Position(10000, 0),
        Position(9999, 0),
    ]
    assert (tmp_path / "notes.txt").exists()


def damages(content):
    """Name and content of damaged files, every kind that a crash or a disk may cause."""
    for part in (0.0, 0.01, 0.5, 0.99):
        yield f"first {part:.0%}", content[: int(part * len(content))]
    yield "zeros", bytes(len(content))
    yield "text", b"no checkpoint at all"
    middle = len(content) // 2
    yield "hole", content[:middle] + bytes(64) + content[middle + 64 :]


def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(tmp_path):
    folder = CheckpointFolder(tmp_path)
    folder.write(checkpoint(1))
    path = folder.write(checkpoint(2, size=2000))
    for _, content in damages(path.read_bytes()):
        path.write_bytes(content)
        lines = []
        assert_same(folder.newest(say=lines.append), checkpoint(1))
        assert len(lines) == 1 and "\n" not in lines[0]
        assert lines[0].startswith(f"{path} cannot be read (")
        assert lines[0].endswith("): going on from the one before it")


def test_a_changed_byte_is_noticed_or_changes_nothing(tmp_path):
    path = CheckpointFolder(tmp_path).write(checkpoint(3, 1, size=4))
    content = path.read_bytes()
    noticed = 0
    for index in range(0, len(content), 3):
        changed = bytearray(content)
        changed[index] ^= 0xFF
        path.write_bytes(changed)
        try:
            assert_same(read_checkpoint(path), checkpoint(3, 1, size=4))
        except ValueError as error:
            noticed += 1
            assert "\n" not in str(error)
    # What is left are dates and the like in the archive's own records.
    assert noticed > 0.7 * len(content) / 3


def test_no_checkpoint_that_can_be_read(tmp_path):
    folder = CheckpointFolder(tmp_path)
    folder.write(checkpoint(1)).write_bytes(b"")
    with pytest.raises(UserError, match="holds no checkpoint that can be read: delete it to start"):
        folder.newest(say=lambda line: None)


@pytest.mark.filterwarnings("error")
def test_numbers_as_python_2_wrote_them_are_read_without_a_warning(tmp_path):
    folder = CheckpointFolder(tmp_path)
    folder.write(checkpoint(1))
    (path,) = folder.paths()
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, re.sub(rb"\((\d+),\), } ", rb"(\1L,), }", content))
    assert b"L,)" in path.read_bytes()
    assert_same(read_checkpoint(path), checkpoint(1))


def test_pickled_objects_are_not_loaded(tmp_path):
    path = tmp_path / "epoch0001-step000000.npz"
    np.savez(path, header=np.asarray([{"position": [1, 0]}], object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        read_checkpoint(path)


def test_a_full_disk_leaves_the_earlier_checkpoints(tmp_path, full_disk):
    folder = CheckpointFolder(tmp_path)
    for epoch in (1, 2):
        folder.write(checkpoint(epoch))
    with full_disk(), pytest.raises(OSError, match="") as error:
        folder.write(checkpoint(3, size=20_000))
    assert error.value.errno in (errno.EFBIG, errno.ENOSPC)
    assert_same(folder.newest(), checkpoint(2))
    assert len(list(tmp_path.iterdir())) == 2


def test_an_interrupted_write_leaves_the_earlier_checkpoints(tmp_path, monkeypatch):
    folder = CheckpointFolder(tmp_path)
    folder.write(checkpoint(1))

    def interrupted(stream, **arrays):
        stream.write(b"PK")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(np, "savez", interrupted)
        folder.write(checkpoint(2))
    assert_same(folder.newest(), checkpoint(1))
    assert len(list(tmp_path.iterdir())) == 1


def test_leftovers_of_a_kill_are_removed(tmp_path):
    folder = CheckpointFolder(tmp_path)
    folder.write(checkpoint(1))
    (tmp_path / ".epoch0002-step000000-a1b2c3.npz").write_bytes(b"PK half of it")
    assert_same(folder.newest(), checkpoint(1))
    folder.remove_leftovers()
    assert [path.name for path in tmp_path.iterdir()] == ["epoch0001-step000000.npz"]


def test_a_packed_archive_is_not_opened(tmp_path):
    path = tmp_path / "epoch0001-step000000.npz"
    np.savez_compressed(path, header=np.zeros(10**7, np.uint8))
    with pytest.raises(ValueError, match="^it is packed$"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\xff\xfe{",
        b"[" * 200_000,
        b"[]",
        b'{"position": [1, 0], "notes": {}}',
        b'{"position": [1], "notes": {}, "arrays": []}',
        b'{"position": ["1", 0], "notes": {}, "arrays": []}',
        b'{"position": [1, 0], "notes": 3, "arrays": []}',
    ],
)
def test_a_header_that_is_none(tmp_path, header):
    path = tmp_path / "epoch0001-step000000.npz"
    np.savez(path, header=np.frombuffer(header, np.uint8))
    with pytest.raises(ValueError) as error:
        read_checkpoint(path)
    assert type(error.value) is ValueError and "\n" not in str(error.value)


WRITES = """
import itertools, sys
import numpy as np
from care_keras.training.run.checkpoint import Checkpoint, CheckpointFolder, Position
folder = CheckpointFolder(sys.argv[1])
first = folder.newest().position.epoch + 1
print(flush=True)
for epoch in itertools.count(first):
    folder.write(Checkpoint(Position(epoch), {"x": np.full(100_000, epoch)}, {}))
"""


def test_a_kill_at_any_moment_leaves_a_checkpoint_and_loses_none(tmp_path):
    folder, before = CheckpointFolder(tmp_path), 0
    folder.write(Checkpoint(Position(1), {"x": np.full(100_000, 1)}, {}))
    for _ in kill_at_moments(WRITES, tmp_path, moments=8):
        lines = []
        newest = folder.newest(lines.append)
        assert not lines and newest.position.epoch >= before
        assert (newest.arrays["x"] == newest.position.epoch).all()
        before = newest.position.epoch
        folder.remove_leftovers()
        # The one that replaced another is there before that one goes.
        assert 1 <= len(list(tmp_path.iterdir())) <= 3
    assert before > 1


def test_the_newest_is_so_by_its_place_in_the_run_not_by_the_clock(tmp_path):
    folder = CheckpointFolder(tmp_path)
    os.utime(folder.write(checkpoint(1)), (4e9, 4e9))
    folder.write(checkpoint(2))
    assert folder.newest().position == Position(2)
    os.utime(folder.write(checkpoint(3)), (0, 0))
    assert [path.name[:9] for path in folder.paths()] == ["epoch0003", "epoch0002"]
