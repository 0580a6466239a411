import os
import re
import subprocess
import sys

import keras
import numpy as np
import pytest

import care_keras
from care_keras.convert.images import read_pixels
from care_keras.data.detection import open_detection
from care_keras.data.preprocessing import prepare
from care_keras.data.sources import open_source
from care_keras.detection.postprocessing import iou
from care_keras.emit.network import emit_tflite
from care_keras.litert.model import LiteRTModel
from care_keras.metrics import top1_agreement, top_k
from care_keras.models import load_preset
from care_keras.models.presets import BUNDLED
from care_keras.quantization import is_quantized
from care_keras.training.detection_task import DetectionJudge


@pytest.mark.parametrize("name", BUNDLED)
def test_card_says_how_the_weights_came_to_be(name):
    card = BUNDLED[name].read_card()
    programs = r"(KERAS_BACKEND=\w+ )?python -m (care_keras\.train|examples\.on_[cg]pu\.cifar10) "
    assert re.match(programs, card["command"])
    classifier = BUNDLED[name].task == "classification"
    assert card["images"] == (10_000 if classifier else 72)
    assert 0 < card["top1" if classifier else "ap"] < 1
    assert {"seed", "date", "backend"} <= set(card)
    assert BUNDLED[name].file.stat().st_size <= 4_000_000


@pytest.mark.every_backend
@pytest.mark.parametrize("name", ["care_nano_cifar10", "care_nano_cifar10_distilled"])
def test_bundled_model_is_as_right_as_its_card_says(name):
    model = load_preset(name)
    source = open_source("bundled", "test").take(range(1000))
    images = np.stack([prepare(source[i], model.preprocessing) for i in range(1000)])
    outputs = keras.ops.convert_to_numpy(model.predict(images, batch_size=250, verbose=0))
    # Three standard errors of 1000 draws.
    assert abs(top_k(outputs, source.labels, 1) - BUNDLED[name].read_card()["top1"]) < 0.035
    assert model.labels == source.class_names


def test_the_quantized_preset_is_as_right_as_its_card_says():
    """Through the file that is made of it, whose accuracy the card has too."""
    model, card = load_preset("care_nano_cifar10_qat"), BUNDLED["care_nano_cifar10_qat"].read_card()
    assert is_quantized(model)
    source = open_source("bundled", "test").take(range(1000))
    images = read_pixels(source, model.preprocessing, "reading")[0]
    outputs = LiteRTModel(emit_tflite(model, (32, 32), input_kind="rgb_uint8")).predict(images)
    assert abs(top_k(outputs, source.labels, 1) - card["top1_int8"]) < 0.035
    # The Keras form and the file round alike.
    expected = keras.ops.convert_to_numpy(model(images[:100].astype("float32"), training=False))
    assert top1_agreement(outputs[:100], expected) >= 0.98
    assert model.labels == source.class_names


def test_the_detector_is_as_right_as_its_card_says(dense_folder):
    model, card = load_preset("care_xs_bccd"), BUNDLED["care_xs_bccd"].read_card()
    record = model.preprocessing
    source = open_detection(str(dense_folder / "bccd"), "test")
    assert len(source) == card["images"] and model.labels == source.class_names

    def outputs(indices):
        images = np.stack([prepare(source[index], record) for index in indices])
        return [keras.ops.convert_to_numpy(one) for one in model.predict_on_batch(images)]

    size = record.height, record.width
    figures = DetectionJudge(model.anchors, size).figures(source, outputs)
    assert figures["ap"] == pytest.approx(card["ap"], abs=1e-3)
    assert figures["ap50"] == pytest.approx(card["ap50"], abs=1e-3)


def test_the_detector_finds_what_is_bundled():
    model = load_preset("care_xs_bccd")
    source = open_detection("bundled", "test")
    judge = DetectionJudge(model.anchors, (model.preprocessing.height, model.preprocessing.width))
    image = prepare(source[0], model.preprocessing)[None]
    found = [keras.ops.convert_to_numpy(one)[0] for one in model(image)]
    boxes, scores, labels = judge.detections(found, source.image_size(0))
    known = source.objects(0)
    white = known.boxes[known.labels == source.class_names.index("WBC")][0]
    best = labels == source.class_names.index("WBC")
    assert iou(white, boxes[best][scores[best] > 0.5]).max() > 0.75


def test_a_fresh_process_loads_them():
    """Where nothing else has imported the classes that the files name."""
    code = (
        "from care_keras.models import load_preset; "
        f"print(*[load_preset(name).name for name in {sorted(BUNDLED, reverse=True)!r}])"
    )
    path = os.path.dirname(os.path.dirname(care_keras.__file__))
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-500:]
    assert done.stdout.split() == [load_preset(name).name for name in sorted(BUNDLED, reverse=True)]


def test_the_factory_gives_the_same_weights_and_labels():
    built = care_keras.CARE_Nano(weights="cifar10", classifier_activation=None)
    assert built.labels == load_preset("care_nano_cifar10").labels
    assert built.labels[3] == "cat"
    for ours, theirs in zip(built.weights, load_preset("care_nano_cifar10").weights, strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(ours), keras.ops.convert_to_numpy(theirs)
        )


def test_unknown_name():
    with pytest.raises(ValueError, match="must be one of .*care_nano_cifar10.*Received: name='x'"):
        load_preset("x")
