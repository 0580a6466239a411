"""Layers that do nothing at inference."""

import inspect

import keras

from care_keras.deploy.lowering import Lowered, NoPrimitiveError, lowers

_NAMES = (
    "ActivityRegularization",
    "AlphaDropout",
    "AugMix",
    "CutMix",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "Identity",
    "MixUp",
    "RandAugment",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
)
# All that Keras has; RandomCrop alone resizes where it does not crop.
_RANDOM = {
    name: kind
    for name, kind in vars(keras.layers).items()
    if name.startswith("Random") and name != "RandomCrop" and inspect.isclass(kind)
}
_LAYERS = {getattr(keras.layers, name) for name in _NAMES if hasattr(keras.layers, name)}


@lowers(
    *_LAYERS, *_RANDOM.values(), "StopGradient", "Identity", "StochasticDepth", takes_affine=True
)
def lower_nothing(build, layer, x, rewrites) -> Lowered:
    """The input."""
    return x


@lowers("Cast", takes_affine=True)
def lower_cast(build, operation, x, rewrites) -> Lowered:
    """The input: everything is computed in float32."""
    if not str(operation.dtype).startswith(("float", "bfloat")):
        raise NoPrimitiveError(f"dtype={operation.dtype!r}")
    return x
