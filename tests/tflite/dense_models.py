"""A tiny detector and segmenter of real photos' classes: Keras files, and what convert makes."""

import dataclasses
import pathlib

import keras
import numpy as np
import pytest

from care_keras.convert import run
from care_keras.convert.job import ConversionJob
from care_keras.data.preprocessing import prepare
from care_keras.data.sources import open_source
from care_keras.models import CAREBackbone, Preprocessing, RetinaNet, SemanticFPN
from tests.care_keras.helpers import TINY
from tests.care_keras.quantization.samples import quick_ptq

RECORD = Preprocessing(64, 96, fit="stretch", interpolation="bilinear")
CLASSES = {
    "detection": ("RBC", "WBC", "Platelets"),
    "segmentation": (
        *("sky", "building", "pole", "road", "pavement", "tree"),
        *("sign_symbol", "fence", "car", "pedestrian", "bicyclist"),
    ),
}
DATA = {"detection": "bccd", "segmentation": "camvid"}
_NETWORKS = {"detection": RetinaNet, "segmentation": SemanticFPN}
# Outputs of some size, as trained models have: boxes of all classes.
_LOUDER = {"class_out_conv": 100.0}


def write_dense_model(
    task: str, folder: pathlib.Path, photos: pathlib.Path, precision: str = "int8"
) -> tuple[pathlib.Path, pathlib.Path]:
    """Writes a network of random weights.

    Args:
        task: `"detection"` or `"segmentation"`.
        folder: Where.
        photos: Images to calibrate on.
        precision: Of the .tflite file.

    Returns:
        The .keras file, and the .tflite file with its JSON beside it.
    """
    keras.utils.set_random_seed(1)
    backbone = CAREBackbone(**TINY.backbone_kwargs(), image_shape=(None, None, 3))
    names = CLASSES[task]
    model = _NETWORKS[task](backbone, len(names), preprocessing=RECORD, labels=names)
    _normalize(model, photos)
    for layer in model.layers:
        if layer.name in _LOUDER:
            layer.kernel.assign(_LOUDER[layer.name] * layer.kernel)
    saved, converted = folder / f"{task}.keras", folder / f"{task}_{precision}.tflite"
    model.save(saved)
    job = ConversionJob(
        str(saved),
        converted,
        precision,
        "float" if precision == "float32" else "rgb_uint8",
        calibration=str(photos),
        samples=8,
        check_samples=2,
        min_agreement=0.0,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "prepare", _prepared_quickly)
        run.run_job(job)
    return saved, converted


def _prepared_quickly(job, prepare=run.prepare):
    return dataclasses.replace(prepare(job), quantization=quick_ptq())


def _normalize(model, photos):
    """Gives its norms the statistics of real photos, without which its outputs are all but 0."""
    source = open_source(str(photos)).sample(8)
    images = np.stack([prepare(source[index], RECORD) for index in range(len(source))])
    layers = list(model._flatten_layers())
    norms = [one for one in layers if isinstance(one, keras.layers.BatchNormalization)]
    for norm in norms:
        norm.momentum = 0.0
    model(images, training=True)
    for norm in norms:
        norm.momentum = 0.99
