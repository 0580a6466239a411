"""How Keras's own layers, and operations of `keras.ops`, become primitives."""

# They register their lowerings.
from care_keras.deploy.keras_layers import (  # noqa: F401
    activations,
    affine,
    arithmetic,
    attention,
    convolutions,
    normalization,
    nothing,
    shapes,
    windows,
)
