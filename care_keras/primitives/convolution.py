"""Convolutions that carry a bias and nothing else."""

import keras
from keras import ops

from care_keras.primitives.base import Primitive
from care_keras.primitives.int8 import Int8


@keras.saving.register_keras_serializable(package="care_keras")
class Conv2D(Primitive):
    """CONV_2D: dense convolution with bias, no padding.

    Args:
        filters: Output channels.
        kernel_size: Height and width of the kernel.
        strides: Step in pixels, in both directions.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape: `(batch, height, width, channels)`. Output shape: `(batch,
    (height - kernel_size) // strides + 1, ..., filters)`. The kernel has the
    shape `(kernel_size, kernel_size, channels, filters)`.
    """

    int8 = Int8(precisions=("int8", "int16"))

    # Axis of the kernel that the output channels lie on.
    channel_axis = 3

    def __init__(self, filters: int, kernel_size: int = 1, strides: int = 1, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides

    def build(self, input_shape) -> None:
        size = self.kernel_size
        self.kernel = self.add_weight(
            name="kernel",
            shape=(size, size, input_shape[-1], self.filters),
            initializer="zeros",
        )
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")

    def call(self, inputs, training=None) -> keras.KerasTensor:
        kernel = self.forward_kernel()
        if training and self.kernel_size == 1:
            # On a CPU the gradients of a product take a fraction of those of a convolution.
            batch, height, width, channels = ops.shape(inputs)
            rows = ops.reshape(inputs, (-1, channels))
            outputs = ops.matmul(rows, ops.reshape(kernel, (channels, self.filters)))
            outputs = ops.reshape(outputs, (batch, height, width, self.filters))
        else:
            outputs = ops.conv(inputs, kernel, self.strides, "valid", "channels_last")
        return outputs + self.forward_bias()

    def forward_kernel(self) -> keras.KerasTensor:
        """The kernel as the convolution uses it; the quantized form rounds it."""
        return self.kernel

    def forward_bias(self) -> keras.KerasTensor:
        """The bias as the convolution uses it; the quantized form rounds it."""
        return self.bias

    def compute_output_shape(self, input_shape) -> tuple:
        sizes = [
            None if size is None else (size - self.kernel_size) // self.strides + 1
            for size in input_shape[1:3]
        ]
        return (input_shape[0], *sizes, self.filters)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
        }


@keras.saving.register_keras_serializable(package="care_keras")
class DepthwiseConv2D(Primitive):
    """DEPTHWISE_CONV_2D: one kernel per channel, 'same' padding, stride 1.

    Args:
        kernel_size: `(height, width)` of the kernel.
        dilation_rate: `(vertical, horizontal)` distance of the taps in pixels.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input and output shape: `(batch, height, width, channels)`. The kernel has
    the shape `(height, width, channels, 1)`.
    """

    int8 = Int8(precisions=("int8", "int16"))

    channel_axis = 2

    def __init__(self, kernel_size, dilation_rate=(1, 1), **kwargs):
        super().__init__(**kwargs)
        self.kernel_size = tuple(kernel_size)
        self.dilation_rate = tuple(dilation_rate)

    def build(self, input_shape) -> None:
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*self.kernel_size, input_shape[-1], 1),
            initializer="zeros",
        )
        self.bias = self.add_weight(name="bias", shape=(input_shape[-1],), initializer="zeros")

    def call(self, inputs) -> keras.KerasTensor:
        outputs = ops.depthwise_conv(
            inputs,
            self.forward_kernel(),
            strides=1,
            padding="same",
            data_format="channels_last",
            dilation_rate=self.dilation_rate,
        )
        return outputs + self.forward_bias()

    def forward_kernel(self) -> keras.KerasTensor:
        """The kernel as the convolution uses it; the quantized form rounds it."""
        return self.kernel

    def forward_bias(self) -> keras.KerasTensor:
        """The bias as the convolution uses it; the quantized form rounds it."""
        return self.bias

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "kernel_size": list(self.kernel_size),
            "dilation_rate": list(self.dilation_rate),
        }
