"""Operations that move numbers and change none."""

import math

import keras
from keras import ops

from care_keras.primitives.base import Primitive
from care_keras.primitives.int8 import Int8, Output

_MOVES = Int8(Output.LIKE_INPUT, precisions=("int8", "int16"))


class _MovesIntegers(Primitive):
    """Base: takes numbers, or int32 places, which stay int32."""

    int8 = Int8(Output.LIKE_INPUT, precisions=("int8", "int16", "int32"))

    def compute_output_spec(self, inputs) -> keras.KerasTensor:
        dtype = "int32" if inputs.dtype == "int32" else self.compute_dtype
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=dtype)


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
    """CONCATENATION of a list of tensors.

    Args:
        axis: From 1, or from the last one, -1, down.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    int8 = Int8(Output.LIKE_INPUT, joins_inputs=True, precisions=("int8", "int16"))

    def __init__(self, axis: int = -1, **kwargs):
        super().__init__(**kwargs)
        self.axis = axis

    def call(self, inputs) -> keras.KerasTensor:
        return ops.concatenate(inputs, axis=self.axis)

    def compute_output_shape(self, input_shape) -> tuple:
        sizes = [shape[self.axis] for shape in input_shape]
        shape = list(input_shape[0])
        shape[self.axis] = None if None in sizes else sum(sizes)
        return tuple(shape)

    def get_config(self) -> dict:
        return {**super().get_config(), "axis": self.axis}


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


@keras.saving.register_keras_serializable(package="care_keras")
class Reshape(_MovesIntegers):
    """RESHAPE.

    Of sizes that hold more or fewer numbers than an image has, several make one image of the
    output or several images come of one: windows of a map that attention runs on one by one,
    and back.

    Args:
        target_shape: Without the batch's axis; one size may be -1.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, target_shape, **kwargs):
        super().__init__(**kwargs)
        self.target_shape = tuple(target_shape)

    def call(self, inputs) -> keras.KerasTensor:
        return ops.reshape(inputs, (-1, *self._sizes(inputs.shape)))

    def _sizes(self, input_shape):
        """The target with its open size filled in, where that is known."""
        if -1 not in self.target_shape or None in input_shape[1:]:
            return self.target_shape
        open_size = math.prod(input_shape[1:]) // -math.prod(self.target_shape)
        return tuple(open_size if size == -1 else size for size in self.target_shape)

    def compute_output_shape(self, input_shape) -> tuple:
        sizes = tuple(None if size == -1 else size for size in self._sizes(input_shape))
        if None in input_shape or None in sizes:
            return (input_shape[0], *sizes)
        return (math.prod(input_shape) // math.prod(sizes), *sizes)

    def get_config(self) -> dict:
        return {**super().get_config(), "target_shape": list(self.target_shape)}


@keras.saving.register_keras_serializable(package="care_keras")
class Permute(_MovesIntegers):
    """TRANSPOSE of all axes but the batch's.

    Args:
        order: Of the axes, from 1: `(2, 1, 3)` swaps the first two.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, order, **kwargs):
        super().__init__(**kwargs)
        self.order = tuple(order)

    def call(self, inputs) -> keras.KerasTensor:
        return ops.transpose(inputs, (0, *self.order))

    def compute_output_shape(self, input_shape) -> tuple:
        return (input_shape[0], *(input_shape[axis] for axis in self.order))

    def get_config(self) -> dict:
        return {**super().get_config(), "order": list(self.order)}


@keras.saving.register_keras_serializable(package="care_keras")
class Slice(_MovesIntegers):
    """SLICE or STRIDED_SLICE of all axes but the batch's.

    Args:
        begin: First place on each axis, from 0; negative from the end.
        end: Place behind the last on each axis, likewise; `None` for all.
        strides: Distance of the places, positive.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, begin, end, strides=None, **kwargs):
        super().__init__(**kwargs)
        self.begin = tuple(begin)
        self.end = tuple(end)
        self.strides = tuple(strides or (1,) * len(self.begin))

    def slices(self) -> tuple[slice, ...]:
        """One for each axis but the batch's."""
        ends = zip(self.begin, self.end, self.strides, strict=True)
        return tuple(slice(*three) for three in ends)

    def call(self, inputs) -> keras.KerasTensor:
        return inputs[(slice(None), *self.slices())]

    def compute_output_shape(self, input_shape) -> tuple:
        sizes = [
            None if size is None else len(range(*part.indices(size)))
            for size, part in zip(input_shape[1:], self.slices(), strict=True)
        ]
        return (input_shape[0], *sizes)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "begin": list(self.begin),
            "end": list(self.end),
            "strides": list(self.strides),
        }


@keras.saving.register_keras_serializable(package="care_keras")
class Pad(Primitive):
    """PAD of all axes but the batch's with 0.

    Args:
        paddings: `(before, behind)` of each axis.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    int8 = _MOVES

    def __init__(self, paddings, **kwargs):
        super().__init__(**kwargs)
        self.paddings = tuple(tuple(pair) for pair in paddings)

    def call(self, inputs) -> keras.KerasTensor:
        return ops.pad(inputs, ((0, 0), *self.paddings))

    def compute_output_shape(self, input_shape) -> tuple:
        sizes = [
            None if size is None else size + sum(pair)
            for size, pair in zip(input_shape[1:], self.paddings, strict=True)
        ]
        return (input_shape[0], *sizes)

    def get_config(self) -> dict:
        return {**super().get_config(), "paddings": [list(pair) for pair in self.paddings]}
