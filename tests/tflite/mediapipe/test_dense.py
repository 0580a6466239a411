"""Detectors and segmenters in MediaPipe Tasks: the boxes and masks of our NumPy code."""

import math

import keras
import numpy as np
import pytest

from care_keras.convert.job import ConversionJob
from care_keras.convert.run import run_job
from care_keras.models import CAREBackbone, Preprocessing, RetinaNet, SemanticFPN
from tests.care_keras.helpers import TINY
from tests.needed import need_package
from tests.tflite.commands import run_here
from tflite.mediapipe.comparisons import Boxes, Pixels

NETWORKS = {"detection": RetinaNet, "segmentation": SemanticFPN}
RECORD = Preprocessing(64, 96, fit="stretch", interpolation="bilinear")


@pytest.fixture(scope="module", params=NETWORKS)
def converted(request, dense_folder, tmp_path_factory):
    """Folder with an int8 file `TASK.tflite`, of drawn weights whose outputs are of some size."""
    need_package("mediapipe", "mediapipe")
    keras.utils.set_random_seed(1)
    backbone = CAREBackbone(**TINY.backbone_kwargs(), image_shape=(None, None, 3))
    labels = ("RBC", "WBC", "Platelets")
    model = NETWORKS[request.param](backbone, 3, preprocessing=RECORD, labels=labels)
    for layer in model.layers:
        if layer.name in ("logits", "box_out_conv", "class_out_conv"):
            layer.kernel.assign(10.0 * layer.kernel)
        if layer.name == "class_out_conv":
            # Some scores above the 0.3 from which on boxes are compared.
            layer.bias.assign(np.full(3, math.log(0.25 / 0.75)))
    folder = tmp_path_factory.mktemp(request.param)
    model.save(folder / "model.keras")
    job = ConversionJob(
        model=str(folder / "model.keras"),
        output=folder / f"{request.param}.tflite",
        precision="int8",
        input_kind=None,
        calibration=str(dense_folder / "bccd" / "images"),
        samples=16,
        check_samples=8,
        metadata=True,
    )
    run_job(job)
    return folder, request.param, str(dense_folder / "bccd" / "images")


def test_boxes_and_masks_are_ours(converted):
    folder, task, images = converted
    flags = [f"--model={task}.tflite", f"--data={images}", "--samples=6"]
    done = run_here("tflite.mediapipe", *flags, folder=folder)
    assert done.returncode == 0, done.stderr
    (row,) = (line.split() for line in done.stdout.splitlines() if ".tflite " in line)
    assert row[1] == "6" and row[-3:] == ["in", "the", "file"]
    if task == "detection":
        boxes, missed, pixels = row[2:5]
        assert int(boxes) >= 6 and missed == "0" and float(pixels) <= 1
    else:
        assert float(row[2].rstrip("%")) >= 99.9 and int(row[3]) > 1


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Boxes("m", 1, True, "", 5, 2.5, 0, 0.0), "boxes differ by 2.5 pixels"),
        (Boxes("m", 1, True, "", 5, 0.5, 0, 0.2), "scores differ by 0.2"),
        (Boxes("m", 1, True, "", 5, 0.5, 2, 0.0), "2 boxes are missed"),
        (Boxes("m", 1, True, "", 5, 0.5, 0, 0.0), None),
        (Pixels("m", 1, True, "", 0.99, 3), "99.000% of the pixels of one class"),
        (Pixels("m", 1, True, "", 0.9995, 3), None),
    ],
)
def test_what_fails(found, said):
    assert found.failure(1e-4) == said
