"""Short runs on few real images, which the tests of training share."""

import contextlib
import csv
import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
from PIL import Image

from care_keras.data.preprocessing import resize_and_crop
from care_keras.data.sources import Source, open_source
from care_keras.models import Preprocessing
from care_keras.training.config import TrainingConfig
from tests.care_keras.helpers import TINY

# Its second block may be dropped; the last one never is.
TINY_RUN = dataclasses.replace(TINY, depths=(2, 1))
# For engines whose compilers take longer than the training.
TINIEST_RUN = dataclasses.replace(
    TINY,
    depths=(1,),
    channels=(8,),
    expansion_ratios=((1, 1),),
    head_dims=(None,),
)
# All that a run draws at random, in few variables: each costs in every eager step.
TWO_BLOCKS_RUN = dataclasses.replace(TINIEST_RUN, depths=(2,))
CLASSES = ("cat", "dog", "frog")


def write_split(folder: pathlib.Path, source, per_class: int, classes=CLASSES) -> None:
    """Real images of some classes, in class folders."""
    for name in classes:
        (folder / name).mkdir(parents=True)
        indices = np.flatnonzero(source.labels == source.class_names.index(name))[:per_class]
        for i in indices:
            Image.fromarray(source[i]).save(folder / name / f"{i}.png")


def write_images(folder: pathlib.Path) -> pathlib.Path:
    """Three classes: 24 images to train on, 12 to evaluate on."""
    write_split(folder / "train", open_source("bundled", "train"), 8)
    write_split(folder / "test", open_source("bundled", "test"), 4)
    return folder


def pixels_of(source: Source, preprocessing: Preprocessing) -> np.ndarray:
    """All images of a source as evaluation sees them, uint8 `(images, height, width, 3)`."""
    return np.stack([resize_and_crop(source[i], preprocessing) for i in range(len(source))])


def settings(images: pathlib.Path, run_dir: pathlib.Path, **changes) -> TrainingConfig:
    """Three epochs of four steps, the first at low resolution, of a model with random layers."""
    arguments = {
        "model": "tiny",
        "data": str(images),
        "run_dir": run_dir,
        "epochs": 3,
        "batch_size": 6,
        "drop_path": 0.6,
        "low_resolution": 8,
        "low_resolution_epochs": 1,
        "eval_every": 2,
        "seed": 3,
        "tensorboard": False,
    }
    return TrainingConfig(**{**arguments, **changes})


def log_of(run_dir: pathlib.Path) -> list[dict]:
    """Rows of a run's log, as text."""
    with (run_dir / "log.csv").open() as stream:
        return list(csv.DictReader(stream))


def assert_same_run(actual: pathlib.Path, expected: pathlib.Path, atol: float = 5e-4) -> None:
    """Asserts that two finished runs came to the same: weights, best weights, every figure.

    Of a bias before a BatchNorm the gradient is rounding noise, which Adam makes steps of; other
    masks, another order or rate would move weights by hundredths.
    """
    for name in ("model.keras", "best.keras"):
        weights = [
            keras.models.load_model(folder / name).get_weights() for folder in (actual, expected)
        ]
        for weight, other in zip(*weights, strict=True):
            np.testing.assert_allclose(weight, other, rtol=0, atol=atol)
    rows, others = log_of(actual), log_of(expected)
    assert len(rows) == len(others)
    for row, other in zip(rows, others, strict=True):
        assert row.keys() == other.keys()
        for name in row.keys() - {"seconds", "images_per_second"}:
            assert row[name] == other[name] or np.isclose(
                float(row[name]), float(other[name]), rtol=1e-3
            ), name


def start(arguments: dict, **environment: str) -> subprocess.Popen:
    """Starts `train_tiny` in a process of its own, with what it takes."""
    command = [sys.executable, "-m", "tests.care_keras.training.train_tiny"]
    return subprocess.Popen(
        [*command, json.dumps(arguments, default=os.fspath)],
        cwd=pathlib.Path(__file__).parents[3],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@contextlib.contextmanager
def ended(processes: list[subprocess.Popen]):
    """Ends what is left of the processes that were started, whatever happens."""
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
            process.stdout.close()


def outputs_of(processes: list[subprocess.Popen], timeout: float = 300) -> list[str]:
    """What the processes have printed, once all of them have ended."""
    with ended(processes):
        return [process.communicate(timeout=timeout)[0] for process in processes]
