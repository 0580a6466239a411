import errno

import keras
import numpy as np
import pytest

from care_keras.cli import UserError
from care_keras.training.checkpoint import Checkpoint
from tests.care_keras.helpers import COMPILE

INPUTS = np.random.default_rng(0).normal(size=(16, 6)).astype("float32")
TARGETS = INPUTS[:, :1]
STEPS = 4


def compiled(units=8):
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(units), keras.layers.Dense(1)])
    model.compile(keras.optimizers.AdamW(0.01), loss="mse", **COMPILE)
    return model


def state_of(model):
    variables = model.weights + model.optimizer.variables
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def trained(path, epochs=2):
    model = compiled()
    checkpoint = Checkpoint(path, STEPS)
    model.fit(INPUTS, TARGETS, batch_size=4, epochs=epochs, verbose=0, callbacks=[checkpoint])
    return model


def test_restores_weights_optimizer_and_epoch(tmp_path):
    path = tmp_path / "last.weights.h5"
    model = trained(path, epochs=3)
    restored = compiled()
    assert Checkpoint(path, STEPS).restore(restored) == 3
    assert int(restored.optimizer.iterations) == 3 * STEPS
    for actual, expected in zip(state_of(restored), state_of(model), strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_starts_from_the_beginning_without_a_file(tmp_path):
    assert Checkpoint(tmp_path / "last.weights.h5", STEPS).restore(compiled()) == 0


@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.99])
def test_truncated_file(tmp_path, part):
    path = tmp_path / "last.weights.h5"
    trained(path, epochs=1)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(UserError, match=r"last\.weights\.h5 is damaged.*: delete it to start"):
        Checkpoint(path, STEPS).restore(compiled())


def test_file_of_another_model(tmp_path):
    path = tmp_path / "last.weights.h5"
    trained(path, epochs=1)
    with pytest.raises(UserError, match="or a checkpoint of another model") as error:
        Checkpoint(path, STEPS).restore(compiled(units=9))
    assert "\n" not in str(error.value)


def attached(path, model):
    checkpoint = Checkpoint(path, STEPS)
    checkpoint.set_model(model)
    return checkpoint


def test_an_interrupted_write_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "last.weights.h5"
    model = trained(path, epochs=1)
    content = path.read_bytes()

    def interrupted(file, overwrite):
        file.write_bytes(content[:100])
        raise KeyboardInterrupt

    monkeypatch.setattr(model, "save_weights", interrupted)
    with pytest.raises(KeyboardInterrupt):
        attached(path, model).on_epoch_end(1)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, full_disk):
    path = tmp_path / "last.weights.h5"
    path.write_bytes(b"the last one")
    model = compiled(units=2000)
    model.optimizer.build(model.trainable_variables)
    with full_disk(), pytest.raises(OSError, match="") as error:
        attached(path, model).on_epoch_end(0)
    assert error.value.errno in (errno.EFBIG, errno.ENOSPC)
    assert path.read_bytes() == b"the last one"
    assert list(tmp_path.iterdir()) == [path]


def test_enough_room_is_asked_for(tmp_path):
    """Less than the file takes would let it run into the full disk after all."""
    from care_keras.training.checkpoint import _check_room

    path = tmp_path / "last.weights.h5"
    model = trained(path, epochs=1)
    size = path.stat().st_size
    _check_room(tmp_path / "room", model.variables + model.optimizer.variables)
    assert size <= (tmp_path / "room").stat().st_size < 3 * size


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_lost_weights_do_not_replace_good_ones(tmp_path, value):
    path = tmp_path / "last.weights.h5"
    model = trained(path, epochs=1)
    content = path.read_bytes()
    bias = model.layers[-1].bias
    bias.assign([value])
    model.stop_training = False
    attached(path, model).on_epoch_end(1)
    assert path.read_bytes() == content
    assert model.stop_training
