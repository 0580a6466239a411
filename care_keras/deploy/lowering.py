"""How layers become primitives: who lowers which, and what adds primitives to a graph."""

from collections.abc import Callable

import keras
import numpy as np

from care_keras import primitives

# Class of a layer, or of an operation of `keras.ops` -> what writes it on primitives.
LOWERINGS: dict[type, Callable] = {}


def lowers(*kinds: type) -> Callable:
    """Registers how operations of some classes, and of their subclasses, become primitives.

    The function takes `(build, layer, inputs, rewrites)`: a `Builder`, the
    layer or operation, its symbolic input (a list of several, of an operation
    of `keras.ops` numbers as well), and the `Rewrites` to make; it returns the
    symbolic output. A primitive lowers to itself without any.

    Example:
    ```python
    @lowers(keras.layers.ELU)
    def lower_elu(build, layer, x, rewrites):
        return build.add(primitives.Elu, x, layer.name)
    ```
    """

    def register(function):
        LOWERINGS.update(dict.fromkeys(kinds, function))
        return function

    return register


def find_lowering(operation: keras.Operation) -> Callable | None:
    """What lowers an operation's class or its nearest base, or `None`."""
    return next((LOWERINGS[base] for base in type(operation).__mro__ if base in LOWERINGS), None)


class Builder:
    """Each method adds one primitive and returns its symbolic output.

    A name that is taken, as by a model that is called twice, gets a number.
    """

    def __init__(self):
        self._names = set()

    def name(self, wanted: str) -> str:
        """A name that no layer has yet."""
        number, name = 1, wanted
        while name in self._names:
            name = f"{wanted}_{number}"
            number += 1
        self._names.add(name)
        return name

    def call(self, layer, inputs, *weights) -> keras.KerasTensor:
        """Calls a layer and gives it its weights."""
        outputs = layer(inputs)
        if weights:
            self.assign(layer, *weights)
        return outputs

    def assign(self, layer, *weights) -> None:
        """Sets the weights of a layer from float64 arrays."""
        layer.set_weights([np.asarray(weight, np.float32) for weight in weights])

    def add(self, primitive, inputs, name, *args, **kwargs) -> keras.KerasTensor:
        """A primitive without weights, by its class."""
        return primitive(*args, name=self.name(name), dtype="float32", **kwargs)(inputs)

    def conv(self, x, kernel, bias, name, strides=1) -> keras.KerasTensor:
        """`Conv2D` with a kernel of shape `(size, size, channels, filters)`."""
        return self.call(self.conv_layer(kernel, name, strides), x, kernel, bias)

    def conv_layer(self, kernel, name, strides=1) -> primitives.Conv2D:
        """The layer of `conv`, still to be called."""
        size, _, _, filters = kernel.shape
        return primitives.Conv2D(filters, size, strides, name=self.name(name), dtype="float32")

    def depthwise(self, x, kernel, bias, name, dilation_rate=(1, 1)) -> keras.KerasTensor:
        """`DepthwiseConv2D` with a kernel of shape `(height, width, channels, 1)`."""
        layer = primitives.DepthwiseConv2D(
            kernel.shape[:2], dilation_rate, name=self.name(name), dtype="float32"
        )
        return self.call(layer, x, kernel, bias)

    def channel_scale(self, x, scale, name) -> keras.KerasTensor:
        """`ChannelScale` with a factor for each channel."""
        layer = primitives.ChannelScale(name=self.name(name), dtype="float32")
        return self.call(layer, x, scale)

    def channel_affine(self, x, scale, offset, name) -> keras.KerasTensor:
        """`ChannelAffine` with a factor and an offset for each channel."""
        layer = primitives.ChannelAffine(name=self.name(name), dtype="float32")
        return self.call(layer, x, scale, offset)
