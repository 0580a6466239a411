"""What adds primitives to a graph, and folds them into each other."""

import contextlib
from collections.abc import Iterator

import keras
import numpy as np

from care_keras import primitives
from care_keras.deploy.lowering import Affine, NoPrimitiveError, shape_of
from care_keras.primitives.folding import (
    array,
    fold_affine_after_conv,
    fold_affine_before,
    folds_affine_before,
)
from care_keras.primitives.fused_activation import FusedActivation
from care_keras.primitives.window import same_padding

# Of tensors of fewer channels a sum with a constant for each of them is faster in float32 than a
# depthwise convolution of one tap; of 8 and more it is not.
_FEW_CHANNELS = 4


class Builder:
    """Each method adds one primitive and returns its symbolic output.

    A name that is taken, as by a model that is called twice, gets a number.

    Args:
        offset_by_add: See `Rewrites`.
    """

    def __init__(self, offset_by_add: bool = False):
        self._offset_by_add = offset_by_add
        # By id: tensors that more than one operation reads, or that the model returns.
        self.shared = set()
        self._names = set()
        # By the tensor that it gives: the layer, what it was given, and the tensor, which must
        # live as long as its id is a key.
        self._calls = {}
        # Of each affine map that was computed; and of which the offset alone was.
        self._computed = {}
        self._shifted = {}

    def name(self, wanted: str) -> str:
        """A name that no layer has yet."""
        number, name = 1, wanted
        while name in self._names:
            name = f"{wanted}_{number}"
            number += 1
        self._names.add(name)
        return name

    @contextlib.contextmanager
    def attempt(self) -> Iterator[None]:
        """Forgets what was added within it if that ends with a `NoPrimitiveError`."""
        before = self._names.copy(), self._computed.copy(), self._shifted.copy()
        try:
            yield
        except NoPrimitiveError:
            self._names, self._computed, self._shifted = before
            raise

    def call(self, layer, inputs, *weights) -> keras.KerasTensor:
        """Calls a layer and gives it its weights."""
        outputs = layer(inputs)
        if weights:
            self.assign(layer, *weights)
        self._calls[id(outputs)] = (layer, inputs, outputs)
        return outputs

    def assign(self, layer, *weights) -> None:
        """Sets the weights of a layer from float64 arrays."""
        layer.set_weights([np.asarray(weight, np.float32) for weight in weights])

    def add(self, primitive, inputs, name, *args, **kwargs) -> keras.KerasTensor:
        """A primitive without weights, by its class."""
        layer = primitive(*args, name=self.name(name), dtype="float32", **kwargs)
        return self.call(layer, inputs)

    def product_behind(self, x) -> primitives.Primitive | None:
        """What gave the numbers of a tensor: the layer, or the one behind a `Reshape` of pixels."""
        while id(x) in self._calls:
            layer, inputs, _ = self._calls[id(x)]
            if not isinstance(layer, primitives.Reshape) or inputs.shape[-1] != x.shape[-1]:
                return layer
            if id(inputs) in self.shared:
                return None
            x = inputs
        return None

    def foldable(self, x) -> FusedActivation | None:
        """What gave a tensor, if what follows may become part of it: nothing else reads it."""
        layer = None if id(x) in self.shared else self.product_behind(x)
        linear = isinstance(layer, FusedActivation) and layer.activation == "linear"
        return layer if linear else None

    def producer(self, x) -> tuple[primitives.Primitive, object] | None:
        """The layer that gave a tensor and what it was given; `None` of another's tensor."""
        return self._calls[id(x)][:2] if id(x) in self._calls else None

    def conv(
        self, x, kernel, bias, name, strides=1, padding="valid", dilation_rate=1, **kwargs
    ) -> keras.KerasTensor:
        """`Conv2D` with a kernel of shape `(height, width, channels / groups, filters)`.

        An affine map before it is folded where that is exact, and a `Pad` where
        `"same"` pads as much.
        """
        layer = primitives.Conv2D(
            kernel.shape[3],
            kernel.shape[:2],
            strides,
            padding,
            dilation_rate,
            name=self.name(name),
            dtype="float32",
            **kwargs,
        )
        x, kernel, bias = self._fold_before(layer, x, kernel, bias)
        return self.call(layer, x, kernel, bias)

    def depthwise(
        self, x, kernel, bias, name, dilation_rate=(1, 1), strides=1, padding="same", **kwargs
    ) -> keras.KerasTensor:
        """`DepthwiseConv2D` with a kernel of shape `(height, width, channels, multiplier)`."""
        layer = primitives.DepthwiseConv2D(
            kernel.shape[:2],
            dilation_rate,
            strides,
            padding,
            kernel.shape[3],
            name=self.name(name),
            dtype="float32",
            **kwargs,
        )
        x, kernel, bias = self._fold_before(layer, x, kernel, bias)
        return self.call(layer, x, kernel, bias)

    def sum_of_depthwise(self, x, pieces, name, last=None, **kwargs) -> keras.KerasTensor:
        """Depthwise convolutions of one tensor, added up.

        Args:
            x: The tensor.
            pieces: `(kernel, bias, dilation_rate)` of each.
            name: Of the whole.
            last: Of the last sum, by default numbered as the others are.
            **kwargs: Of each `DepthwiseConv2D`.
        """
        total = None
        for number, (kernel, bias, dilation_rate) in enumerate(pieces):
            piece = f"{name}_piece{number + 1}"
            y = self.depthwise(x, kernel, bias, piece, dilation_rate, **kwargs)
            own = last if last and number == len(pieces) - 1 else f"{name}_sum{number}"
            total = y if total is None else self.add(primitives.Add, [total, y], own)
        return total

    def _fold_before(self, layer, x, kernel, bias):
        """What a convolution reads, its kernel and its bias, with what lies before it folded."""
        if isinstance(x, Affine) and folds_affine_before(layer, x.offset):
            return x.tensor, *fold_affine_before(layer, kernel, bias, x.scale, x.offset)
        shift = self._shift(x) if isinstance(x, Affine) and id(x) not in self._computed else None
        if shift is not None:
            if id(x) not in self._shifted:
                name = f"{x.name}_offset"
                self._shifted[id(x)] = (
                    self.constant(primitives.AddConstant, x.tensor, shift, name),
                    x,
                )
            # A padded 0 is 0 behind the factor as well.
            nothing = np.zeros_like(x.offset)
            folded = fold_affine_before(layer, kernel, bias, x.scale, nothing)
            return self._shifted[id(x)][0], *folded
        return self._unpadded(layer, self.tensor(x)), kernel, bias

    def _shift(self, value):
        """What to add to a tensor so that a factor makes an affine map of it; `None` if not by ADD.

        It is one number, or one for each channel.
        """
        if not self._offset_by_add or not np.all(value.scale):
            return None
        shift = value.offset / value.scale
        if not np.all(np.isfinite(shift.astype(np.float32))):
            return None
        if not np.ptp(shift):
            return shift[0]
        return shift if len(shift) < _FEW_CHANNELS else None

    def _unpadded(self, layer, x):
        """What a `Pad` before a convolution pads, where the convolution can pad as much itself."""
        pad, source = self.producer(x) or (None, None)
        is_pad = isinstance(pad, primitives.Pad) and len(pad.paddings) == 3
        if layer.padding != "valid" or not is_pad or None in source.shape[1:3]:
            return x
        windows = source.shape[1:3], layer.kernel_size, layer.strides, layer.dilation_rate
        if pad.paddings != (*map(same_padding, *windows), (0, 0)):
            return x
        layer.padding = "same"
        return source

    def fold_after(self, layer, scale, offset) -> None:
        """Makes a convolution give `scale * output + offset`."""
        kernel, bias = array(layer.kernel), array(layer.bias)
        if isinstance(layer, primitives.Conv2D):
            folded = fold_affine_after_conv(kernel, bias, scale, offset)
        elif isinstance(layer, primitives.DepthwiseConv2D):
            factors = scale.reshape(kernel.shape[2:])
            folded = kernel * factors, bias * scale + offset
        else:
            folded = kernel * scale[:, None], bias * scale + offset
        self.assign(layer, *folded)

    def dense(self, x, kernel, bias, name, **kwargs) -> keras.KerasTensor:
        """A product with a matrix over the last axis, of any rank.

        It is a 1x1 convolution, whose int8 kernel has a step for each output.
        """
        shape = shape_of(x)
        if isinstance(x, Affine):
            kernel, bias = kernel * x.scale[:, None], bias + x.offset @ kernel
            x = x.tensor
        x = self.as_map(x, f"{name}_input")
        output_name = f"{name}_product" if len(shape) != 4 else name
        x = self.conv(x, kernel[None, None], bias, output_name, **kwargs)
        return self.from_map(x, (*shape[:-1], kernel.shape[1]), name)

    def as_map(self, x, name) -> keras.KerasTensor:
        """A tensor of any rank as `(batch, rows, columns, channels)`."""
        sizes = x.shape[1:]
        if len(sizes) == 3:
            return x
        before = self.before_reshape(x)
        if len(before.shape) == 4 and before.shape[-1] == sizes[-1]:
            return before
        rows = {1: 1}.get(len(sizes), -1 if None in sizes[:-1] else int(np.prod(sizes[:-1])))
        return self.reshape(before, (None, rows, 1, sizes[-1]), name)

    def from_map(self, x, shape, name) -> keras.KerasTensor:
        """Back to another shape, whose first axis is the batch."""
        return x if len(shape) == 4 else self.reshape(x, shape, name)

    def before_reshape(self, x) -> keras.KerasTensor:
        """The tensor of the same numbers that no RESHAPE has touched, through any number of them.

        It is read by others where one of those between is.
        """
        shared, found = False, self.producer(x)
        while found is not None and isinstance(found[0], primitives.Reshape):
            shared |= id(x) in self.shared
            x = found[1]
            found = self.producer(x)
        if shared:
            self.shared.add(id(x))
        return x

    def reshape(self, x, shape, name) -> keras.KerasTensor:
        """RESHAPE to a shape whose first axis is the batch, and of which one size may be open.

        Of several in a row the last one is left, and of one that undoes another
        neither.
        """
        sizes = [-1 if size is None else int(size) for size in shape[1:]]
        if sizes.count(-1) > 1:
            raise NoPrimitiveError("more than one size is open")
        x = self.before_reshape(x)
        reshape = primitives.Reshape(sizes)
        known = None not in x.shape[1:]
        if known and reshape.compute_output_shape(x.shape)[1:] == tuple(x.shape[1:]):
            return x
        return self.add(primitives.Reshape, x, name, sizes)

    def channel_scale(self, x, scale, name) -> keras.KerasTensor:
        """`ChannelScale` with a factor for each channel."""
        layer = primitives.ChannelScale(name=self.name(name), dtype="float32")
        return self.call(layer, x, scale)

    def channel_affine(self, x, scale, offset, name) -> keras.KerasTensor:
        """A factor and an offset for each channel: a depthwise convolution of one tap."""
        shape = x.shape
        x = self.as_map(x, f"{name}_input")
        mapped = f"{name}_map" if len(shape) != 4 else name
        x = self.depthwise(x, scale.reshape(1, 1, -1, 1), offset, mapped)
        return self.from_map(x, shape, name)

    def constant(self, primitive, x, value, name, **kwargs) -> keras.KerasTensor:
        """`AddConstant` or `MultiplyConstant` with a number or an array."""
        value = np.asarray(value, np.float64)
        layer = primitive(value.shape, name=self.name(name), dtype="float32", **kwargs)
        return self.call(layer, x, value)

    def tensor(self, value) -> keras.KerasTensor:
        """A value as a tensor: an affine map that met nothing to be folded into is computed."""
        if not isinstance(value, Affine):
            return value
        if id(value) not in self._computed:
            self._computed[id(value)] = (self._compute(value), value)
        x = self._computed[id(value)][0]
        # It is read by others where the affine map is.
        if id(value) in self.shared:
            self.shared.add(id(x))
        return x

    def _compute(self, value):
        scale, offset = value.scale, value.offset
        of_numbers = not np.ptp(scale) and not np.ptp(offset)
        if self._offset_by_add and of_numbers and offset.any():
            x = value.tensor
            if scale[0] != 1.0:
                name = f"{value.name}_scaled"
                x = self.constant(primitives.MultiplyConstant, x, scale[0], name)
            return self.constant(primitives.AddConstant, x, offset[0], value.name)
        if offset.any() or np.ptp(scale):
            return self.channel_affine(value.tensor, scale, offset, value.name)
        if scale[0] == 1.0:
            return value.tensor
        return self.constant(primitives.MultiplyConstant, value.tensor, scale[0], value.name)
