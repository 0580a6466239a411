import numpy as np
import pytest

from care_keras.console.cli import UserError
from care_keras.training.run.checkpoint import CheckpointFolder, Position, read_checkpoint
from care_keras.training.run.checkpointing import BestModel, Checkpointing
from care_keras.training.run.loop import run_epochs
from care_keras.training.run.loss_watch import LossWatch
from tests.care_keras.training.run.test_state import INPUTS, TARGETS, compiled

STEPS = 6


class Data:
    """Six batches an epoch."""

    steps_per_epoch = STEPS

    def epoch(self, index, first_step=0):
        import tensorflow as tf

        arrays = (INPUTS[4 * first_step :], TARGETS[4 * first_step :])
        return tf.data.Dataset.from_tensor_slices(arrays).batch(4)


class Recorder(CheckpointFolder):
    """Remembers the positions that were written."""

    def __init__(self, path):
        super().__init__(path)
        self.written = []

    def write(self, checkpoint):
        self.written.append((checkpoint.position.epoch, checkpoint.position.step))
        return super().write(checkpoint)


def checkpointing_of(folder, every=0, writes=True, saved=None):
    watch = LossWatch(STEPS)
    # Larger is better: of a loss, the last of these.
    best = BestModel("val_loss", (saved if saved is not None else []).append)
    return watch, Checkpointing(folder, STEPS, every, writes, watch, best)


def run(folder, epochs=2, eval_every=1, **kwargs):
    model = compiled()
    callbacks = checkpointing_of(folder, **kwargs)
    start = callbacks[-1].restore(model)
    evaluation = (INPUTS[:8], TARGETS[:8])
    run_epochs(model, Data(), evaluation, callbacks, start, epochs, eval_every)
    return start


@pytest.mark.parametrize(
    ("every", "written"),
    [
        (0, [(1, 0), (2, 0)]),
        (4, [(0, 4), (1, 0), (1, 4), (2, 0)]),
        # Not twice where an epoch ends.
        (3, [(0, 3), (1, 0), (1, 3), (2, 0)]),
        (100, [(1, 0), (2, 0)]),
    ],
)
def test_when_checkpoints_are_written(tmp_path, every, written):
    folder = Recorder(tmp_path)
    run(folder, every=every)
    assert folder.written == written


def test_goes_on_at_the_same_steps_of_an_epoch(tmp_path):
    run(Recorder(tmp_path), every=4)
    # As after a kill within the second epoch.
    newest, _ = CheckpointFolder(tmp_path).paths()
    assert read_checkpoint(newest).position == Position(2, 0)
    newest.unlink()
    folder = Recorder(tmp_path)
    assert run(folder, every=1) == Position(1, 4)
    assert folder.written == [(1, 5), (2, 0)]


def test_only_the_chief_writes(tmp_path):
    folder = Recorder(tmp_path / "checkpoints")
    run(folder, every=2, writes=False)
    assert folder.written == [] and not folder.path.exists()


def test_lost_weights_are_not_written(tmp_path):
    folder = Recorder(tmp_path)
    _, checkpointing = checkpointing_of(folder)
    model = compiled()
    checkpointing.set_model(model)
    checkpointing.on_epoch_end(0, {})
    model.layers[0].bias.assign(np.full(8, np.nan))
    with pytest.raises(UserError, match=r"model/00001/bias is not a number at step 12: lower"):
        checkpointing.on_epoch_end(1, {})
    assert folder.written == [(1, 0)]


def test_the_best_model_is_kept(tmp_path):
    saved = []
    best = BestModel("val_accuracy", saved.append)
    figures = [{}, {"val_accuracy": 0.5}, {"val_accuracy": 0.25}, {}, {"val_accuracy": 0.75}]
    for epoch, logs in enumerate(figures):
        best.see(f"model of epoch {epoch + 1}", epoch, logs)
    assert saved == ["model of epoch 2", "model of epoch 5"]
    assert best.notes == {"epoch": 5, "val_accuracy": 0.75}


def test_the_best_so_far_is_remembered(tmp_path):
    saved = []
    run(CheckpointFolder(tmp_path), epochs=1, saved=saved)
    assert len(saved) == 1
    _, checkpointing = checkpointing_of(CheckpointFolder(tmp_path), saved=saved)
    checkpointing.restore(compiled())
    notes = checkpointing._best.notes
    assert notes["epoch"] == 1
    checkpointing._best.see(None, 1, {"val_loss": notes["val_loss"] / 2})
    assert len(saved) == 1
