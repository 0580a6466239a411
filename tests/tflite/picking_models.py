"""Models that give classes and no scores of them, with their files."""

import json
import pathlib

import keras
import numpy as np

from care_keras.convert.conversion import convert_model
from care_keras.convert.sidecar import describe
from care_keras.data.record import Preprocessing

CLASSES = 10
RECORD = Preprocessing(height=16, width=16, mean=(0.5,) * 3, std=(0.5,) * 3)


def write_picking(folder: pathlib.Path, kind: str, precision: str) -> tuple[pathlib.Path, str]:
    """A .keras file and its .tflite file, described.

    Args:
        folder: Where to.
        kind: `"map"`, a segmenter's class of each pixel, `"class"`, a classifier's, or `"one"`,
            a classifier's that is 3 for every image.
        precision: Of the file: `"float32"` or `"int8"`.
    """
    keras.utils.set_random_seed(0)
    images = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(6, 3, padding="same", activation="relu")(images)
    x = keras.layers.Conv2D(CLASSES, 3, padding="same", name="scores")(x)
    if kind != "map":
        x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(images, keras.ops.argmax(x, axis=-1))
    if kind == "one":
        weights = model.get_layer("scores").get_weights()
        model.get_layer("scores").set_weights([weights[0], np.eye(CLASSES)[3] * 1e3])
    photos = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), np.uint8)
    input_kind = "rgb_uint8" if precision == "int8" else "float"
    converted = convert_model(model, RECORD, precision, input_kind, calibration=iter(photos))
    path = folder / f"{kind}_{precision}.tflite"
    path.write_bytes(converted.content)
    described = describe(
        path,
        path.name,
        input_kind,
        precision,
        converted.preprocessing,
        labels=None,
        activation=None,
        of_model=RECORD,
    )
    path.with_suffix(".json").write_text(json.dumps(described))
    model.save(folder / f"{kind}.keras")
    return path, str(folder / f"{kind}.keras")
