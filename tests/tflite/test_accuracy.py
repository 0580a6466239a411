import json

import numpy as np
import pytest

from care_keras.convert.images import read_pixels
from care_keras.convert.job import ConversionJob, run_job
from care_keras.data.sources import open_source
from care_keras.litert import LiteRTModel
from tflite.accuracy import evaluate, read_sidecar


@pytest.fixture(scope="module")
def float32_file(tmp_path_factory):
    """The bundled model in float32, with its sidecar."""
    output = tmp_path_factory.mktemp("evaluate") / "nano.tflite"
    run_job(ConversionJob("care_nano_cifar10", output, "float32", "float", check_samples=100))
    return output


def test_accuracy_is_what_the_conversion_saw(float32_file):
    input_kind, preprocessing = read_sidecar(float32_file)
    source = open_source("bundled", "test").sample(100)
    pixels, labels = read_pixels(source, preprocessing, "reading")
    result = evaluate(LiteRTModel(float32_file), input_kind, preprocessing, pixels, labels)
    seen = json.loads(float32_file.with_suffix(".json").read_text())["check"]["files"][0]
    assert result.images == 100 and result.top1 == seen["top1"]
    assert result.top1_interval[0] < result.top1 < result.top1_interval[1]
    assert result.top5 >= result.top1


def test_labels_the_model_does_not_know(float32_file):
    input_kind, preprocessing = read_sidecar(float32_file)
    pixels = np.zeros((1, 32, 32, 3), np.uint8)
    with pytest.raises(ValueError, match="Received: a model of 10 classes"):
        evaluate(LiteRTModel(float32_file), input_kind, preprocessing, pixels, np.array([10]))


def test_a_missing_or_foreign_sidecar(tmp_path):
    with pytest.raises(ValueError, match="model.json is missing"):
        read_sidecar(tmp_path / "model.tflite")
    (tmp_path / "model.json").write_text('{"input": 3}')
    with pytest.raises(ValueError, match="not a description written by care_keras.convert"):
        read_sidecar(tmp_path / "model.tflite")
