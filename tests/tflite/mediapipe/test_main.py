"""Our files in MediaPipe Tasks: what `python -m tflite.mediapipe` finds."""

import keras
import pytest

from tests.needed import need_package
from tests.tflite.commands import run_here, run_process

_FEW = ["--samples=8", "--check_samples=16"]
_TRAINED, _TRAINED_INT8 = "--model=care_nano_cifar10", "--model=care_nano_cifar10_qat"
_DRAWN = "--model=drawn.keras"
# What a file is converted with, by its name. Only where what is right counts is it trained.
_FILES = {
    "uint8": ["--int8", "--output_type=uint8", _TRAINED_INT8],
    "float": ["--int8", "--output_type=float", _TRAINED_INT8],
    "float32": ["--precision=float32", "--input=rgb_uint8", _TRAINED],
    "int8": ["--int8", _DRAWN],
    "normalized": ["--precision=float32", _TRAINED],
    "unlabelled": ["--precision=float32", "--input=rgb_uint8", "--nometadata", _DRAWN],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Classifiers in files that MediaPipe takes, and in others."""
    need_package("mediapipe", "mediapipe")
    folder = tmp_path_factory.mktemp("mediapipe")
    images = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu")(images)
    x = keras.layers.Dense(10)(keras.layers.GlobalAveragePooling2D()(x))
    keras.Model(images, x).save(folder / "drawn.keras")
    for name, flags in _FILES.items():
        done = run_here(
            "care_keras.convert", *flags, *_FEW, f"--output={name}.tflite", folder=folder
        )
        assert done.returncode == 0, done.stderr
    return folder


def rows_of(done):
    """`{model: the rest of its row}`"""
    lines = [line.split() for line in done.stdout.splitlines() if ".tflite " in line]
    return {line[0]: line[1:] for line in lines}


def test_classes_and_scores_are_litert_s(folder):
    names = ["uint8", "float", "float32"]
    flags = [f"--model={name}.tflite" for name in names]
    done = run_process("tflite.mediapipe", *flags, "--samples=100", folder=folder)
    assert done.returncode == 0, done.stderr
    rows = rows_of(done)
    assert rows.keys() == {f"{name}.tflite" for name in names}
    for images, same, difference, mediapipe, litert, *labels in rows.values():
        assert (images, same, labels) == ("100", "100.00%", ["in", "the", "file"])
        assert mediapipe == litert and float(difference) < 1e-5
        # The bundled model's, 87 %.
        assert float(litert.rstrip("%")) > 80


def test_a_file_without_metadata_has_no_names(folder):
    done = run_here("tflite.mediapipe", "--model=unlabelled.tflite", "--samples=40", folder=folder)
    assert done.returncode == 0, done.stderr
    assert rows_of(done)["unlabelled.tflite"][-1] == "none"


@pytest.mark.parametrize(
    ("name", "cause", "way_out"),
    [
        ("int8", "found INT8 instead", "convert with --output_type=uint8"),
        ("normalized", "Per-channel image normalization", "convert with --input=rgb_uint8"),
    ],
)
def test_what_mediapipe_refuses_is_told_with_a_way_out(folder, name, cause, way_out):
    done = run_here("tflite.mediapipe", f"--model={name}.tflite", "--samples=4", folder=folder)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: MediaPipe") and cause in last and last.endswith(way_out)
