"""Operations that move numbers and change none."""

import keras
from keras import ops

from care_keras.primitives.base import Primitive
from care_keras.primitives.int8 import Int8, Output

_MOVES = Int8(Output.LIKE_INPUT, precisions=("int8", "int16"))


@keras.saving.register_keras_serializable(package="care_keras")
class ChannelSlice(Primitive):
    """SLICE of the last axis: channels `start` to `start + size`.

    Args:
        start: First channel.
        size: Number of channels.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    int8 = _MOVES

    def __init__(self, start: int, size: int, **kwargs):
        super().__init__(**kwargs)
        self.start = start
        self.size = size

    def call(self, inputs) -> keras.KerasTensor:
        return inputs[..., self.start : self.start + self.size]

    def compute_output_shape(self, input_shape) -> tuple:
        return (*input_shape[:-1], self.size)

    def get_config(self) -> dict:
        return {**super().get_config(), "start": self.start, "size": self.size}


@keras.saving.register_keras_serializable(package="care_keras")
class Concatenate(Primitive):
    """CONCATENATION of a list of tensors along the channels."""

    int8 = Int8(Output.LIKE_INPUT, joins_inputs=True, precisions=("int8", "int16"))

    def call(self, inputs) -> keras.KerasTensor:
        return ops.concatenate(inputs, axis=-1)

    def compute_output_shape(self, input_shape) -> tuple:
        return (*input_shape[0][:-1], sum(shape[-1] for shape in input_shape))


@keras.saving.register_keras_serializable(package="care_keras")
class FlattenPixels(Primitive):
    """RESHAPE of `(batch, height, width, channels)` to `(batch, pixels, channels)`."""

    int8 = _MOVES

    def call(self, inputs) -> keras.KerasTensor:
        batch, height, width, channels = ops.shape(inputs)
        return ops.reshape(inputs, (batch, height * width, channels))

    def compute_output_shape(self, input_shape) -> tuple:
        batch, height, width, channels = input_shape
        pixels = None if height is None or width is None else height * width
        return (batch, pixels, channels)


@keras.saving.register_keras_serializable(package="care_keras")
class UnflattenPixels(Primitive):
    """RESHAPE back: `[pixels, like]` to the height and width of `like`.

    Inputs: a list of `(batch, height * width, channels)` and of a map
    `(batch, height, width, ...)`. Output: `(batch, height, width, channels)`.
    """

    int8 = _MOVES

    def call(self, inputs) -> keras.KerasTensor:
        pixels, like = inputs
        batch, height, width = ops.shape(like)[:3]
        return ops.reshape(pixels, (batch, height, width, pixels.shape[-1]))

    def compute_output_shape(self, input_shape) -> tuple:
        pixels, like = input_shape
        return (*like[:3], pixels[-1])


@keras.saving.register_keras_serializable(package="care_keras")
class SqueezePixels(Primitive):
    """RESHAPE of `(batch, 1, 1, channels)` to `(batch, channels)`."""

    int8 = _MOVES

    def call(self, inputs) -> keras.KerasTensor:
        return ops.reshape(inputs, (-1, inputs.shape[-1]))

    def compute_output_shape(self, input_shape) -> tuple:
        return (input_shape[0], input_shape[-1])


@keras.saving.register_keras_serializable(package="care_keras")
class Transpose(Primitive):
    """TRANSPOSE of the last two axes."""

    int8 = _MOVES

    def call(self, inputs) -> keras.KerasTensor:
        return ops.swapaxes(inputs, -1, -2)

    def compute_output_shape(self, input_shape) -> tuple:
        return (*input_shape[:-2], input_shape[-1], input_shape[-2])
