"""Layers that are a factor and an offset for each channel: folded wherever that is exact."""

import keras
import numpy as np

from care_keras.deploy.lowering import Affine, Lowered, NoPrimitiveError, identity, lowers
from care_keras.primitives.folding import batch_norm_affine


def affine_of(operation, channels: int) -> tuple[np.ndarray, np.ndarray] | None:
    """`(scale, offset)` of a layer that is no more than that, float64 `(channels,)`."""
    if isinstance(operation, keras.layers.BatchNormalization):
        scale, offset = batch_norm_affine(operation)
    elif isinstance(operation, keras.layers.Rescaling):
        scale, offset = operation.scale, operation.offset
    elif isinstance(operation, keras.layers.Normalization):
        scale, offset = _normalization(operation)
    else:
        return None
    scale, offset = (np.asarray(x, np.float64).reshape(-1) for x in (scale, offset))
    if not {len(scale), len(offset)} <= {1, channels}:
        return None
    ones = np.ones(channels)
    return scale * ones, offset * ones


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
    takes_affine=True,
)
def lower_affine(build, layer, x, rewrites) -> Lowered:
    """Still to be computed, or folded into what comes next."""
    x = x if isinstance(x, Affine) else identity(x)
    channels, rank = x.tensor.shape[-1], len(x.tensor.shape)
    axis = getattr(layer, "axis", -1)
    axis = axis[0] if isinstance(axis, (list, tuple)) and len(axis) == 1 else axis
    last = axis in (-1, rank - 1)
    found = affine_of(layer, channels) if last or axis in (None, ()) else None
    if found is None:
        raise NoPrimitiveError("its factors are not those of the last axis")
    if isinstance(layer, keras.layers.BatchNormalization) and not rewrites.fold_batch_norm:
        return build.channel_affine(build.tensor(x), *found, layer.name)
    return x.then(*found, layer.name)
