"""Functions of one element, and softmax."""

import keras
import numpy as np
from keras import ops

from care_keras.primitives.base import Primitive
from care_keras.primitives.int8 import CodeFunction, Fixed, Int8
from care_keras.primitives.rsqrt_kernel import rsqrt_codes


@keras.saving.register_keras_serializable(package="care_keras")
class Gelu(Primitive):
    """GELU, exact: `x * Phi(x)` with the normal distribution function."""

    def call(self, inputs) -> keras.KerasTensor:
        return ops.gelu(inputs, approximate=False)


@keras.saving.register_keras_serializable(package="care_keras")
class Elu(Primitive):
    """ELU: `x` where positive, `exp(x) - 1` elsewhere."""

    def call(self, inputs) -> keras.KerasTensor:
        return ops.elu(inputs)


@keras.saving.register_keras_serializable(package="care_keras")
class Rsqrt(Primitive):
    """RSQRT: `1 / sqrt(x)` of positive numbers."""

    int8 = Int8(
        relative=True,
        # In float32 its input can be 0, which only codes are safe from.
        shares_float=True,
        function=CodeFunction(exact=lambda x: 1.0 / np.sqrt(x), codes=rsqrt_codes),
    )

    def call(self, inputs) -> keras.KerasTensor:
        return ops.rsqrt(inputs)


@keras.saving.register_keras_serializable(package="care_keras")
class Softmax(Primitive):
    """SOFTMAX over the last axis."""

    # Its int8 kernel has this output and no other.
    int8 = Int8(Fixed(1 / 256, -128))

    def call(self, inputs) -> keras.KerasTensor:
        return ops.softmax(inputs, axis=-1)
