"""Convolutions that carry a bias, and the activation that TFLite fuses into them."""

import keras
from keras import ops

from care_keras.primitives.base import Primitive
from care_keras.primitives.fused_activation import FusedActivation
from care_keras.primitives.int8 import Int8


class _Convolution(FusedActivation, Primitive):
    """Base: the window, and the weights as the quantized form may round them."""

    def __init__(self, kernel_size, strides, padding, dilation_rate, **kwargs):
        super().__init__(**kwargs)
        self.kernel_size = _pair(kernel_size)
        self.strides = _pair(strides)
        self.padding = padding
        self.dilation_rate = _pair(dilation_rate)

    @property
    def pads_nothing(self) -> bool:
        """Whether no tap can lie outside of the image."""
        return self.padding == "valid" or self.kernel_size == (1, 1)

    def forward_kernel(self) -> keras.KerasTensor:
        """The kernel as the convolution uses it; the quantized form rounds it."""
        return self.kernel

    def forward_bias(self) -> keras.KerasTensor:
        """The bias as the convolution uses it; the quantized form rounds it."""
        return self.bias

    def _output_sizes(self, input_shape):
        windows = zip(
            input_shape[1:3], self.kernel_size, self.strides, self.dilation_rate, strict=True
        )
        for size, taps, stride, dilation in windows:
            if size is None:
                yield None
            elif self.padding == "same":
                yield -(-size // stride)
            else:
                yield (size - (taps - 1) * dilation - 1) // stride + 1

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "kernel_size": list(self.kernel_size),
            "strides": list(self.strides),
            "padding": self.padding,
            "dilation_rate": list(self.dilation_rate),
        }


def _pair(value):
    return (value, value) if isinstance(value, int) else tuple(value)


@keras.saving.register_keras_serializable(package="care_keras")
class Conv2D(_Convolution):
    """CONV_2D: convolution with bias.

    Args:
        filters: Output channels.
        kernel_size: Height and width of the kernel, one number or two.
        strides: Steps in pixels, likewise.
        padding: `"valid"` or `"same"`, as TensorFlow means it.
        dilation_rate: Distances of the taps in pixels, one number or two.
        groups: Parts of the channels that are convolved each for itself.
        activation: See `FusedActivation`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape: `(batch, height, width, channels)`. Output shape: `(batch,
    height', width', filters)`. The kernel has the shape `(*kernel_size,
    channels / groups, filters)`.
    """

    int8 = Int8(precisions=("int8", "int16"))

    # Axes of the kernel that the output channels lie on.
    channel_axes = (3,)

    def __init__(
        self,
        filters: int,
        kernel_size=1,
        strides=1,
        padding: str = "valid",
        dilation_rate=1,
        groups: int = 1,
        **kwargs,
    ):
        super().__init__(kernel_size, strides, padding, dilation_rate, **kwargs)
        self.filters = filters
        self.groups = groups

    def build(self, input_shape) -> None:
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*self.kernel_size, input_shape[-1] // self.groups, self.filters),
            initializer="zeros",
        )
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")

    def call(self, inputs, training=None) -> keras.KerasTensor:
        kernel = self.forward_kernel()
        pointwise = self.kernel_size == self.strides == (1, 1) and self.groups == 1
        if training and pointwise:
            # On a CPU the gradients of a product take a fraction of those of a convolution.
            batch, height, width, channels = ops.shape(inputs)
            rows = ops.reshape(inputs, (-1, channels))
            outputs = ops.matmul(rows, ops.reshape(kernel, (channels, self.filters)))
            outputs = ops.reshape(outputs, (batch, height, width, self.filters))
        else:
            outputs = ops.conv(
                inputs, kernel, self.strides, self.padding, "channels_last", self.dilation_rate
            )
        return self.activate(outputs + self.forward_bias())

    def compute_output_shape(self, input_shape) -> tuple:
        return (input_shape[0], *self._output_sizes(input_shape), self.filters)

    def get_config(self) -> dict:
        return {**super().get_config(), "filters": self.filters, "groups": self.groups}


