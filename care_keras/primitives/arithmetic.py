"""Sums, products and means."""

import keras
import numpy as np
from keras import ops

from care_keras.primitives.base import Primitive
from care_keras.primitives.fused_activation import FusedActivation
from care_keras.primitives.int8 import Int8, Output

# XNNPACK's int8 ADD takes terms of at least 2^-10, and less than 2^8, of the sum's step (TFLite's
# tflite/delegates/xnnpack/xnnpack_delegate.cc); here with room for rounding. TFLite's own kernel
# ends the process where a term's is far larger.
_TERM_STEPS = (1.0 / 1000.0, 250.0)


class _Elementwise(Primitive):
    """Base: takes two tensors; sizes of 1 are repeated, and axes that one lacks in front."""

    def compute_output_shape(self, input_shape):
        left, right = (tuple(shape) for shape in input_shape)
        rank = max(len(left), len(right))
        left, right = ((1,) * (rank - len(shape)) + shape for shape in (left, right))
        return tuple(b if a == 1 else a for a, b in zip(left, right, strict=True))


@keras.saving.register_keras_serializable(package="care_keras")
class Add(FusedActivation, _Elementwise):
    """ADD of two tensors; see `FusedActivation` for `activation`."""

    int8 = Int8(precisions=("int8", "int16"), term_steps=_TERM_STEPS)

    def call(self, inputs) -> keras.KerasTensor:
        return self.activate(inputs[0] + inputs[1])


@keras.saving.register_keras_serializable(package="care_keras")
class Subtract(FusedActivation, _Elementwise):
    """SUB of two tensors; see `FusedActivation` for `activation`."""

    int8 = Int8(precisions=("int8", "int16"), term_steps=_TERM_STEPS)

    def call(self, inputs) -> keras.KerasTensor:
        return self.activate(inputs[0] - inputs[1])


@keras.saving.register_keras_serializable(package="care_keras")
class Multiply(FusedActivation, _Elementwise):
    """MUL of two tensors; see `FusedActivation` for `activation`."""

    def call(self, inputs) -> keras.KerasTensor:
        return self.activate(inputs[0] * inputs[1])


@keras.saving.register_keras_serializable(package="care_keras")
class Maximum(_Elementwise):
    """MAXIMUM of two tensors."""

    int8 = Int8(Output.LIKE_INPUT, joins_inputs=True)

    def call(self, inputs) -> keras.KerasTensor:
        return ops.maximum(*inputs)


@keras.saving.register_keras_serializable(package="care_keras")
class Minimum(_Elementwise):
    """MINIMUM of two tensors."""

    int8 = Int8(Output.LIKE_INPUT, joins_inputs=True)

    def call(self, inputs) -> keras.KerasTensor:
        return ops.minimum(*inputs)


@keras.saving.register_keras_serializable(package="care_keras")
class Divide(_Elementwise):
    """DIV of two tensors: in no deploy form unless asked for, as its int8 kernel can abort."""

    int8 = Int8(Output.NONE, precisions=())

    def call(self, inputs) -> keras.KerasTensor:
        return inputs[0] / inputs[1]


@keras.saving.register_keras_serializable(package="care_keras")
class AddOne(Primitive):
    """ADD of the constant 1."""

    int8 = Int8(term_steps=_TERM_STEPS)

    def call(self, inputs) -> keras.KerasTensor:
        return inputs + 1.0


