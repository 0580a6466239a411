import math

import pytest

from care_keras.console.cli import UserError
from care_keras.training.run.loss_watch import LossWatch


def watch(losses, epoch=2):
    callback = LossWatch(steps_per_epoch=10)
    callback.on_epoch_begin(epoch)
    for step, loss in enumerate(losses):
        callback.on_train_batch_end(step, {"loss": loss})
    callback.on_epoch_end(epoch)


@pytest.mark.parametrize("lost", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("step", [0, 3, 4])
def test_names_the_step(lost, step):
    losses = [1.0, 0.5, 1e30, 0.0, -1.0]
    watch(losses)
    losses[step] = lost
    message = f"the loss is not a number at step {20 + step + 1}: lower --learning_rate"
    with pytest.raises(UserError, match=message):
        watch(losses)


def test_looks_at_a_step_when_the_next_one_is_under_way():
    looked_at = []

    class Loss:
        def __init__(self, step):
            self.step = step

        def __float__(self):
            looked_at.append(self.step)
            return 1.0

    callback = LossWatch(steps_per_epoch=10)
    callback.on_epoch_begin(0)
    for step in range(3):
        callback.on_train_batch_end(step, {"loss": Loss(step)})
        assert looked_at == list(range(step))
    # Before a checkpoint is written, all are known.
    callback.look()
    assert looked_at == [0, 1, 2]
