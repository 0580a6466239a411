""".tflite files of several inputs or outputs by TensorFlow's converter, made once."""

import contextlib
import functools
import io
import json
import pathlib
import warnings

import numpy as np

from tests.tflite.made_once import made_once
from tests.tflite.tiny_classifiers import PREPROCESSING, expected_scores

# What `extra`, of 5 numbers, adds to the scores of the files below.
EXTRA_WEIGHTS = np.random.default_rng(7).standard_normal((5, 6)).astype(np.float32)


@made_once
def several_ends(kind: str) -> bytes:
    """A file of one of these kinds; images are 8x8, normalized.

    `outputs`: images in, out `scores`, those of `tiny_classifiers`, and `box`, twice the first two
    that images alone give. `inputs`: images and `extra` in, `scores` out. `both`: the two together.
    `nan`: `outputs` whose box is NaN where the first pixel's red is below 0. `images`: two inputs
    of images. `batch`: `both` for batches of 4. `scalar`: images and a number in. `unlike`: `both`
    with an index of a row of weights for `extra`. `blind`: `inputs` whose images say nothing.
    """
    import tensorflow as tf

    batch = 4 if kind == "batch" else 1
    image = tf.TensorSpec((batch, 8, 8, 3), name="images")
    others = {
        "inputs": [tf.TensorSpec((1, 5), name="extra")],
        "blind": [tf.TensorSpec((1, 5), name="extra")],
        "both": [tf.TensorSpec((1, 5), name="extra")],
        "batch": [tf.TensorSpec((4, 5), name="extra")],
        "images": [tf.TensorSpec((1, 8, 8, 3), name="more")],
        "scalar": [tf.TensorSpec((), name="extra")],
        "unlike": [tf.TensorSpec((1,), tf.int32, name="extra")],
    }.get(kind, [])
    # White minus black in each channel is what a normalized mean of 1 gives.
    colours = np.concatenate([np.zeros((1, 3)), 255 * np.eye(3)]).astype(np.uint8)
    ends = expected_scores(np.tile(colours[:, None, None], (1, 8, 8, 1)))
    weights = ((ends[1:] - ends[0]) * np.asarray(PREPROCESSING.std)[:, None]).astype(np.float32)

    def compute(images, extra=None):
        scores = tf.reduce_mean(images, axis=[1, 2]) @ weights
        if kind == "blind":
            scores *= 0.0
        box = 2.0 * scores[:, :2]
        if kind == "nan":
            box += tf.sqrt(images[:, 0, 0, :1]) * 0.0
        if kind == "images":
            scores += tf.reduce_mean(extra, axis=[1, 2]) @ weights
        elif kind == "scalar":
            scores *= extra
        elif kind == "unlike":
            scores += tf.gather(EXTRA_WEIGHTS, extra)
        elif extra is not None:
            scores += extra @ EXTRA_WEIGHTS
        if kind in ("inputs", "images", "scalar", "blind"):
            return {"scores": scores}
        return {"scores": scores, "box": box}

    concrete = tf.function(compute, input_signature=[image, *others]).get_concrete_function()
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete], tf.Module()).convert()


def write_several_ends(path: pathlib.Path, kind: str) -> pathlib.Path:
    """Writes such a file, and the JSON that says how images are prepared."""
    path.write_bytes(several_ends(kind))
    record = {"input": {"kind": "float"}, "preprocessing": PREPROCESSING.to_dict()}
    path.with_suffix(".json").write_text(json.dumps(record))
    return path


@functools.cache
def keras_model():
    """Images of 16x16 and `extra` in, 6 scores and 2 numbers out."""
    import keras

    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    layers = keras.layers
    images, extra = keras.Input((16, 16, 3), name="images"), keras.Input((5,), name="extra")
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="convolution")(images)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Add(name="sum")([x, layers.Dense(8, name="beside")(extra)])
    outputs = [layers.Dense(6, name="scores")(x), layers.Dense(2, name="box")(x)]
    return keras.Model([images, extra], outputs)


@made_once
def keras_file(precision: str = "float32") -> bytes:
    """`keras_model()` as a file, `float32` or `int8`, whose outputs are numbered by Keras."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(keras_model())
    if precision == "int8":
        generator = np.random.default_rng(0)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.representative_dataset = lambda: (
            {
                "images": generator.normal(size=(1, 16, 16, 3)).astype(np.float32),
                "extra": generator.normal(size=(1, 5)).astype(np.float32),
            }
            for _ in range(50)
        )
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return _quietly(converter)


def converted_by_tensorflow(model) -> bytes:
    """Any Keras model as a float32 file."""
    import tensorflow as tf

    return _quietly(tf.lite.TFLiteConverter.from_keras_model(model))


def _quietly(converter):
    # Keras says where it has put what the converter reads, and the converter what it is to be.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return converter.convert()
