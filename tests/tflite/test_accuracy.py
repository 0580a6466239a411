import json

import numpy as np
import pytest

from care_keras.convert.images import read_pixels
from care_keras.convert.job import ConversionJob, run_job
from care_keras.data.sources import open_source
from care_keras.litert import LiteRTModel
from tflite.accuracy import evaluate
from tflite.model_inputs import read_model_input


@pytest.fixture(scope="module")
def float32_file(tmp_path_factory):
    """The bundled model in float32, with its sidecar."""
    output = tmp_path_factory.mktemp("evaluate") / "nano.tflite"
    run_job(ConversionJob("care_nano_cifar10", output, "float32", "float", check_samples=100))
    return output


def test_accuracy_is_what_the_conversion_saw(float32_file):
    model_input = read_model_input(float32_file)
    input_kind, preprocessing = model_input.kind, model_input.preprocessing
    source = open_source("bundled", "test").sample(100)
    pixels, labels = read_pixels(source, preprocessing, "reading")
    result = evaluate(LiteRTModel(float32_file), input_kind, preprocessing, pixels, labels)
    seen = json.loads(float32_file.with_suffix(".json").read_text())["check"]["files"][0]
    assert result.images == 100 and result.top1 == seen["top1"]
    assert result.top1_interval[0] < result.top1 < result.top1_interval[1]
    assert result.top5 >= result.top1


def test_labels_the_model_does_not_know(float32_file):
    model_input = read_model_input(float32_file)
    input_kind, preprocessing = model_input.kind, model_input.preprocessing
    pixels = np.zeros((1, 32, 32, 3), np.uint8)
    with pytest.raises(ValueError, match="Received: a model of 10 classes"):
        evaluate(LiteRTModel(float32_file), input_kind, preprocessing, pixels, np.array([10]))
