"""Functions of one element, and softmax."""

import keras
from keras import ops


class _Activation(keras.layers.Layer):
    """Base: the output has the shape of the input."""

    def compute_output_shape(self, input_shape):
        return input_shape


@keras.saving.register_keras_serializable(package="care_keras")
class Gelu(_Activation):
    """GELU, exact: `x * Phi(x)` with the normal distribution function."""

    def call(self, inputs):
        return ops.gelu(inputs, approximate=False)


@keras.saving.register_keras_serializable(package="care_keras")
class Elu(_Activation):
    """ELU: `x` where positive, `exp(x) - 1` elsewhere."""

    def call(self, inputs):
        return ops.elu(inputs)


@keras.saving.register_keras_serializable(package="care_keras")
class Rsqrt(_Activation):
    """RSQRT: `1 / sqrt(x)` of positive numbers."""

    def call(self, inputs):
        return ops.rsqrt(inputs)


@keras.saving.register_keras_serializable(package="care_keras")
class Softmax(_Activation):
    """SOFTMAX over the last axis."""

    def call(self, inputs):
        return ops.softmax(inputs, axis=-1)
