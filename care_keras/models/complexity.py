"""Parameters and multiply-accumulates of a model, counted from its layers.

Nothing is run: the counts follow from each layer's kernel and the size of the
map it works on, so they are exact and the same on every backend.
"""

import dataclasses
import math
from collections.abc import Sequence

import keras

from care_keras.layers import LayerScale, LinearAttention

_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
# Layers with weights that work element by element: not counted, by convention.
_ELEMENTWISE = (keras.layers.BatchNormalization, keras.layers.LayerNormalization, LayerScale)


@dataclasses.dataclass(frozen=True)
class PartComplexity:
    """The counts of one part of a model, for one image.

    Attributes:
        name: `"stem"`, `"stage1"`, ..., `"classifier"`.
        height: Height of the map that the part puts out, in pixels.
        width: Width of it.
        parameters: Trainable parameters.
        conv_dense_macs: Multiply-accumulates of convolutions (depthwise ones
            too) and dense layers.
        attention_macs: Those of attention's matrix products, which have no
            weights: `k^T v` and `q @ (k^T v)`. They grow linearly with the
            number of tokens.
    """

    name: str
    height: int
    width: int
    parameters: int
    conv_dense_macs: int
    attention_macs: int


@dataclasses.dataclass(frozen=True)
class Complexity:
    """The counts of a whole model, for one image.

    Attributes:
        image_shape: `(height, width, channels)` of the image.
        parts: The counts part by part, in the order of computation.
    """

    image_shape: tuple[int, int, int]
    parts: tuple[PartComplexity, ...]

    @property
    def parameters(self) -> int:
        """Trainable parameters; BatchNorm's moving statistics are not."""
        return sum(part.parameters for part in self.parts)

    @property
    def conv_dense_macs(self) -> int:
        """Multiply-accumulates of convolutions and dense layers."""
        return sum(part.conv_dense_macs for part in self.parts)

    @property
    def attention_macs(self) -> int:
        """Multiply-accumulates of attention's matrix products."""
        return sum(part.attention_macs for part in self.parts)

    @property
    def macs(self) -> int:
        """All multiply-accumulates."""
        return self.conv_dense_macs + self.attention_macs


def complexity(model: keras.Model, image_shape: Sequence[int]) -> Complexity:
    """Counts a CARE model's parameters and multiply-accumulates.

    The convention is that of the figures published with arXiv 2411.16170:
    convolutions and the dense layers of both heads make up the GMACs, biases,
    normalization, activations and sums count nothing. The products of linear
    attention are kept apart.

    Args:
        model: A `CAREClassifier`, a `CAREBackbone`, or another chain of their
            layers.
        image_shape: `(height, width)` or `(height, width, channels)` in pixels.

    Returns:
        The counts, part by part and summed.

    Raises:
        ValueError: If the image is too small for the model's strides, or the
            model has layers with weights whose work is not known here.
    """
    if len(image_shape) not in (2, 3) or min(image_shape) < 1:
        raise ValueError(
            "`image_shape` must be (height, width) or (height, width, channels). "
            f"Received: image_shape={tuple(image_shape)}"
        )
    image_shape = (*image_shape, 3)[:3]
    size = tuple(image_shape[:2])
    parts = {}
    for layer in _chain(model):
        if isinstance(layer, _CONVOLUTIONS):
            try:
                size = layer.compute_output_shape((1, *size, layer.kernel.shape[2]))[1:3]
            except ValueError as error:
                raise ValueError(
                    f"The image is too small for {model.name}. Received: image_shape={image_shape}"
                ) from error
        conv_dense_macs, attention_macs = _macs(layer, math.prod(size))
        # "stage2_block1" -> "stage2"; a downsampling belongs to the stage it opens.
        name = layer.name.partition("_")[0]
        before = parts.get(name, PartComplexity(name, *size, 0, 0, 0))
        parts[name] = PartComplexity(
            name,
            *size,
            before.parameters + sum(math.prod(w.shape) for w in layer.trainable_weights),
            before.conv_dense_macs + conv_dense_macs,
            before.attention_macs + attention_macs,
        )
    return Complexity(image_shape, tuple(parts.values()))


def _chain(model):
    """The layers with weights, nested models taken apart, in order."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _chain(layer)
        elif layer.weights:
            yield layer


def _macs(layer, pixels):
    """`(conv and dense, attention)` of one layer whose inner convs keep the map's size."""
    conv_dense = attention = 0
    # Keras has no public walk over the layers inside a layer.
    for part in layer._flatten_layers():
        if isinstance(part, _CONVOLUTIONS):
            conv_dense += pixels * math.prod(part.kernel.shape)
        elif isinstance(part, keras.layers.Dense):
            # The heads' dense layers come after the mean over the map.
            conv_dense += math.prod(part.kernel.shape)
        elif isinstance(part, LinearAttention):
            channels = part.query_key.kernel.shape[2]
            attention += 2 * pixels * channels * part.head_dim
        elif _is_leaf_with_weights(part) and not isinstance(part, _ELEMENTWISE):
            raise ValueError(
                "The work of this kind of layer is not known. "
                f"Received: layer={part.name} ({type(part).__name__})"
            )
    return conv_dense, attention


def _is_leaf_with_weights(layer):
    return bool(layer.weights) and len(list(layer._flatten_layers())) == 1
