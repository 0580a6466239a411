"""TensorFlow's converter in a process of its own, and what becomes of it."""

import importlib.util
import subprocess
import sys

import keras
import numpy as np
import pytest

from care_keras.console.optional import MissingDependencyError
from care_keras.convert import in_child
from care_keras.convert.run import run_job
from care_keras.litert.file import LiteRTFile
from tests.care_keras.convert.test_run import small_job
from tests.care_keras.helpers import infer

# Leaves a file behind, as the converter's autograph does, and dies.
DIES = "import os, signal, tempfile; tempfile.mkstemp(); os.kill(os.getpid(), signal.SIGSEGV)"


def recurrent_model():
    images = keras.Input((8, 8, 3))
    x = keras.layers.Reshape((8, 24))(images)
    x = keras.layers.Bidirectional(keras.layers.GRU(3), name="both_ways")(x)
    return keras.Model(images, keras.layers.Dense(4)(x))


def test_a_death_names_the_layers_and_leaves_no_files(preprocessing, tmp_path, monkeypatch):
    run = subprocess.run

    def dying(command, **options):
        return run([sys.executable, "-c", DIES], **options)

    monkeypatch.setattr(in_child.subprocess, "run", dying)
    monkeypatch.setattr(in_child.tempfile, "tempdir", str(tmp_path))
    expected = r"died of the model \(SIGSEGV\).* Received: 'both_ways' \(Bidirectional\)$"
    with pytest.raises(ValueError, match=expected):
        in_child.convert_in_child(recurrent_model(), preprocessing, "float32")
    assert not list(tmp_path.iterdir())


def test_int8_of_recurrent_layers_names_them(tmp_path):
    job = small_job(tmp_path, recurrent_model(), precision="int8", samples=4)
    with pytest.raises(ValueError, match=r"'both_ways' \(Bidirectional\)") as error:
        run_job(job)
    assert "\n" not in str(error.value)
    assert not list(job.output.parent.iterdir())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"precision": "int8", "samples": 4},
            r"needed for 'both_ways' \(Bidirectional\), which there are no primitives of, and ",
        ),
        ({}, r"needed for 'both_ways' \(Bidirectional\), which there are no primitives of, and "),
        ({"precision": "dynamic"}, r"^TensorFlow's converter is needed, and "),
        ({"converter": "tensorflow"}, r"^TensorFlow's converter is needed, and "),
    ],
)
def test_what_it_is_needed_for_without_tensorflow(tmp_path, monkeypatch, changes, message):
    job = small_job(tmp_path, recurrent_model(), **changes)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    ending = r"TensorFlow is not installed: pip install tensorflow$"
    with pytest.raises(MissingDependencyError, match=message + ending):
        run_job(job)
    assert not list(job.output.parent.iterdir())


class Unsaved(keras.layers.Layer):
    """A layer of someone else's that cannot say its config."""

    def call(self, inputs):
        return keras.ops.celu(inputs)

    def get_config(self):
        raise AttributeError("no such setting")


def test_a_model_that_cannot_be_saved(preprocessing, tmp_path):
    images = keras.Input((16, 24, 3))
    x = keras.layers.GlobalAveragePooling2D()(Unsaved(name="unsaved")(images))
    model = keras.Model(images, keras.layers.Dense(4)(x))
    if keras.backend.backend() != "tensorflow":
        with pytest.raises(ValueError, match="cannot be saved: no such setting"):
            in_child.convert_in_child(model, preprocessing, "float32")
        return
    file = LiteRTFile(in_child.convert_in_child(model, preprocessing, "float32"))
    x = np.random.default_rng(0).normal(size=(1, 16, 24, 3)).astype(np.float32)
    (found,) = file.run(x).values()
    np.testing.assert_allclose(found, infer(model, x), atol=1e-5)