@keras.saving.register_keras_serializable(package="care_keras")
class DepthwiseConv2D(_Convolution):
    """DEPTHWISE_CONV_2D: each channel has kernels of its own, and a bias for each.

    Args:
        kernel_size: Height and width of the kernel, one number or two.
        dilation_rate: Distances of the taps in pixels, likewise.
        strides: Steps in pixels; both are the same number, as TFLite has it.
        padding: `"same"` or `"valid"`, as TensorFlow means it.
        depth_multiplier: Kernels of a channel.
        dense: Whether an int8 file has it as a CONV_2D of pixels side by side,
            whose taps between channels are 0; of a plain one with an odd kernel.
        activation: See `FusedActivation`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape: `(batch, height, width, channels)`. Output shape: `(batch,
    height', width', channels * depth_multiplier)`. The kernel has the shape
    `(*kernel_size, channels, depth_multiplier)`.
    """

    int8 = Int8(precisions=("int8", "int16"))

    channel_axes = (2, 3)

    def __init__(
        self,
        kernel_size,
        dilation_rate=(1, 1),
        strides=1,
        padding: str = "same",
        depth_multiplier: int = 1,
        dense: bool = False,
        **kwargs,
    ):
        super().__init__(kernel_size, strides, padding, dilation_rate, **kwargs)
        self.depth_multiplier = depth_multiplier
        self.dense = dense
        plain = self.strides == self.dilation_rate == (1, 1) and padding == "same"
        odd = all(size % 2 for size in self.kernel_size)
        if dense and not (plain and odd and depth_multiplier == 1):
            raise ValueError(
                "A dense one takes steps of 1, an odd kernel and the padding of `same`. "
                f"Received: kernel_size={kernel_size}, strides={strides}, padding={padding!r}, "
                f"dilation_rate={dilation_rate}, depth_multiplier={depth_multiplier}"
            )

    def build(self, input_shape) -> None:
        shape = (*self.kernel_size, input_shape[-1], self.depth_multiplier)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer="zeros")
        channels = input_shape[-1] * self.depth_multiplier
        self.bias = self.add_weight(name="bias", shape=(channels,), initializer="zeros")

    def call(self, inputs) -> keras.KerasTensor:
        outputs = ops.depthwise_conv(
            inputs,
            self.forward_kernel(),
            strides=self.strides,
            padding=self.padding,
            data_format="channels_last",
            dilation_rate=self.dilation_rate,
        )
        return self.activate(outputs + self.forward_bias())

    def compute_output_shape(self, input_shape) -> tuple:
        channels = input_shape[-1] * self.depth_multiplier
        return (input_shape[0], *self._output_sizes(input_shape), channels)

    def get_config(self) -> dict:
        own = {"depth_multiplier": self.depth_multiplier, "dense": self.dense}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="care_keras")
class TransposedConv2D(_Convolution):
    """TRANSPOSE_CONV: the gradient of a convolution, with bias: an enlarging one.

    Args:
        filters: Output channels.
        kernel_size: Height and width of the kernel, one number or two.
        strides: Pixels of the output for one of the input, likewise.
        padding: `"valid"` or `"same"`, as TensorFlow means it.
        activation: See `FusedActivation`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape: `(batch, height, width, channels)`. Output shape: `(batch,
    height', width', filters)`, `height * stride` with `"same"`, and `kernel -
    stride` more, if that is positive, with `"valid"`. The kernel has the shape
    `(*kernel_size, filters, channels)`.
    """

    channel_axes = (2,)

    def __init__(self, filters: int, kernel_size=2, strides=2, padding: str = "valid", **kwargs):
        # TFLite's knows no dilation; a config has it as all convolutions do.
        kwargs.pop("dilation_rate", None)
        super().__init__(kernel_size, strides, padding, 1, **kwargs)
        self.filters = filters

    def build(self, input_shape) -> None:
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*self.kernel_size, self.filters, input_shape[-1]),
            initializer="zeros",
        )
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")

    def call(self, inputs) -> keras.KerasTensor:
        outputs = ops.conv_transpose(
            inputs, self.forward_kernel(), self.strides, self.padding, data_format="channels_last"
        )
        return self.activate(outputs + self.forward_bias())

    def compute_output_shape(self, input_shape) -> tuple:
        more = [
            max(taps - stride, 0) if self.padding == "valid" else 0
            for taps, stride in zip(self.kernel_size, self.strides, strict=True)
        ]
        sizes = [
            None if size is None else size * stride + extra
            for size, stride, extra in zip(input_shape[1:3], self.strides, more, strict=True)
        ]
        return (input_shape[0], *sizes, self.filters)

    def get_config(self) -> dict:
        return {**super().get_config(), "filters": self.filters}
