"""Functions of one element, and softmax."""

import keras
import numpy as np
from keras import ops

from care_keras.primitives.base import Primitive
from care_keras.primitives.fused_activation import clip
from care_keras.primitives.int8 import CodeFunction, Fixed, Int8, Output
from care_keras.primitives.rsqrt_kernel import rsqrt_codes


@keras.saving.register_keras_serializable(package="care_keras")
class Gelu(Primitive):
    """GELU: `x * Phi(x)` with the normal distribution function.

    Args:
        approximate: Whether by the hyperbolic tangent.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, approximate: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.approximate = approximate

    def call(self, inputs) -> keras.KerasTensor:
        return ops.gelu(inputs, approximate=self.approximate)

    def get_config(self) -> dict:
        return {**super().get_config(), "approximate": self.approximate}


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


@keras.saving.register_keras_serializable(package="care_keras")
class Clip(Primitive):
    """RELU, RELU6, RELU_N1_TO_1, or MAXIMUM and MINIMUM: what lies between two numbers.

    Args:
        low: Lowest output, or `None`.
        high: Highest, or `None`.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    # An end lies between two codes.
    int8 = Int8(Output.LIKE_INPUT, interpolates=True)

    def __init__(self, low: float | None = None, high: float | None = None, **kwargs):
        super().__init__(**kwargs)
        if low is None and high is None:
            raise ValueError(f"One end at least must be given. Received: low={low}, high={high}")
        self.low = low
        self.high = high

    def call(self, inputs) -> keras.KerasTensor:
        return clip(inputs, self.low, self.high)

    def get_config(self) -> dict:
        return {**super().get_config(), "low": self.low, "high": self.high}


@keras.saving.register_keras_serializable(package="care_keras")
class LeakyRelu(Primitive):
    """LEAKY_RELU: `x` where positive, `slope * x` elsewhere.

    Args:
        slope: Of the negative side.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, slope: float = 0.2, **kwargs):
        super().__init__(**kwargs)
        self.slope = slope

    def call(self, inputs) -> keras.KerasTensor:
        return ops.leaky_relu(inputs, negative_slope=self.slope)

    def get_config(self) -> dict:
        return {**super().get_config(), "slope": self.slope}


@keras.saving.register_keras_serializable(package="care_keras")
class Sigmoid(Primitive):
    """LOGISTIC: `1 / (1 + exp(-x))`."""

    # Its int8 kernel has this output and no other.
    int8 = Int8(Fixed(1 / 256, -128))

    def call(self, inputs) -> keras.KerasTensor:
        return ops.sigmoid(inputs)


@keras.saving.register_keras_serializable(package="care_keras")
class Tanh(Primitive):
    """TANH."""

    # Its int8 kernel has this output and no other.
    int8 = Int8(Fixed(1 / 128, 0))

    def call(self, inputs) -> keras.KerasTensor:
        return ops.tanh(inputs)


@keras.saving.register_keras_serializable(package="care_keras")
class Exp(Primitive):
    """EXP."""

    def call(self, inputs) -> keras.KerasTensor:
        return ops.exp(inputs)


@keras.saving.register_keras_serializable(package="care_keras")
class Log(Primitive):
    """LOG of positive numbers."""

    def call(self, inputs) -> keras.KerasTensor:
        return ops.log(inputs)


@keras.saving.register_keras_serializable(package="care_keras")
class HardSigmoid(Primitive):
    """ADD and MUL, `relu6(x + 3) / 6`; in int8 a DEPTHWISE_CONV_2D that saturates at both ends."""

    int8 = Int8(Fixed(1 / 255, -128))

    def call(self, inputs) -> keras.KerasTensor:
        return ops.hard_sigmoid(inputs)


@keras.saving.register_keras_serializable(package="care_keras")
class HardSwish(Primitive):
    """HARD_SWISH, `x * relu6(x + 3) / 6`; in int8 a product with `HardSigmoid`.

    XNNPACK takes both operations of the product, and not int8 HARD_SWISH.
    """

    def call(self, inputs) -> keras.KerasTensor:
        return ops.hard_silu(inputs)
