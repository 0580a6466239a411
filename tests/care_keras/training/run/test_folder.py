import errno
import json
import re
import subprocess

import keras
import pytest

import care_keras
from care_keras.console.cli import UserError
from care_keras.training.run import environment as environment_module
from care_keras.training.run.checkpoint import Position
from care_keras.training.run.environment import environment
from care_keras.training.run.folder import FREE_SETTINGS, RunFolder
from tests.care_keras.training.runs import settings
from tests.processes import finish, start

SETTINGS = {"model": "nano", "epochs": 3, "seed": 5, "run_dir": "a", "checkpoint_steps": 0}


def prepared(path, **changes):
    folder = RunFolder(path)
    folder.prepare(SETTINGS | changes)
    return folder


def test_holds_the_settings(tmp_path):
    prepared(tmp_path / "runs" / "a")
    path = tmp_path / "runs" / "a" / "config.json"
    assert json.loads(path.read_text()) == SETTINGS
    # How a run is run may change.
    prepared(tmp_path / "runs" / "a", run_dir="../a", checkpoint_steps=7)
    assert json.loads(path.read_text())["checkpoint_steps"] == 7


def test_free_settings_are_settings(tmp_path):
    assert settings(tmp_path, tmp_path).to_dict().keys() >= FREE_SETTINGS


def test_a_run_that_could_not_begin_leaves_nothing(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.prepare({"epochs": 2})
    folder.forget()
    assert not folder.path.exists()
    RunFolder(tmp_path / "run").prepare({"epochs": 3})
    # What has begun stays.
    (folder.path / "checkpoints").mkdir()
    folder.forget()
    assert (folder.path / "config.json").exists()


def test_other_settings(tmp_path):
    prepared(tmp_path)
    before = (tmp_path / "config.json").read_bytes()
    message = r"other settings \(epochs, seed\): give its flags, or another --run_dir"
    with pytest.raises(UserError, match=message):
        prepared(tmp_path, epochs=4, seed=6)
    assert (tmp_path / "config.json").read_bytes() == before


@pytest.mark.parametrize("content", ["{", "[]", "7", "[" * 200_000, "\udcff"])
def test_settings_that_cannot_be_read(tmp_path, content):
    (tmp_path / "config.json").write_text(content, errors="surrogateescape")
    with pytest.raises(UserError, match=r"config\.json does not hold the settings of a run"):
        prepared(tmp_path)


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(UserError, match=r"--run_dir=.*run cannot be used: (File exists|Not a dir)"):
        prepared(tmp_path / "run")


def test_only_the_chief_writes(tmp_path):
    folder = RunFolder(tmp_path / "run", writes=False)
    folder.prepare(SETTINGS)
    folder.note_start(Position(), 5, "one device")
    assert not (tmp_path / "run").exists()


def test_what_a_kill_left_is_removed(tmp_path):
    folder = prepared(tmp_path)
    folder.checkpoints.path.mkdir()
    leftovers = [folder.checkpoints.path / ".epoch0001-step000000-abc.npz"]
    leftovers += [tmp_path / name for name in (".best-abc.keras", ".log-abc.csv", ".curves-a.png")]
    for path in [*leftovers, tmp_path / ".notes-of-somebody.txt", folder.best]:
        path.write_bytes(b"PK")
    prepared(tmp_path)
    assert not any(path.exists() for path in leftovers)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".notes-of-somebody.txt",
        "best.keras",
        "checkpoints",
        "config.json",
    ]


def test_an_error_of_writing_is_one_line(tmp_path):
    folder = prepared(tmp_path)
    message = "cannot be written to: No space left on device "
    with pytest.raises(UserError, match=message) as error, folder.writing():
        raise OSError(errno.ENOSPC, "No space left on device")
    assert "\n" not in str(error.value)


def starts_of(path):
    return json.loads((path / "environment.json").read_text())


def test_each_start_of_a_run_is_noted(tmp_path):
    folder = prepared(tmp_path)
    folder.note_start(Position(), 5, "one device")
    folder.note_start(Position(2, 7), 5, "mirrored on 2 device(s)")
    first, second = starts_of(tmp_path)
    assert (first["epoch"], first["step"], first["seed"]) == (0, 0, 5)
    assert (second["epoch"], second["step"]) == (2, 7)
    assert second["devices"] == "mirrored on 2 device(s)"
    assert first["keras"] == keras.version()
    # A run that starts anew has no past.
    folder.note_start(Position(), 5, "one device")
    assert len(starts_of(tmp_path)) == 1


def test_versions():
    found = environment()
    assert found["backend"] == keras.backend.backend()
    assert found["care_keras"] == care_keras.__version__
    for name in ("python", "keras", "numpy", "tensorflow", keras.backend.backend()):
        assert re.match(r"\d+\.\d+", found[name]), name


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.example"]
    subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True)


def test_commit_of_the_checkout(tmp_path, monkeypatch):
    package = tmp_path / "care_keras"
    package.mkdir()
    (package / "__init__.py").write_text("")
    nothing = {"git_commit": None, "git_dirty": None}
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert environment_module._commit(package) == nothing
    # Another project's checkout with the package in its environment, untracked.
    git(tmp_path, "init")
    assert environment_module._commit(package) == nothing
    git(tmp_path, "add", "care_keras")
    git(tmp_path, "commit", "-m", "first")
    found = environment_module._commit(package)
    assert re.fullmatch("[0-9a-f]{40}", found["git_commit"])
    assert found["git_dirty"] is False
    (package / "__init__.py").write_text("changed")
    assert environment_module._commit(package) == found | {"git_dirty": True}
    monkeypatch.setenv("PATH", "")
    assert environment_module._commit(package) == nothing


HOLDS = """
import fcntl, os, sys
handle = os.open(sys.argv[1], os.O_RDONLY)
fcntl.flock(handle, fcntl.LOCK_EX)
print(flush=True)
sys.stdin.read()
"""


def test_one_process_at_a_time(tmp_path):
    """Another's half-written files are no leftovers."""
    folder = prepared(tmp_path)
    half = tmp_path / ".best-abc.keras"
    half.touch()
    with folder.writing():
        # The same process may go on with its run.
        prepared(tmp_path)
    half.touch()
    with start(HOLDS, tmp_path) as other:
        other.stdout.readline()
        with pytest.raises(UserError, match="another process trains in it; wait for its end"):
            prepared(tmp_path)
        assert half.exists()
        # Who only reads may do so.
        RunFolder(tmp_path, writes=False).prepare(SETTINGS)
        other.kill()
    prepared(tmp_path)
    assert not half.exists()


def test_the_lock_ends_with_the_run(tmp_path):
    folder = prepared(tmp_path)
    lock = f"import fcntl, os, sys; fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), {6})"
    held = start(lock, tmp_path)
    assert "BlockingIOError" in held.communicate()[1]
    with pytest.raises(UserError), folder.writing():
        raise OSError(errno.ENOSPC, "No space left on device")
    finish(start(lock, tmp_path))
