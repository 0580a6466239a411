"""The initializer every convolution and dense layer of CARE starts from."""

import keras


def kernel_initializer() -> keras.initializers.Initializer:
    """Truncated normal of standard deviation 0.02; a fresh one for each layer."""
    return keras.initializers.TruncatedNormal(stddev=0.02)
