"""Layers that are a factor and an offset for each channel: folded wherever that is exact."""

import keras
import numpy as np

from care_keras.deploy.lowering import (
    Lowered,
    NoPrimitiveError,
    as_affine,
    is_of_keras,
    lowers,
    per_channel,
    shape_of,
)
from care_keras.primitives.folding import array, batch_norm_affine


def _affine_of(operation, shape) -> list[np.ndarray] | None:
    """`[scale, offset]` of a layer that is no more than that, float64 `(channels,)`.

    Args:
        operation: Any.
        shape: Of its input.
    """
    axis = getattr(operation, "axis", None)
    axes = axis if isinstance(axis, (list, tuple)) else [] if axis is None else [axis]
    if isinstance(operation, keras.layers.BatchNormalization):
        scale, offset = batch_norm_affine(operation)
    elif isinstance(operation, keras.layers.Rescaling):
        scale, offset = operation.scale, operation.offset
    elif isinstance(operation, keras.layers.Normalization):
        scale, offset = _normalization(operation)
    elif is_of_keras(operation, "LayerScale"):
        scale, offset = array(operation.gamma), 0.0
    else:
        return None
    if any(one % len(shape) != len(shape) - 1 for one in axes):
        return None
    return per_channel(shape[-1], *(np.asarray(x, np.float64) for x in (scale, offset)))


def _normalization(layer):
    mean, variance = (
        np.asarray(keras.ops.convert_to_numpy(x)) for x in (layer.mean, layer.variance)
    )
    # Keras's own guard against a variance of 0.
    deviation = np.maximum(np.sqrt(variance.astype(np.float64)), keras.config.epsilon())
    if layer.invert:
        return deviation, mean
    return 1.0 / deviation, -mean / deviation


@lowers(
    keras.layers.BatchNormalization,
    keras.layers.Rescaling,
    keras.layers.Normalization,
    "LayerScale",
    takes_affine=True,
)
def lower_affine(build, layer, x, rewrites) -> Lowered:
    """Still to be computed, or folded into what comes next."""
    found = _affine_of(layer, shape_of(x))
    if found is None:
        raise NoPrimitiveError("its factors are not those of the last axis")
    if isinstance(layer, keras.layers.BatchNormalization) and not rewrites.fold_batch_norm:
        return build.channel_affine(build.tensor(x), *found, layer.name)
    return as_affine(x).then(*found, layer.name)
