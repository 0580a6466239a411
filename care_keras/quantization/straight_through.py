"""What rounding is to gradients: nothing."""

import keras
from keras import ops


def straight_through(exact: keras.KerasTensor, rounded: keras.KerasTensor) -> keras.KerasTensor:
    """`rounded`, with the gradients of `exact`; tensors of one shape."""
    return exact + ops.stop_gradient(rounded - exact)
