"""Pooling and resizing: each number of the output comes from a window of a channel's own."""

import keras
import numpy as np
from keras import ops

from care_keras.primitives.base import Primitive
from care_keras.primitives.int8 import Int8, Output

RESIZINGS = ("bilinear", "nearest")
# Which place of the input a pixel of the output is taken at, by ONNX's names: their centres are
# laid on one another, those of the corners' pixels are, or the upper and left edges.
COORDINATES = ("half_pixel", "align_corners", "asymmetric")


class _Pool(Primitive):
    """Base of both poolings.

    Args:
        pool_size: `(height, width)` of the window.
        strides: `(vertical, horizontal)` steps in pixels.
        padding: `"valid"` or `"same"`, as TensorFlow means it.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape: `(batch, height, width, channels)`.
    """

    def __init__(self, pool_size, strides, padding: str = "valid", **kwargs):
        super().__init__(**kwargs)
        self.pool_size = tuple(pool_size)
        self.strides = tuple(strides)
        self.padding = padding

    def compute_output_shape(self, input_shape):
        sizes = []
        for size, window, stride in zip(
            input_shape[1:3], self.pool_size, self.strides, strict=True
        ):
            if size is not None and self.padding == "same":
                size = -(-size // stride)
            elif size is not None:
                size = (size - window) // stride + 1
            sizes.append(size)
        return (input_shape[0], *sizes, input_shape[3])

    def get_config(self):
        return {
            **super().get_config(),
            "pool_size": list(self.pool_size),
            "strides": list(self.strides),
            "padding": self.padding,
        }


def same_padding(size: int, taps: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Pixels before and behind an image of some size that padding of kind "same" adds."""
    reach = (taps - 1) * dilation + 1
    missing = max((-(-size // stride) - 1) * stride + reach - size, 0)
    return missing // 2, missing - missing // 2


@keras.saving.register_keras_serializable(package="care_keras")
class MaxPool2D(_Pool):
    """MAX_POOL_2D; arguments as of `keras.layers.MaxPooling2D`, sizes in pairs."""

    int8 = Int8(Output.LIKE_INPUT)

    def call(self, inputs) -> keras.KerasTensor:
        return ops.max_pool(inputs, self.pool_size, self.strides, self.padding, "channels_last")


@keras.saving.register_keras_serializable(package="care_keras")
class AveragePool2D(_Pool):
    """AVERAGE_POOL_2D; arguments as of `keras.layers.AveragePooling2D`, sizes in pairs.

    Where a window reaches out of the image, the mean is that of what is inside.
    """

    int8 = Int8(Output.LIKE_INPUT, interpolates=True)

    def call(self, inputs) -> keras.KerasTensor:
        paddings = tuple(self._paddings(inputs.shape))
        if all(before == behind for before, behind in paddings):
            return self._average(inputs, self.padding)
        # Keras 3.15 repeats the last pixels there under PyTorch, and counts them.
        paddings = ((0, 0), *paddings, (0, 0))
        inside = ops.ones_like(inputs[:1, :, :, :1])
        sums, shares = (self._average(ops.pad(x, paddings), "valid") for x in (inputs, inside))
        return sums / shares

    def _average(self, x, padding):
        return ops.average_pool(x, self.pool_size, self.strides, padding, "channels_last")

    def _paddings(self, input_shape):
        """Pixels before and behind the image, where its size is known."""
        windows = zip(input_shape[1:3], self.pool_size, self.strides, strict=True)
        for size, taps, stride in windows:
            pads = self.padding == "same" and isinstance(size, int)
            yield same_padding(size, taps, stride) if pads else (0, 0)


@keras.saving.register_keras_serializable(package="care_keras")
class Resize(Primitive):
    """RESIZE_BILINEAR or RESIZE_NEAREST_NEIGHBOR.

    Args:
        factor: `(vertical, horizontal)` whole numbers to enlarge by, or `None`.
        size: Height and width of the output in pixels, where there is no factor.
        interpolation: `"bilinear"` or `"nearest"`.
        coordinates: `"half_pixel"`, as Keras; or, with a size and of maps of a known one,
            `"align_corners"` or `"asymmetric"`, as files from elsewhere have it.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape: `(batch, height, width, channels)`.
    """

    int8 = Int8(Output.LIKE_INPUT, interpolates=True)

    def __init__(
        self,
        factor=None,
        size=None,
        interpolation: str = "bilinear",
        coordinates: str = "half_pixel",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if (factor is None) == (size is None) or interpolation not in RESIZINGS:
            raise ValueError(
                f"Either `factor` or `size` is given, and one of {RESIZINGS}. "
                f"Received: factor={factor}, size={size}, interpolation={interpolation!r}"
            )
        if coordinates not in COORDINATES or (factor and coordinates != "half_pixel"):
            raise ValueError(
                f"`coordinates` must be one of {COORDINATES}, with a factor the first. "
                f"Received: coordinates={coordinates!r}, factor={factor}"
            )
        self.factor = None if factor is None else tuple(factor)
        self.size = None if size is None else tuple(size)
        self.interpolation = interpolation
        self.coordinates = coordinates

    def sizes(self, input_shape) -> tuple:
        """Height and width of the output; `None` of what is not known."""
        if self.size is not None:
            return self.size
        pairs = zip(input_shape[1:3], self.factor, strict=True)
        return tuple(None if size is None else size * factor for size, factor in pairs)

    def call(self, inputs) -> keras.KerasTensor:
        if self.coordinates != "half_pixel":
            rows, columns = (
                ops.convert_to_tensor(self._shares(*sides), inputs.dtype)
                for sides in zip(inputs.shape[1:3], self.size, strict=True)
            )
            return ops.einsum("oh,bhwc,pw->bopc", rows, inputs, columns)
        if self.interpolation == "nearest" and self.factor is not None:
            rows = ops.repeat(inputs, self.factor[0], axis=1)
            return ops.repeat(rows, self.factor[1], axis=2)
        size = self.sizes(ops.shape(inputs))
        return ops.image.resize(
            inputs, size, interpolation=self.interpolation, data_format="channels_last"
        )

    def _shares(self, length, target):
        """How much of each input pixel is in each output pixel of a side, `(target, length)`."""
        aligned = int(self.coordinates == "align_corners" and target > 1)
        places = np.arange(target) * ((length - aligned) / (target - aligned))
        if self.interpolation == "nearest":
            places = np.floor(places + 0.5 * (self.coordinates == "align_corners"))
        places = np.clip(places, 0.0, length - 1.0)[:, None]
        return np.maximum(1.0 - np.abs(places - np.arange(length)), 0.0)

    def compute_output_shape(self, input_shape) -> tuple:
        return (input_shape[0], *self.sizes(input_shape), input_shape[3])

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "factor": self.factor and list(self.factor),
            "size": self.size and list(self.size),
            "interpolation": self.interpolation,
            "coordinates": self.coordinates,
        }
