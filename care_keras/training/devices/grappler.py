"""TensorFlow's graph optimizer, as CARE's graphs need it."""

import keras


def leave_out_remapper() -> None:
    """Turns Grappler's remapper off for this process, where it can only fail.

    With oneDNN, TensorFlow 2.21's tries to fuse the sum of two depthwise
    convolutions on a CPU, fails, says so in long lines, and goes on without.
    Other backends, and machines with a GPU, are left as they are.
    """
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        tf.config.optimizer.set_experimental_options({"remapping": False})
