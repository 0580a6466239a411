"""A function that many layers call, as one operation of TensorFlow's graph."""

import functools
from collections.abc import Callable

import keras


def traced_once(function: Callable, *tensors, **settings) -> keras.KerasTensor:
    """`function(*tensors, **settings)`, traced by TensorFlow once for each shape.

    Without it the first step of quantization-aware training traces the same fifteen operations,
    and their gradients, for each of hundreds of layers, which takes longer than epochs of a small
    data set. Under other backends the function is called as it is.

    Args:
        function: Of tensors, written in `keras.ops`; it keeps no state.
        *tensors: Its tensors, or variables.
        **settings: Other arguments, which can be hashed.
    """
    tensors = [keras.ops.convert_to_tensor(tensor) for tensor in tensors]
    if keras.backend.backend() != "tensorflow":
        return function(*tensors, **settings)
    specs = tuple((_static_shape(tensor), tensor.dtype) for tensor in tensors)
    return _graph_function(function, specs, tuple(settings.items()))(*tensors)


def _static_shape(tensor):
    return None if tensor.shape.rank is None else tuple(tensor.shape)


# Shapes and settings of a network are some tens; what is left out is traced again.
@functools.lru_cache(maxsize=1024)
def _graph_function(function, specs, settings):
    import tensorflow as tf

    return tf.function(
        functools.partial(function, **dict(settings)),
        input_signature=[tf.TensorSpec(*spec) for spec in specs],
        autograph=False,
    )
