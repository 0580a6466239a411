"""Activations that TFLite computes within the operation before."""

import keras
from keras import ops

# Name -> `(lowest, highest)` of what they let through.
LIMITS = {
    "linear": (None, None),
    "relu": (0.0, None),
    "relu6": (0.0, 6.0),
    "relu_n1_to_1": (-1.0, 1.0),
}


def name_of(limits: tuple | None) -> str | None:
    """The activation that lets through what lies between two ends, or `None`."""
    return next((name for name, ends in LIMITS.items() if ends == limits), None)


def clip(x, low, high) -> keras.KerasTensor:
    """`x` between two numbers, of which one may be `None`."""
    if low == 0.0 and high is None:
        return ops.relu(x)
    if low is not None:
        x = ops.maximum(x, low)
    return x if high is None else ops.minimum(x, high)


class FusedActivation:
    """A primitive that may have one: mixed into its class.

    Args:
        activation: `"linear"`, `"relu"`, `"relu6"` or `"relu_n1_to_1"`. `fuse`
            changes it where it meets one behind the operation.
    """

    def __init__(self, activation: str = "linear", **kwargs):
        super().__init__(**kwargs)
        if activation not in LIMITS:
            raise ValueError(
                f"`activation` must be one of {tuple(LIMITS)}. Received: activation={activation!r}"
            )
        self.activation = activation

    def activate(self, x) -> keras.KerasTensor:
        """The activation of what was computed."""
        return x if self.activation == "linear" else clip(x, *LIMITS[self.activation])

    def get_config(self) -> dict:
        return {**super().get_config(), "activation": self.activation}
