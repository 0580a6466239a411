"""Which engine makes a run's batches."""

import functools

from care_keras.console.optional import MissingDependencyError, is_installed
from care_keras.training.images.engine import INPUT_PIPELINES, Engine


@functools.cache
def choose_engine(name: str = "auto") -> Engine:
    """The engine of a name: tf.data, which is faster, or what there is without TensorFlow.

    Args:
        name: One of `INPUT_PIPELINES`; `"auto"` takes tf.data where TensorFlow is installed.

    Raises:
        ValueError: If there is none of that name.
        MissingDependencyError: If it needs TensorFlow, which is not installed.
    """
    if name not in INPUT_PIPELINES:
        raise ValueError(f"`name` must be one of {INPUT_PIPELINES}. Received: name={name!r}")
    installed = is_installed("tensorflow")
    if name == "tf.data" and not installed:
        raise MissingDependencyError(
            "--input_pipeline=tf.data needs TensorFlow, which is not installed: "
            "pip install tensorflow, or leave it out"
        )
    if name == "numpy" or not installed:
        from care_keras.training.images.in_threads import InThreads

        return InThreads()
    from care_keras.training.images.tf_data import TfData

    return TfData()