@keras.saving.register_keras_serializable(package="care_keras")
class MeanTerm(Primitive):
    """DEPTHWISE_CONV_2D of one tap: `scale (x + 1) / N`, the term of each of N pixels in a mean.

    Args:
        scale: Of the mean.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input and output shape: `(batch, height, width, channels)`, `N = height * width`.
    """

    def __init__(self, scale: float = 1.0, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale

    def call(self, inputs) -> keras.KerasTensor:
        _, height, width, _ = ops.shape(inputs)
        return (inputs + 1.0) * (self.scale / ops.cast(height * width, inputs.dtype))

    def get_config(self) -> dict:
        return {**super().get_config(), "scale": self.scale}


@keras.saving.register_keras_serializable(package="care_keras")
class AddEpsilon(Primitive):
    """ADD of a constant that keeps a positive number away from 0.

    The quantized form leaves it out: it is far under one code, and RSQRT of
    the code of 0 is the largest code.

    Args:
        epsilon: The constant.
        per_pixel: If true it is multiplied by the size of axis 1.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    int8 = Int8(Output.LIKE_INPUT, left_out=True)

    def __init__(self, epsilon: float, per_pixel: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon
        self.per_pixel = per_pixel

    def call(self, inputs) -> keras.KerasTensor:
        epsilon = self.epsilon
        if self.per_pixel:
            epsilon = epsilon * ops.cast(ops.shape(inputs)[1], inputs.dtype)
        return inputs + epsilon

    def get_config(self) -> dict:
        return {**super().get_config(), "epsilon": self.epsilon, "per_pixel": self.per_pixel}


@keras.saving.register_keras_serializable(package="care_keras")
class ChannelScale(Primitive):
    """MUL by a factor for each channel; in int8 a 1x1 DEPTHWISE_CONV_2D.

    MUL's int8 constant has one step for all channels, a depthwise kernel one
    for each, which holds every factor exactly.
    """

    channel_axes = (0,)

    def build(self, input_shape) -> None:
        self.kernel = self.add_weight(name="kernel", shape=(input_shape[-1],), initializer="ones")

    def call(self, inputs) -> keras.KerasTensor:
        return inputs * self.forward_kernel()

    def forward_kernel(self) -> keras.KerasTensor:
        """The factors as they are used; the quantized form rounds them."""
        return self.kernel


class _WithConstant(FusedActivation, Primitive):
    """Base: takes a tensor and a constant of its own.

    Args:
        constant_shape: Of the constant, without the batch's axis; `()` of one
            number.
        activation: See `FusedActivation`.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, constant_shape=(), **kwargs):
        super().__init__(**kwargs)
        self.constant_shape = tuple(constant_shape)

    def build(self, _) -> None:
        self.constant = self.add_weight(
            name="constant", shape=self.constant_shape, initializer="zeros"
        )

    def compute_output_shape(self, input_shape):
        rank = max(len(input_shape), 1 + len(self.constant_shape))
        constant = (1,) * (rank - len(self.constant_shape)) + self.constant_shape
        given = (*input_shape[:1], *(1,) * (rank - len(input_shape)), *input_shape[1:])
        return tuple(b if a == 1 else a for a, b in zip(given, constant, strict=True))

    def get_config(self):
        return {**super().get_config(), "constant_shape": list(self.constant_shape)}


@keras.saving.register_keras_serializable(package="care_keras")
class AddConstant(_WithConstant):
    """ADD of a constant: one number, or an array that is repeated as NumPy repeats it."""

    int8 = Int8(term_steps=_TERM_STEPS)

    def call(self, inputs) -> keras.KerasTensor:
        return self.activate(inputs + self.constant)


@keras.saving.register_keras_serializable(package="care_keras")
class MultiplyConstant(_WithConstant):
    """MUL by a constant: one number, or an array that is repeated as NumPy repeats it."""

    def call(self, inputs) -> keras.KerasTensor:
        return self.activate(inputs * self.constant)


@keras.saving.register_keras_serializable(package="care_keras")
class MatMul(Primitive):
    """BATCH_MATMUL of two tensors.

    Args:
        transpose_b: Whether the last two axes of the second are swapped.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    int8 = Int8(precisions=("int8", "int16"), symmetric_inputs=(1,))

    def __init__(self, transpose_b: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.transpose_b = transpose_b

    def call(self, inputs) -> keras.KerasTensor:
        left, right = inputs
        return ops.matmul(left, ops.swapaxes(right, -1, -2) if self.transpose_b else right)

    def compute_output_shape(self, input_shape) -> tuple:
        left, right = input_shape
        return (*left[:-1], right[-2] if self.transpose_b else right[-1])

    def get_config(self) -> dict:
        return {**super().get_config(), "transpose_b": self.transpose_b}


@keras.saving.register_keras_serializable(package="care_keras")
class Mean(Primitive):
    """MEAN over some axes, which are kept with size 1.

    Args:
        axes: Axes, from 1.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    int8 = Int8(precisions=("int8", "int16"))

    def __init__(self, axes, **kwargs):
        super().__init__(**kwargs)
        self.axes = tuple(axes)

    def call(self, inputs) -> keras.KerasTensor:
        return ops.mean(inputs, axis=self.axes, keepdims=True)

    def compute_output_shape(self, input_shape) -> tuple:
        return tuple(1 if axis in self.axes else size for axis, size in enumerate(input_shape))

    def get_config(self) -> dict:
        return {**super().get_config(), "axes": list(self.axes)}


