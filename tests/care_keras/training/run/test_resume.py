"""Runs that are killed, and go on in another process."""

import shutil
import signal

import keras
import pytest

from care_keras.console.cli import UserError
from care_keras.training.run.checkpoint import CheckpointFolder, Position
from care_keras.training.trainer import train
from tests.care_keras.training import runs

pytestmark = pytest.mark.usefixtures("tiny_config", "without_graphs")

# Four steps an epoch. JAX would compile for each resolution, in each process.
LOW_RESOLUTION = 0 if keras.backend.backend() == "jax" else 1
CHANGES = {
    "model": "two_blocks",
    "epochs": 2,
    "checkpoint_steps": 2,
    "eval_every": 1,
    "low_resolution_epochs": LOW_RESOLUTION,
    # Checkpoints with gradients of one or two steps of three, as each epoch has four.
    "gradient_accumulation_steps": 3,
    "ema_momentum": 0.8,
    "mixup": 0.8,
}
KILLS = {
    "in_epoch": {"kill_after": (1, 3)},
    # Of (0, 2), (1, 0) and (1, 2), the third.
    "in_write": {"kill_in_write": 3},
}


@pytest.fixture(scope="module")
def unbroken(images, tiny_config, without_graphs, tmp_path_factory):
    """Folder of a finished run that wrote no checkpoint within an epoch."""
    run_dir = tmp_path_factory.mktemp("unbroken")
    train(runs.settings(images, run_dir, **CHANGES | {"checkpoint_steps": 0}))
    return run_dir


@pytest.fixture(scope="module")
def killed(images, tmp_path_factory):
    """Folders of runs that were killed, by the moment."""
    folders = {moment: tmp_path_factory.mktemp(moment) for moment in KILLS}
    processes = []
    for moment, kill in KILLS.items():
        settings = {"images": images, "run_dir": folders[moment], **CHANGES}
        processes.append(runs.start({"settings": settings, "eager": True, **kill}))
    outputs = runs.outputs_of(processes)
    codes = [process.returncode for process in processes]
    assert codes == [-signal.SIGKILL] * 2, outputs
    return folders


def resumed(images, run_dir):
    # Other random numbers: the run depends on its seed and its checkpoint alone.
    keras.utils.set_random_seed(99)
    train(runs.settings(images, run_dir, **CHANGES))


def positions(run_dir):
    folder = CheckpointFolder(run_dir / "checkpoints")
    return folder.newest().position, len(folder.paths()), len(list(folder.path.iterdir()))


@pytest.mark.every_backend
def test_killed_within_an_epoch(killed, unbroken, images, capsys, tmp_path):
    run_dir = shutil.copytree(killed["in_epoch"], tmp_path / "run")
    assert positions(run_dir) == (Position(1, 2), 2, 2)
    assert len(runs.log_of(run_dir)) == 1
    assert not (run_dir / "model.keras").exists()
    resumed(images, run_dir)
    assert "starting at epoch 1, step 2 of 2 epochs" in capsys.readouterr().err
    runs.assert_same_run(run_dir, unbroken)


def test_killed_within_the_write_of_a_checkpoint(killed, unbroken, images, tmp_path):
    run_dir = shutil.copytree(killed["in_write"], tmp_path / "run")
    # What was written of the third is there, and is not taken for a checkpoint.
    assert positions(run_dir) == (Position(1, 0), 2, 3)
    resumed(images, run_dir)
    runs.assert_same_run(run_dir, unbroken)
    assert positions(run_dir) == (Position(2, 0), 2, 2)


def test_a_damaged_newest_checkpoint(killed, unbroken, images, capsys, tmp_path):
    run_dir = shutil.copytree(killed["in_epoch"], tmp_path / "run")
    newest = CheckpointFolder(run_dir / "checkpoints").paths()[0]
    newest.write_bytes(newest.read_bytes()[:-1000])
    resumed(images, run_dir)
    output = capsys.readouterr().err
    assert f"{newest} cannot be read (" in output
    assert "starting at epoch 1, step 0 of 2 epochs" in output
    runs.assert_same_run(run_dir, unbroken)


def test_no_checkpoint_that_can_be_read(killed, images, tmp_path):
    run_dir = shutil.copytree(killed["in_epoch"], tmp_path / "run")
    for path in CheckpointFolder(run_dir / "checkpoints").paths():
        path.write_bytes(b"\x89")
    with pytest.raises(UserError, match="holds no checkpoint that can be read: delete it"):
        resumed(images, run_dir)
