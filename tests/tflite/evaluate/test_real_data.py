import json

import numpy as np
import pytest

from care_keras.convert.job import ConversionJob
from care_keras.convert.run import run_job
from care_keras.data.overrides import InputOverrides
from care_keras.data.preprocessing import resize_and_crop
from care_keras.data.sources import open_source
from care_keras.metrics import top_k
from care_keras.models.presets import PRESETS
from tests.tflite.tiny_classifiers import PREPROCESSING, expected_scores, tiny_classifier
from tflite.evaluate.evaluation import evaluate
from tflite.evaluate.models import open_models


@pytest.fixture(scope="module")
def nano(tmp_path_factory):
    """The bundled model in float32, with its description."""
    path = tmp_path_factory.mktemp("evaluate") / "nano.tflite"
    run_job(ConversionJob("care_nano_cifar10", path, "float32", "float", check_samples=50))
    return path


def test_accuracy_is_what_the_conversion_saw(nano):
    seen = json.loads(nano.with_suffix(".json").read_text())["check"]["files"][0]
    source = open_source("bundled:test").sample(50)
    evaluation = evaluate(source, open_models([str(nano), "care_nano_cifar10"]), workers=2)
    assert evaluation.accuracies[0].top1.value == seen["top1"] > 0.8
    assert evaluation.comparisons[0, 1].agreement.value == seen["agreement"] == 1.0


def test_cifar10_of_tfds(tfds_folder, nano):
    source = open_source("tfds:cifar10:test").sample(300)
    (accuracy,) = evaluate(source, open_models([str(nano)]), workers=2).accuracies
    # Its card's is of all of them; three standard deviations.
    top1 = PRESETS["care_nano_cifar10"].read_card()["top1"]
    assert accuracy.top1.value == pytest.approx(top1, abs=0.058)
    assert accuracy.confusion.shape == (10, 10)


def test_photos_of_a_thousand_classes(imagenet_folder, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(tiny_classifier("thousand"))
    source = open_source(str(imagenet_folder)).sample(100)
    overrides = InputOverrides(mean=PREPROCESSING.mean, std=PREPROCESSING.std)
    (model,) = open_models([str(path)], overrides)
    (accuracy,) = evaluate(source, [model], workers=2).accuracies
    pixels = [resize_and_crop(source[i], model.input.preprocessing) for i in range(100)]
    scores = expected_scores(np.stack(pixels), 1000)
    assert accuracy.top1.value == top_k(scores, source.labels, 1)
    assert accuracy.top5.value == top_k(scores, source.labels, 5)
    assert accuracy.confusion.shape == (1000, 1000) and accuracy.confusion.sum() == 100
