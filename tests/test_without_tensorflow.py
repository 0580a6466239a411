"""What works where TensorFlow is not installed: training, conversion, evaluation."""

import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
from PIL import Image

from care_keras.data.sources import open_source

pytestmark = pytest.mark.every_backend
ROOT = pathlib.Path(__file__).parents[1]
ABSENT = pathlib.Path(__file__).parent / "without_tensorflow"


@pytest.fixture(scope="module")
def backend():
    """PyTorch, which computes at once what JAX compiles first, or JAX where it is alone."""
    for name in ("torch", "jax"):
        if importlib.util.find_spec(name):
            if keras.backend.backend() not in ("tensorflow", name):
                pytest.skip(f"once is enough: it is done with {name}")
            return name
    pytest.skip("Keras needs another backend here: pip install '.[torch]' or '.[jax]'")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder to work in, with two photos in each class folder."""
    folder = tmp_path_factory.mktemp("without_tensorflow")
    for split in ("train", "test"):
        source = open_source("bundled", split)
        for label, name in enumerate(source.class_names):
            place = folder / "photos" / split / name
            place.mkdir(parents=True)
            for index in np.flatnonzero(source.labels == label)[:2]:
                Image.fromarray(source[int(index)]).save(place / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def run(backend, folder):
    """Runs `python` with words in the folder; gives its output."""

    def run(*words, code=0, **environment):
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ABSENT), str(ROOT)]),
            "KERAS_BACKEND": backend,
            **environment,
        }
        done = subprocess.run(
            [sys.executable, *words],
            cwd=folder,
            env={name: value for name, value in environment.items() if value},
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == code, done.stderr[-2000:]
        return done

    return run


@pytest.fixture(scope="module")
def trained(run, folder):
    """The folder of a run that went on from bundled weights, augmented with all there is."""
    run(
        *("-m", "care_keras.train", "--model=nano", "--data=photos", "--epochs=1"),
        *("--from=care_nano_cifar10", "--learning_rate=1e-5"),
        *("--batch_size=10", "--crop=resized", "--rand_augment=9", "--random_erasing=0.25"),
        *("--mixup=0.8", "--cutmix=1", "--run_dir=trained"),
    )
    return folder / "trained"


def test_the_library(run):
    code = """
import sys
import keras, numpy as np
import care_keras
from care_keras.deploy import fuse
from care_keras.quantization import calibrate, int8_ptq, quantize

care_keras.CARE_Nano(weights="cifar10").save("nano.keras")
assert keras.models.load_model("nano.keras").name == "care_nano"
layers = keras.layers
model = keras.Sequential([layers.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.Flatten()])
images = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32")
quantized = quantize(fuse(model), int8_ptq(raw_pixels=False))
calibrate(quantized, [images])
near = keras.ops.convert_to_numpy(quantized(images)) - keras.ops.convert_to_numpy(model(images))
assert abs(near).max() < 0.2
assert "tensorflow" not in sys.modules
"""
    run("-c", code)


def test_a_folder_is_trained_on(trained):
    result = json.loads((trained / "result.json").read_text())
    assert result["images"] == 20 and result["top1"] >= 0.6
    (start,) = json.loads((trained / "environment.json").read_text())
    assert start["tensorflow"] is None


def test_int8_is_trained(run, folder, trained):
    done = run(
        *("-m", "care_keras.train", "--qat", "--from=trained/model.keras", "--data=photos"),
        *("--epochs=1", "--batch_size=20", "--learning_rate=1e-5", "--run_dir=qat"),
    )
    assert "top-1 of the float model" in done.stdout
    assert json.loads((folder / "qat" / "result.json").read_text())["top1"] >= 0.6


def test_a_file_is_converted_and_evaluated(run, folder, trained):
    run("-m", "care_keras.convert", "--int8", "--model=trained/model.keras", "--calibration=photos")
    described = json.loads((folder / "model_int8.json").read_text())
    assert described["integer_only"] is True
    assert described["versions"]["tensorflow"] is None
    done = run("-m", "tflite.evaluate", "--model=model_int8.tflite", "--data=photos")
    (share,) = re.findall(r"^model_int8.tflite +20 +([\d.]+)%", done.stdout, re.MULTILINE)
    assert float(share) >= 60


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("care_keras.convert", "--converter=tensorflow"),
            "TensorFlow's converter is needed, and TensorFlow is not installed: "
            "pip install tensorflow",
        ),
        (
            ("care_keras.train", "--model=nano", "--data=tfds:cifar10"),
            "Data sets of TFDS need TensorFlow, which is not installed: "
            "pip install tensorflow tensorflow-datasets, or give a folder",
        ),
    ],
)
def test_what_needs_tensorflow_says_so(run, words, message):
    done = run("-m", *words, code=2)
    assert done.stderr.splitlines()[-1] == f"error: {message}"
    assert "Traceback" not in done.stderr


def test_a_backend_that_is_there_takes_the_place_of_tensorflow(run):
    done = run("-m", "care_keras.models", "--model=nano", KERAS_BACKEND="", KERAS_HOME="none")
    (line,) = done.stderr.splitlines()
    assert line.startswith("tensorflow is not installed: going on with KERAS_BACKEND=")
    done = run("-m", "care_keras.models", "--model=nano", code=2, KERAS_BACKEND="tensorflow")
    assert "KERAS_BACKEND=tensorflow is set, and tensorflow is not installed: " in done.stderr
    assert "Traceback" not in done.stderr
