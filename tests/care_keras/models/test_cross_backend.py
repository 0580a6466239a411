"""A model saved under one backend is the same model under the others."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

from care_keras.models import CARE_Nano
from tests.care_keras.helpers import infer, numpy_of, random_images, randomize_weights

ROOT = pathlib.Path(__file__).parents[3]
OTHER_BACKENDS = sorted({"jax", "tensorflow", "torch"} - {keras.backend.backend()})

PREDICT = """
import sys
import keras
import numpy as np
import care_keras

model = keras.models.load_model(sys.argv[1])
outputs = model.predict_on_batch(np.load(sys.argv[2]))
np.save(sys.argv[3], np.asarray(outputs))
print(keras.backend.backend())
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Folder of a saved model, images, and the outputs under this backend."""
    folder = tmp_path_factory.mktemp("saved")
    model = CARE_Nano(classifier_activation=None)
    randomize_weights(model)
    images = random_images(2, 32, 40)
    model.save(folder / "model.keras")
    np.save(folder / "images.npy", images)
    np.save(folder / "expected.npy", numpy_of(infer(model, images)))
    return folder


@pytest.mark.parametrize("backend", OTHER_BACKENDS)
def test_loads_under_another_backend(saved, backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    files = [saved / "model.keras", saved / "images.npy", tmp_path / "outputs.npy"]
    result = subprocess.run(
        [sys.executable, "-c", PREDICT, *map(os.fspath, files)],
        env=os.environ | {"KERAS_BACKEND": backend, "PYTHONPATH": os.fspath(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split()[-1] == backend
    expected = np.load(saved / "expected.npy")
    np.testing.assert_allclose(
        np.load(tmp_path / "outputs.npy"), expected, rtol=0, atol=1e-5 * np.abs(expected).max()
    )
