"""Multiply-accumulates of the network on a backbone, counted call by call."""

import math

import keras

from care_keras.graph import unfold

_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)


def head_macs(model: keras.Model) -> int:
    """Multiply-accumulates of all convolutions of a model but its backbone's, for one image.

    A layer that several levels of a pyramid share counts once for each. Biases,
    normalization, sums and enlargements count nothing, as in `complexity`.

    Args:
        model: A `SemanticFPN` or `RetinaNet` for images of one size.

    Raises:
        ValueError: If it takes images of any size.
    """
    if None in model.inputs[0].shape[1:3]:
        raise ValueError(
            "A model of one image size is counted: give its backbone an `input_shape`. "
            f"Received: {model.inputs[0].shape}"
        )
    of_backbone = {id(layer) for layer in model.backbone._flatten_layers()}
    total = 0

    def call(operation, *args, **kwargs):
        nonlocal total
        result = operation(*args, **kwargs)
        if isinstance(operation, _CONVOLUTIONS) and id(operation) not in of_backbone:
            total += math.prod(result.shape[1:3]) * math.prod(operation.kernel.shape)
        return result

    unfold(model).run(model.inputs, call)
    return total
