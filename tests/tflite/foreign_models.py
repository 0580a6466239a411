"""A network that is not ours, and its .tflite files, made once."""

import functools

import numpy as np

from care_keras.data.preprocessing import normalize, resize_and_crop
from care_keras.data.sources import open_source
from care_keras.models import Preprocessing
from tests.tflite.made_once import made_once

PREPROCESSING = Preprocessing(
    height=96, width=96, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), interpolation="bilinear"
)


@functools.cache
def images(count: int) -> np.ndarray:
    """The first bundled photos as uint8 pixels for it, `(count, 96, 96, 3)`."""
    source = open_source("bundled:test")
    return np.stack([resize_and_crop(source[i], PREPROCESSING) for i in range(count)])


@functools.cache
def foreign_keras_model():
    """MobileNetV2 of keras.applications with random weights: 96x96 in, 10 classes out."""
    import keras

    keras.utils.set_random_seed(0)
    model = keras.applications.MobileNetV2((96, 96, 3), alpha=0.35, weights=None, classes=10)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    # One step's statistics of real images: with fresh ones the signal dies out.
    model(normalize(images(32), PREPROCESSING), training=True)
    # As fresh ones are, the classes would be equally probable for every image.
    kernel = model.layers[-1].kernel
    kernel.assign(np.random.default_rng(0).normal(0, 0.3, kernel.shape))
    return model


@made_once
def foreign_tflite(precision: str = "float32") -> bytes:
    """`foreign_keras_model()` by TensorFlow's converter, `float32` or `int8`; takes floats."""
    from care_keras.convert.by_tensorflow import convert_by_tensorflow

    return convert_by_tensorflow(
        foreign_keras_model(), PREPROCESSING, precision, calibration=images(16)
    )
