"""TensorFlow's graph optimizer, as CARE's graphs need it."""

import keras


def set_up_grappler(quantized: bool = False) -> None:
    """Leaves out of Grappler, for this process, what takes time and gives none.

    With oneDNN, TensorFlow 2.21's remapper tries to fuse the sum of two depthwise
    convolutions on a CPU, fails, says so in long lines, and goes on without.
    On the 60,000 operations of a quantized form's training step all of Grappler
    takes as long as tens of steps, which are not faster for it.
    Other backends, and machines with a GPU, are left as they are.

    Args:
        quantized: Whether a quantized form is trained.
    """
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        tf.config.optimizer.set_experimental_options(
            {"remapping": False, "disable_meta_optimizer": quantized}
        )
