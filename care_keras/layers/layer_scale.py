"""Learnable per-channel scaling of a residual branch."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="care_keras")
class LayerScale(keras.layers.Layer):
    """Multiplies each channel by a learned factor that starts small.

    Source: "Going deeper with Image Transformers" (CaiT), eq. 4; called
    ``gamma`` in CARE's published checkpoints.

    Args:
        initial_value: Value every factor starts from.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input and output shape: `(..., channels)`.
    """

    def __init__(self, initial_value: float = 1e-6, **kwargs):
        super().__init__(**kwargs)
        self.initial_value = initial_value

    def build(self, input_shape) -> None:
        self.gamma = self.add_weight(
            name="gamma",
            shape=(input_shape[-1],),
            initializer=keras.initializers.Constant(self.initial_value),
        )

    def call(self, inputs) -> keras.KerasTensor:
        return inputs * ops.cast(self.gamma, inputs.dtype)

    def compute_output_shape(self, input_shape) -> tuple:
        return input_shape

    def get_config(self) -> dict:
        return {**super().get_config(), "initial_value": self.initial_value}
