"""Small float .tflite files by TensorFlow's converter, for Qualcomm's compiler."""

from tests.tflite.made_once import made_once


@made_once
def npu_file(kind: str) -> bytes:
    """A file that takes normalized 8x8 images.

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
