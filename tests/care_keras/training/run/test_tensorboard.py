import sys

import keras
import numpy as np

from care_keras.training.run.tensorboard import tensorboard_callbacks
from tests.care_keras.helpers import COMPILE


def scalars_of(folder):
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    return {
        (path.parent.name, value.tag, event.step)
        for path in folder.rglob("events*")
        for event in EventFileLoader(str(path)).Load()
        for value in event.summary.value
    }


def test_each_epoch_is_logged(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", **COMPILE)
    data = np.zeros((8, 3), "float32"), np.zeros((8, 1), "float32")
    callbacks = tensorboard_callbacks(tmp_path, say=print)
    model.fit(*data, epochs=2, validation_data=data, callbacks=callbacks, verbose=0)
    scalars = scalars_of(tmp_path)
    for epoch in range(2):
        assert ("train", "epoch_loss", epoch) in scalars
        assert ("train", "epoch_learning_rate", epoch) in scalars
        assert ("validation", "epoch_loss", epoch) in scalars


def test_without_tensorboard_a_line_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    lines = []
    assert tensorboard_callbacks(tmp_path, lines.append) == []
    assert len(lines) == 1 and lines[0].endswith("[report]'")
