"""Primitives whose weights are rounded to the codes they will have."""

import contextlib
from collections.abc import Iterator

import keras
import numpy as np
from keras import ops

from care_keras import primitives
from care_keras.quantization.straight_through import straight_through
from care_keras.quantization.traced import traced_once

# Codes of an int32 bias: half of what there are, as products are added to it.
_MOST_OF_BIAS = 2.0**30


class KernelSteps:
    """Base: weights of int8 codes from -127 to 127.

    A subclass says the channels' steps, `_kernel_steps()`, in a shape that divides the kernel.

    Args:
        per_tensor: Whether all channels have one step, for runtimes that refuse
            a step for each.
        **kwargs: Arguments of the primitive.
    """

    def __init__(self, per_tensor: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.per_tensor = per_tensor

    def get_config(self) -> dict:
        return {**super().get_config(), "per_tensor": self.per_tensor}

    def kernel_codes(self) -> tuple[np.ndarray, np.ndarray]:
        """`(codes, steps)`: int8 in the kernel's layout, float32 for each channel."""
        steps = ops.convert_to_numpy(self._kernel_steps()).astype(np.float32)
        codes = np.rint(ops.convert_to_numpy(self.kernel) / steps).astype(np.int8)
        return codes, steps.reshape(-1)


class QuantizedKernel(KernelSteps):
    """A kernel of int8 codes from -127 to 127, with a step for each output channel.

    `input_step` is the step of the layer's input, which the int32 bias is
    counted in: `bias_step = input_step * kernel_step`. It is 0, and the bias
    not rounded, until `freeze` or calibration sets it. A channel whose kernel is
    nearly nothing takes a step that is large enough for its bias to fit.

    Attributes:
        rounds: Whether weights are rounded.
    """

    rounds = True
    _rounded = None

    def build(self, input_shape) -> None:
        super().build(input_shape)
        self.input_step = self.add_weight(
            name="input_step", shape=(), initializer="zeros", trainable=False
        )

    @contextlib.contextmanager
    def rounded_once(self) -> Iterator[None]:
        """Rounds the weights now, and not at each call: for several while they do not change."""
        self._rounded = self.forward_kernel(), self.forward_bias()
        try:
            yield
        finally:
            self._rounded = None

    def forward_kernel(self) -> keras.KerasTensor:
        if self._rounded:
            return self._rounded[0]
        return self._traced(_rounded_kernel) if self.rounds else self.kernel

    def forward_bias(self) -> keras.KerasTensor:
        if self._rounded:
            return self._rounded[1]
        return self._traced(_rounded_bias) if self.rounds else self.bias

    def _kernel_steps(self):
        return self._traced(_kernel_steps)

    def _traced(self, function):
        axes = tuple(
            axis for axis in range(len(self.kernel.shape)) if axis not in self.channel_axes
        )
        weights = self.kernel, self.bias, self.input_step
        return traced_once(function, *weights, axes=axes, per_tensor=self.per_tensor)


def _kernel_steps(kernel, bias, input_step, axes, per_tensor):
    largest = ops.max(ops.abs(ops.stop_gradient(kernel)), axis=axes, keepdims=True)
    # A channel of zeros needs a step too.
    steps = ops.where(largest > 0.0, largest, 1.0) / 127.0
    bias = ops.reshape(ops.abs(ops.stop_gradient(bias)), steps.shape)
    codes_of_bias = _MOST_OF_BIAS * ops.maximum(input_step, 1e-30)
    steps = ops.where(input_step > 0.0, ops.maximum(steps, bias / codes_of_bias), steps)
    return _of_channels(steps, per_tensor)


def _rounded_kernel(kernel, bias, input_step, axes, per_tensor):
    return _rounded_to(kernel, _kernel_steps(kernel, bias, input_step, axes, per_tensor))


def _rounded_bias(kernel, bias, input_step, axes, per_tensor):
    kernel_steps = _kernel_steps(kernel, bias, input_step, axes, per_tensor)
    steps = input_step * ops.reshape(kernel_steps, (-1,))
    safe = ops.maximum(steps, 1e-30)
    return straight_through(bias, ops.where(steps > 0.0, ops.round(bias / safe) * steps, bias))


def _rounded_to(kernel, steps):
    """What the codes stand for."""
    return straight_through(kernel, ops.round(kernel / steps) * steps)


def _of_channels(steps, per_tensor):
    """Steps of channels as the file has them: of one step the largest, for each channel."""
    return ops.ones_like(steps) * ops.max(steps) if per_tensor else steps


@keras.saving.register_keras_serializable(package="care_keras")
class QuantizedConv2D(QuantizedKernel, primitives.Conv2D, quantizes=primitives.Conv2D):
    """`Conv2D` with int8 kernel and int32 bias."""


@keras.saving.register_keras_serializable(package="care_keras")
class QuantizedDepthwiseConv2D(
    QuantizedKernel, primitives.DepthwiseConv2D, quantizes=primitives.DepthwiseConv2D
):
    """`DepthwiseConv2D` with int8 kernel and int32 bias."""


@keras.saving.register_keras_serializable(package="care_keras")
class QuantizedTransposedConv2D(
    QuantizedKernel, primitives.TransposedConv2D, quantizes=primitives.TransposedConv2D
):
    """`TransposedConv2D` with int8 kernel and int32 bias."""


@keras.saving.register_keras_serializable(package="care_keras")
class QuantizedChannelScale(
    KernelSteps, primitives.ChannelScale, quantizes=primitives.ChannelScale
):
    """`ChannelScale` as a depthwise kernel of one tap: each factor is 127 steps of its own."""

    def forward_kernel(self) -> keras.KerasTensor:
        # Of steps of their own factors are exact.
        return _rounded_to(self.kernel, self._kernel_steps()) if self.per_tensor else self.kernel

    def _kernel_steps(self):
        largest = ops.abs(ops.stop_gradient(ops.convert_to_tensor(self.kernel)))
        return _of_channels(ops.where(largest > 0.0, largest, 1.0) / 127.0, self.per_tensor)


@keras.saving.register_keras_serializable(package="care_keras")
class QuantizedRsqrt(primitives.Rsqrt, quantizes=primitives.Rsqrt):
    """`Rsqrt` that meets the code of 0.

    At inference the output is then the largest there is, as in TFLite's
    kernel. In training it stays finite: what is under 0.6 of the input's step
    counts as that much.
    """

    def build(self, input_shape) -> None:
        self.input_step = self.add_weight(
            name="input_step", shape=(), initializer="zeros", trainable=False
        )

    def call(self, inputs, training=None) -> keras.KerasTensor:
        floor = ops.maximum(0.6 * self.input_step, 1e-12) if training else 1e-30
        return ops.rsqrt(ops.maximum(inputs, floor))
