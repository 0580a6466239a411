"""Layers that are a factor and an offset for each channel: folded wherever that is exact."""

import keras
import numpy as np

from care_keras.deploy.lowering import (
    Affine,
    Lowered,
    NoPrimitiveError,
    identity,
    is_of_keras,
    lowers,
)
from care_keras.primitives.folding import array, batch_norm_affine


def _affine_of(operation, shape) -> tuple[np.ndarray, np.ndarray] | None:
    """`(scale, offset)` of a layer that is no more than that, float64 `(channels,)`.

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
    scale, offset = (np.asarray(x, np.float64) for x in (scale, offset))
    of_channels = all(
        x.size in (1, shape[-1]) and x.size == (x.shape or (1,))[-1] for x in (scale, offset)
    )
    if not of_channels or any(one % len(shape) != len(shape) - 1 for one in axes):
        return None
    ones = np.ones(shape[-1])
    return scale.reshape(-1) * ones, offset.reshape(-1) * ones


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
    found = _affine_of(layer, (x.tensor if isinstance(x, Affine) else x).shape)
    if found is None:
        raise NoPrimitiveError("its factors are not those of the last axis")
    if isinstance(layer, keras.layers.BatchNormalization) and not rewrites.fold_batch_norm:
        return build.channel_affine(build.tensor(x), *found, layer.name)
    return (x if isinstance(x, Affine) else identity(x)).then(*found, layer.name)
