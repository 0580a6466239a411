"""Files that an earlier state saved, when its modules had other names, still load.

`saved_before_0_2/` was written at commit d87f7be by `model.save` and holds what the models
answered there for the pixels beside them, under TensorFlow.
"""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import care_keras
from care_keras.data.preprocessing import normalize
from care_keras.loading import load_any
from tests.care_keras.helpers import numpy_of

FOLDER = pathlib.Path(__file__).parent / "saved_before_0_2"


@pytest.mark.parametrize("form", ["classifier", "quantized_form"])
def test_it_answers_as_before(form):
    before = np.load(FOLDER / "outputs.npz")
    model = load_any(FOLDER / f"{form}.keras")
    pixels = before["pixels"]
    raw = form == "quantized_form"
    images = pixels.astype(np.float32) if raw else normalize(pixels, model.preprocessing)
    np.testing.assert_allclose(numpy_of(model(images)), before[form], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("imports", ["keras, care_keras", "care_keras, keras"])
def test_an_app_loads_them_after_importing_the_package_alone(imports):
    paths = [os.fspath(FOLDER / f"{form}.keras") for form in ("quantized_form", "classifier")]
    code = f"import {imports}; print(*[keras.models.load_model(x).name for x in {paths!r}])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": os.fspath(pathlib.Path(care_keras.__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 2
