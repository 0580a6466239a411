"""Stochastic depth, per sample."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="care_keras")
class DropPath(keras.layers.Layer):
    """Drops a residual branch for whole samples, and rescales the others.

    Active in training only. Source: "Deep Networks with Stochastic Depth",
    arXiv 1603.09382, with the surviving samples divided by `1 - rate` so that
    the expectation does not change.

    Args:
        rate: Probability in `[0, 1)` that a sample's branch is dropped.
        seed: Seed of the layer's own random generator.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input and output shape: `(batch, ...)`.

    Raises:
        ValueError: If `rate` is outside `[0, 1)`.
    """

    def __init__(self, rate: float = 0.0, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        if not 0.0 <= rate < 1.0:
            raise ValueError(f"`rate` must be in [0, 1). Received: rate={rate}")
        self.rate = rate
        self.seed = seed
        # No generator, and so no state in saved files, where nothing is drawn.
        if rate > 0.0:
            self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=None) -> keras.KerasTensor:
        if not training or self.rate == 0.0:
            return inputs
        mask_shape = (ops.shape(inputs)[0],) + (1,) * (len(inputs.shape) - 1)
        keep = 1.0 - self.rate
        uniform = keras.random.uniform(mask_shape, dtype="float32", seed=self.seed_generator)
        mask = ops.cast(uniform < keep, inputs.dtype)
        return inputs * (mask / ops.cast(keep, inputs.dtype))

    def compute_output_shape(self, input_shape) -> tuple:
        return input_shape

    def get_config(self) -> dict:
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
