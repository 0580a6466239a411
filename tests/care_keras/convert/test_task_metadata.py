"""Which files have metadata and labels for MediaPipe, and what the JSON says in words."""

import dataclasses
import io
import json
import zipfile

import keras
import pytest

from care_keras.convert.conversion import convert_model
from care_keras.convert.run import run_job
from care_keras.convert.task_metadata import (
    NotAClassifierError,
    what_mediapipe_refuses,
    with_task_metadata,
)
from care_keras.data.record import Preprocessing
from care_keras.tflite_file import read_graph
from tests.care_keras.convert.test_run import picking, small_job
from tests.care_keras.helpers import tiny_classifier

RECORD = Preprocessing(16, 16, (0.5, 0.4, 0.3), (0.2, 0.2, 0.2))
LABELS = tuple(f"class {place}" for place in range(4))


def classifier(classes=4, activation="softmax", channels=3):
    keras.utils.set_random_seed(0)
    images = keras.Input((16, 16, channels))
    x = keras.layers.Conv2D(4, 3, activation="relu")(images)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, keras.layers.Dense(classes, activation=activation)(x))


@pytest.fixture(scope="module")
def content():
    return convert_model(classifier(), RECORD, "float32").content


@pytest.fixture(scope="module")
def of_pixels():
    return convert_model(classifier(), RECORD, "float32", "rgb_uint8").content


def test_a_classifier_of_pixels_is_whole(of_pixels):
    written = with_task_metadata(of_pixels, "some/net.keras", RECORD, LABELS, "softmax")
    assert "TFLITE_METADATA" in read_graph(written).metadata
    with zipfile.ZipFile(io.BytesIO(written)) as archive:
        assert archive.read("labels.txt").decode() == "".join(f"{one}\n" for one in LABELS)
    assert what_mediapipe_refuses(of_pixels, RECORD) is None


def test_means_of_channels_are_told(content):
    assert "--input=rgb_uint8" in what_mediapipe_refuses(content, RECORD)
    alike = dataclasses.replace(RECORD, mean=(0.5,) * 3)
    assert what_mediapipe_refuses(content, alike) is None


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"preprocessing": None}, "give --mean and --std"),
        ({"labels": None}, "does not name its classes"),
        ({"labels": LABELS[:3]}, "4 outputs and 3 names"),
        ({"labels": (*LABELS[:3], "two\nlines")}, "labels.txt has a name a line"),
        ({"labels": (*LABELS[:3], " ")}, "labels.txt has a name a line"),
    ],
)
def test_what_is_no_classifier_says_why(content, changes, match):
    given = {"preprocessing": RECORD, "labels": LABELS, "activation": None} | changes
    with pytest.raises(NotAClassifierError, match=match):
        with_task_metadata(content, "net.keras", **given)


def batch_of_two():
    return convert_model(classifier(), RECORD, "float32", batch=2).content


def two_outputs():
    return convert_model(picking("both"), RECORD, "float32").content


def a_map():
    return convert_model(picking("map"), RECORD, "float32").content


@pytest.mark.parametrize(
    ("make", "match"),
    [(batch_of_two, "takes one image"), (two_outputs, "2 outputs"), (a_map, "takes one image")],
)
def test_files_that_are_no_classifier(make, match):
    with pytest.raises(NotAClassifierError, match=match):
        with_task_metadata(make(), "net.keras", RECORD, LABELS, None)


@pytest.fixture(scope="module")
def labelled(preprocessing):
    """A CARE classifier that names its classes."""
    labels = tuple(f"class {place}" for place in range(10))
    return tiny_classifier(
        classes=10, preprocessing=preprocessing, labels=labels, classifier_activation=None
    )


def metadata_of(job):
    return read_graph(job.output).metadata.keys()


@pytest.mark.parametrize("metadata", [None, True, False])
def test_whether_it_is_there(tmp_path, labelled, metadata):
    """By default it is in the file of a classifier that names its classes."""
    job = small_job(tmp_path, labelled, input_kind="rgb_uint8", metadata=metadata)
    result = run_job(job)
    assert ("TFLITE_METADATA" in metadata_of(job)) is (metadata is not False)
    assert not any("MediaPipe" in one for one in result.warnings)
    sidecar = json.loads(job.output.with_suffix(".json").read_text())
    assert sidecar["input"]["meaning"] == "the bytes of the pixels, 0 to 255, as they are"
    assert sidecar["output"]["meaning"].startswith("float32 values. Logits, one for each class")
    assert sidecar["size_bytes"] == job.output.stat().st_size


def test_int8_outputs_are_warned_of_where_it_was_asked_for(tmp_path, labelled):
    job = small_job(tmp_path, labelled, "int8", input_kind=None, metadata=True, samples=16)
    assert "MediaPipe takes no int8 outputs: add --output_type=uint8" in run_job(job).warnings
    sidecar = json.loads(job.output.with_suffix(".json").read_text())
    assert sidecar["output"]["meaning"].startswith(
        "int8 codes: value = scale * (code - zero_point)"
    )


def test_a_model_without_names_of_classes(tmp_path):
    values = {"mean": (0.5,) * 3, "std": (0.5,) * 3}
    job = small_job(tmp_path, classifier(10), **values)
    run_job(job)
    assert not metadata_of(job)
    sidecar = json.loads(job.output.with_suffix(".json").read_text())
    # Without names nobody says that the numbers are scores of classes.
    assert sidecar["output"]["activation"] == "softmax"
    assert sidecar["output"]["meaning"] == "float32 values"
    job.output.unlink()
    with pytest.raises(ValueError, match="does not name its classes.*Received: model="):
        run_job(dataclasses.replace(job, metadata=True))
    assert not job.output.exists()
