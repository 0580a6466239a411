import keras
import numpy as np
import pytest

from care_keras.console.cli import UserError
from care_keras.training.run.checkpoint import Checkpoint, CheckpointFolder, Position
from care_keras.training.run.state import capture, first_lost, restore, restore_within_epoch
from tests.care_keras.helpers import COMPILE

INPUTS = np.random.default_rng(0).normal(size=(24, 6)).astype("float32")
TARGETS = INPUTS[:, :1]
STEPS = 6
OPTIMIZERS = {
    "adamw": lambda: keras.optimizers.AdamW(0.01),
    "averages": lambda: keras.optimizers.AdamW(0.01, use_ema=True, ema_momentum=0.8),
    # 4 is no multiple of 3: half of the gradients of an update are in the state.
    "accumulation": lambda: keras.optimizers.AdamW(
        0.01, use_ema=True, gradient_accumulation_steps=3
    ),
    "loss_scale": lambda: keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(0.01, momentum=0.9), initial_scale=8.0
    ),
    "schedule": lambda: keras.optimizers.SGD(
        keras.optimizers.schedules.CosineDecay(0.1, decay_steps=STEPS), momentum=0.5
    ),
}


def compiled(optimizer="adamw", units=8):
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(units),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(1),
        ]
    )
    model.compile(OPTIMIZERS[optimizer](), loss="mse", metrics=["mae"], **COMPILE)
    model._symbolic_build(data_batch=(INPUTS[:4], TARGETS[:4]))
    return model


class At(keras.callbacks.Callback):
    """Calls `then(model)` after some steps of the only epoch, or before its first."""

    def __init__(self, steps, then):
        super().__init__()
        self.steps, self.then = steps, then

    def on_train_batch_begin(self, batch, logs=None):
        if self.steps == batch == 0:
            self.then(self.model)

    def on_train_batch_end(self, batch, logs=None):
        if batch + 1 == self.steps:
            self.then(self.model)


def fit(model, first_step, *callbacks):
    data = INPUTS[4 * first_step :], TARGETS[4 * first_step :]
    history = model.fit(*data, batch_size=4, shuffle=False, verbose=0, callbacks=list(callbacks))
    return {name: values[0] for name, values in history.history.items()}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_epoch_broken_in_two_is_the_whole(optimizer, tmp_path):
    folder = CheckpointFolder(tmp_path)
    keras.utils.set_random_seed(1)
    whole = compiled(optimizer)
    figures = fit(
        whole,
        0,
        At(4, lambda model: folder.write(Checkpoint(Position(0, 4), capture(model), {}))),
    )

    # Other random numbers: all that follows depends on the state alone.
    keras.utils.set_random_seed(2)
    resumed = compiled(optimizer)
    arrays = folder.newest().arrays
    restore(resumed, arrays, "here")
    again = fit(resumed, 4, At(0, lambda model: restore_within_epoch(model, arrays)))
    assert again == pytest.approx(figures, rel=1e-5)
    expected = capture(whole)
    actual = capture(resumed)
    assert actual.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(actual[name], array, rtol=1e-5, atol=1e-6, err_msg=name)


def test_every_kind_of_state_is_captured():
    names = capture(compiled("averages")).keys()
    groups = {name.split("/")[0] for name in names}
    random = {"random"} if keras.backend.backend() == "torch" else set()
    assert groups == {"model", "optimizer", "metric"} | random
    ends = {name.split("/")[-1] for name in names}
    assert {"kernel", "mean", "state", "iteration", "momentum", "total"} <= ends
    assert sum(name.endswith("average") for name in names) == 6


@pytest.mark.parametrize(
    "other", [{"units": 9}, {"optimizer": "averages"}, {"optimizer": "accumulation"}]
)
def test_state_of_another_model_or_optimizer(other):
    arrays = capture(compiled(**other))
    model = compiled()
    before = capture(model)
    with pytest.raises(UserError, match="here is a checkpoint of another model or optimizer"):
        restore(model, arrays, "here")
    for name, array in capture(model).items():
        np.testing.assert_array_equal(array, before[name])


def test_bfloat16_goes_through_a_file(tmp_path):
    keras.config.set_dtype_policy("bfloat16")
    model = compiled()
    folder = CheckpointFolder(tmp_path)
    folder.write(Checkpoint(Position(1), capture(model), {}))
    other = compiled()
    restore(other, folder.newest().arrays, "here")
    for variable, expected in zip(other.variables, model.variables, strict=True):
        assert variable.dtype == expected.dtype
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(keras.ops.cast(variable, "float32")),
            keras.ops.convert_to_numpy(keras.ops.cast(expected, "float32")),
        )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_lost_numbers_are_found(value):
    arrays = {"a": np.ones(3), "step": np.asarray(3), "b": np.asarray([1.0, value])}
    assert first_lost(arrays) == "b"
    assert first_lost({"a": np.ones(3), "step": np.asarray(3)}) is None
