"""Small .tflite files for Qualcomm's compiler."""

from tests.tflite.made_once import made_once


@made_once
def npu_file(kind: str) -> bytes:
    """A float file of TensorFlow's converter that takes normalized 8x8 images.

    `mixed`: two operators that the NPU lacks, ATAN2 and MATRIX_DIAG, between others. `lacking`:
    nothing but ATAN2. `open`: any size.
    """
    import numpy as np
    import tensorflow as tf

    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(3, 6)).astype("f"), rng.normal(size=(6, 6)).astype("f")

    def compute(images):
        if kind == "lacking":
            return tf.atan2(images, images)
        means = tf.reduce_mean(images, axis=[1, 2]) @ first
        if kind == "open":
            return means
        angles = tf.atan2(means, means * 0.5 + 1.0)
        return tf.reduce_sum(tf.linalg.diag(tf.nn.relu(angles @ second)), axis=1) @ second

    shape = (1, None, None, 3) if kind == "open" else (1, 8, 8, 3)
    signature = [tf.TensorSpec(shape, name="images")]
    concrete = tf.function(compute, input_signature=signature).get_concrete_function()
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete], tf.Module()).convert()


@made_once
def windows_file() -> bytes:
    """An int8 file of attention in windows of 4x4 of a map, as a Swin's block has it."""
    import keras
    from keras import ops

    from care_keras.convert.conversion import convert_model
    from care_keras.data.record import Preprocessing
    from care_keras.data.sources import open_source

    keras.utils.set_random_seed(0)
    images = keras.Input((32, 32, 3))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(images)
    x = keras.layers.Conv2D(24, 4, 4)(x)
    parts = ops.reshape(keras.layers.Dense(72)(x), (-1, 2, 4, 2, 4, 72))
    parts = ops.transpose(parts, (0, 1, 3, 2, 4, 5))
    parts = ops.reshape(parts, (-1, 4, 16, 3, 2, 12))
    parts = ops.transpose(parts, (0, 3, 1, 4, 2, 5))
    queries, keys, values = (parts[:, place] for place in range(3))
    weights = ops.matmul(queries, ops.swapaxes(keys, -1, -2))
    mixed = ops.matmul(ops.softmax(weights), values)
    mixed = ops.reshape(ops.transpose(mixed, (0, 1, 3, 2, 4)), (-1, 2, 2, 4, 4, 24))
    mixed = ops.reshape(ops.transpose(mixed, (0, 1, 3, 2, 4, 5)), (-1, 8, 8, 24))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Add()([x, mixed]))
    model = keras.Model(images, keras.layers.Dense(10)(x))
    source = open_source("bundled:train").take(range(16))
    photos = [source[place] for place in range(16)]
    record = Preprocessing.of_pixels(32, 32)
    return convert_model(model, record, "int8", "rgb_uint8", calibration=photos).content