@keras.saving.register_keras_serializable(package="care_keras")
class Max(Primitive):
    """REDUCE_MAX over some axes, which are kept with size 1.

    Args:
        axes: Axes, from 1.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    int8 = Int8(Output.LIKE_INPUT)

    def __init__(self, axes, **kwargs):
        super().__init__(**kwargs)
        self.axes = tuple(axes)

    def call(self, inputs) -> keras.KerasTensor:
        return ops.max(inputs, axis=self.axes, keepdims=True)

    def compute_output_shape(self, input_shape) -> tuple:
        return tuple(1 if axis in self.axes else size for axis, size in enumerate(input_shape))

    def get_config(self) -> dict:
        return {**super().get_config(), "axes": list(self.axes)}


@keras.saving.register_keras_serializable(package="care_keras")
class ArgMax(Primitive):
    """ARG_MAX over the last axis: int32 places, of equal numbers the first.

    Args:
        keepdims: Whether that axis is kept with size 1, for which a RESHAPE follows.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    int8 = Int8(Output.INTEGER)

    def __init__(self, keepdims: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.keepdims = keepdims

    def call(self, inputs) -> keras.KerasTensor:
        return ops.argmax(inputs, axis=-1, keepdims=self.keepdims)

    def compute_output_shape(self, input_shape) -> tuple:
        return (*input_shape[:-1], 1) if self.keepdims else tuple(input_shape[:-1])

    def compute_output_spec(self, inputs) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype="int32")

    def get_config(self) -> dict:
        return {**super().get_config(), "keepdims": self.keepdims}


class _PerHead(Primitive):
    """Base: `head_dim` channels make a head."""

    def __init__(self, head_dim: int, **kwargs):
        super().__init__(**kwargs)
        self.head_dim = head_dim

    def head_matrix(self, channels: int) -> np.ndarray:
        """1 where a channel is of a head: float32 of shape `(heads, channels)`."""
        return np.repeat(np.eye(channels // self.head_dim), self.head_dim, axis=1).astype("float32")

    def get_config(self):
        return {**super().get_config(), "head_dim": self.head_dim}


@keras.saving.register_keras_serializable(package="care_keras")
class HeadMask(_PerHead):
    """MUL of `(batch, channels, channels)` by 1 within a head and 0 between heads.

    One product of all channels with this mask does the work of one for each
    head, without the transpositions that would bring heads to the front.
    """

    int8 = Int8(Output.LIKE_INPUT)

    def mask(self, channels: int) -> np.ndarray:
        heads = self.head_matrix(channels)
        return heads.T @ heads

    def call(self, inputs) -> keras.KerasTensor:
        return inputs * ops.convert_to_tensor(self.mask(inputs.shape[-1]), inputs.dtype)


@keras.saving.register_keras_serializable(package="care_keras")
class SumOverPixels(_PerHead):
    """MUL of a mean by the number of pixels, one row a head.

    Inputs: a list of the mean `(batch, 1, channels)` and of what it is the
    mean of, `(batch, pixels, channels)`. Output: `(batch, heads, channels)`,
    the sum over pixels in the channels of a row's head, 0 in the others.
    """

    def call(self, inputs) -> keras.KerasTensor:
        mean, of = inputs
        pixels = ops.cast(ops.shape(of)[1], mean.dtype)
        heads = ops.convert_to_tensor(self.head_matrix(mean.shape[-1]), mean.dtype)
        return mean * (heads * pixels)

    def compute_output_shape(self, input_shape) -> tuple:
        batch, _, channels = input_shape[0]
        return (batch, channels // self.head_dim, channels)


@keras.saving.register_keras_serializable(package="care_keras")
class RepeatHeads(_PerHead):
    """FULLY_CONNECTED that repeats `(..., heads)` for each channel of a head."""

    int8 = Int8(Output.LIKE_INPUT)

    def call(self, inputs) -> keras.KerasTensor:
        heads = self.head_matrix(inputs.shape[-1] * self.head_dim)
        return ops.matmul(inputs, ops.convert_to_tensor(heads, inputs.dtype))

    def compute_output_shape(self, input_shape) -> tuple:
        return (*input_shape[:-1], input_shape[-1] * self.head_dim)
