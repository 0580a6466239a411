"""int8 files of a detector and a segmenter: outputs, metadata and JSON are what apps read."""

import json
import zipfile

import keras
import numpy as np
import pytest
from PIL import Image

from care_keras.convert.job import ConversionJob
from care_keras.convert.run import run_job
from care_keras.data.preprocessing import resize_and_crop
from care_keras.detection.anchors import Anchors
from care_keras.litert.file import LiteRTFile
from care_keras.loading import load_any
from care_keras.models import CAREBackbone, Preprocessing, RetinaNet, SemanticFPN
from care_keras.segmentation.postprocessing import class_colors
from care_keras.tflite_file import read_graph
from tests.care_keras.helpers import TINY

RECORD = Preprocessing(64, 96, fit="stretch", interpolation="bilinear")
LABELS = ("RBC", "WBC", "Platelets")
NETWORKS = {"detection": RetinaNet, "segmentation": SemanticFPN}


@pytest.fixture(scope="module", params=NETWORKS)
def converted(request, dense_folder, tmp_path_factory):
    """Task, Keras model, and path of its int8 file."""
    keras.utils.set_random_seed(1)
    backbone = CAREBackbone(**TINY.backbone_kwargs(), image_shape=(None, None, 3))
    model = NETWORKS[request.param](backbone, 3, preprocessing=RECORD, labels=LABELS)
    # Outputs of some size, as trained ones have.
    kernels = [layer.kernel for layer in model.layers if layer.name in ("logits", "box_out_conv")]
    for kernel in kernels:
        kernel.assign(10.0 * kernel)
    folder = tmp_path_factory.mktemp(request.param)
    model.save(folder / "model.keras")
    run_job(
        ConversionJob(
            model=str(folder / "model.keras"),
            output=folder / "model.tflite",
            precision="int8",
            input_kind=None,
            calibration=str(dense_folder / "bccd" / "images"),
            samples=8,
            check_samples=2,
            metadata=True,
        )
    )
    return request.param, model, folder / "model.tflite"


def test_outputs_are_as_mediapipe_takes_them(converted):
    task, _, path = converted
    outputs = {name: (one.dtype, one.shape) for name, one in LiteRTFile(path).outputs.items()}
    count = sum(Anchors((2, 3)).counts((64, 96)))
    assert (
        outputs
        == {
            "detection": {
                "location": (np.uint8, (1, count, 4)),
                "score": (np.uint8, (1, count, 3)),
            },
            "segmentation": {"outputs": (np.int8, (1, 16, 24, 3))},
        }[task]
    )


def test_outputs_are_the_models(converted, dense_folder):
    _, model, path = converted
    file = LiteRTFile(path)
    with Image.open(dense_folder / "bccd" / "images" / "BloodImage_00007.jpg") as photo:
        pixels = resize_and_crop(np.asarray(photo.convert("RGB")), RECORD)
    (name,) = file.inputs
    codes = file.run({name: pixels[None]})
    inputs = (pixels / 255.0 - RECORD.mean) / RECORD.std
    expected = keras.tree.flatten(model(inputs[None].astype(np.float32)))
    for (key, one), reference in zip(codes.items(), expected, strict=True):
        reference = keras.ops.convert_to_numpy(reference)
        error = file.outputs[key].dequantize(one) - reference
        noise = 10 * np.log10(np.square(reference).mean() / np.square(error).mean())
        assert noise > 15, key


def test_the_json_says_how_to_read_them(converted):
    task, _, path = converted
    described = json.loads(path.with_suffix(".json").read_text())
    assert described["labels"] == list(LABELS)
    assert described["preprocessing"]["fit"] == "stretch"
    found = described["task"]
    assert found["name"] == task
    if task == "segmentation":
        assert found["colors"] == class_colors(3).tolist()
        assert "largest is the pixel's class" in described["output"]["meaning"]
        return
    boxes = Anchors.from_dict(found["anchors"]).boxes((64, 96))
    np.testing.assert_allclose(found["anchor_boxes"], boxes)
    assert found["location_scales"] == [10, 10, 5, 5]
    assert ["offsets y, x" in one["meaning"] for one in described["outputs"]] == [True, False]


def test_names_and_colors_lie_in_the_file(converted):
    task, _, path = converted
    assert "TFLITE_METADATA" in read_graph(path.read_bytes()).metadata
    with zipfile.ZipFile(path) as archive:
        assert archive.read("labels.txt").decode().split() == list(LABELS)
        if task == "segmentation":
            assert archive.read("colors.txt").decode().splitlines()[0] == "128 0 0 RBC"


def test_the_file_is_integer_only(converted):
    types = {tensor.dtype for tensor in read_graph(converted[2].read_bytes()).tensors}
    assert types <= {"int8", "uint8", "int32"}


def test_quantized_forms_keep_their_task(converted, tmp_path):
    from care_keras.convert.conversion import deploy_form
    from care_keras.quantization import calibrate, quantize
    from tests.care_keras.quantization.samples import quick_ptq

    _, model, _ = converted
    quantized = quantize(deploy_form(model, RECORD, "int8"), quick_ptq())
    calibrate(quantized, [np.zeros((1, 64, 96, 3), np.float32)], quick_ptq())
    quantized.save(tmp_path / "quantized.keras")
    assert load_any(tmp_path / "quantized.keras").task == model.task
