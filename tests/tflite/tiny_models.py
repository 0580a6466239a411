"""Tiny .tflite files by TensorFlow's converter, made once."""

import numpy as np

from tests.tflite.made_once import made_once


@made_once
def tiny_model(kind: str) -> bytes:
    """A file of one of these kinds.

    `conv`: two convolutions. `wide`: a dense layer of 4 MB. `mixed`: convolution, CUMSUM (which
    XNNPACK does not take), convolution. `two`: int32 indices into a float table. `open`: any
    batch and any size. `batch`: any batch. `custom`: an operation that TFLite lacks.
    """
    import tensorflow as tf

    weights = np.random.default_rng(0).standard_normal((3, 3, 3, 3)).astype(np.float32)

    def convolve(images):
        return tf.nn.relu(tf.nn.conv2d(images, weights, 1, "SAME"))

    def image(*shape):
        return tf.TensorSpec(shape, name="images")

    functions = {
        "conv": (lambda x: convolve(convolve(x)), [image(1, 16, 16, 3)]),
        "wide": (lambda x: x @ tf.ones((1000, 1000)), [image(1, 1000)]),
        "mixed": (lambda x: convolve(tf.cumsum(convolve(x), axis=1)), [image(1, 16, 16, 3)]),
        "two": (
            lambda indices, table: tf.gather(table, indices) * 2.0,
            [tf.TensorSpec([4], tf.int32, name="indices"), tf.TensorSpec([8, 3], name="table")],
        ),
        "open": (convolve, [image(None, None, None, 3)]),
        "batch": (convolve, [image(None, 16, 16, 3)]),
        "custom": (lambda x: tf.raw_ops.MatrixInverse(input=x), [image(4, 4)]),
    }
    function, signature = functions[kind]
    concrete = tf.function(function, input_signature=signature).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], tf.Module())
    converter.allow_custom_ops = True
    return converter.convert()
