"""Tiny .tflite classifiers whose scores NumPy can tell: functions of the mean colour."""

import numpy as np

from care_keras.data.preprocessing import normalize
from care_keras.data.sources import open_source
from care_keras.models import Preprocessing
from tests.tflite.made_once import made_once

PREPROCESSING = Preprocessing(
    height=8, width=8, mean=(0.5, 0.4, 0.3), std=(0.25, 0.5, 1.0), crop_ratio=1.0
)
CLASSES = 6
# The first columns are those of the classifiers of six classes.
_WEIGHTS = np.random.default_rng(5).standard_normal((1000, 3)).astype(np.float32).T
# Floats are normalized images, uint8 is raw pixels.
_INPUTS = {
    "float32": ((1, 8, 8, 3), "float32"),
    "float16": ((1, 8, 8, 3), "float16"),
    "uint8": ((1, 8, 8, 3), "uint8"),
    "int32": ((1, 8, 8, 3), "int32"),
    "batch": ((4, 8, 8, 3), "float32"),
    "open": ((None, None, None, 3), "float32"),
    "int8": ((1, 8, 8, 3), "float32"),
    "uint8_quantized": ((1, 8, 8, 3), "float32"),
    "grey": ((1, 8, 8, 1), "float32"),
    "map": ((1, 8, 8, 3), "float32"),
    "nan": ((1, 8, 8, 3), "float32"),
    "custom": ((1, 8, 8, 3), "float32"),
    "thousand": ((1, 8, 8, 3), "float32"),
}


def expected_scores(pixels: np.ndarray, classes: int = CLASSES) -> np.ndarray:
    """What each gives for uint8 pixels `(images, height, width, 3)`, quantized ones nearly."""
    return normalize(pixels, PREPROCESSING).mean(axis=(1, 2)) @ _WEIGHTS[:, :classes]


@made_once
def tiny_classifier(kind: str) -> bytes:
    """A file of one of the kinds above.

    `int8` and `uint8_quantized` have such inputs and outputs, quantized. `map` gives a score per
    pixel, `nan` NaN where the first pixel's red is below 0. `custom` has an operation that TFLite
    lacks. `thousand` has 1000 classes.
    """
    import tensorflow as tf

    shape, dtype = _INPUTS[kind]
    weights = _WEIGHTS[:, : 1000 if kind == "thousand" else CLASSES]

    def classify(images):
        values = tf.cast(images, tf.float32)
        if dtype in ("uint8", "int32"):
            values = (values / 255.0 - PREPROCESSING.mean) / PREPROCESSING.std
        if kind == "map":
            return values @ weights
        if kind == "grey":
            values = tf.repeat(values, 3, axis=-1)
        if kind == "nan":
            values = values + tf.sqrt(values[:, :1, :1, :1]) * 0.0
        if kind == "custom":
            return tf.reshape(tf.raw_ops.MatrixInverse(input=values[0, :3, :3, 0]), [1, 9])
        return tf.reduce_mean(values, axis=[1, 2]) @ weights

    signature = [tf.TensorSpec(shape, dtype, name="images")]
    concrete = tf.function(classify, input_signature=signature).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], tf.Module())
    converter.allow_custom_ops = kind == "custom"
    if kind in ("int8", "uint8_quantized"):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        # Black, white and what is between: the whole range of pixels.
        ramp = np.linspace(0, 255, 64).astype(np.uint8).reshape(1, 8, 8, 1).repeat(3, axis=-1)
        images = [
            ramp,
            *(image[None, :8, :8] for image in map(open_source("bundled").read, range(20))),
        ]
        converter.representative_dataset = lambda: (
            [normalize(image, PREPROCESSING)] for image in images
        )
        converter.inference_input_type = tf.int8 if kind == "int8" else tf.uint8
        converter.inference_output_type = converter.inference_input_type
    return converter.convert()
