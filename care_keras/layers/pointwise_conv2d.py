"""A 1x1 convolution whose training step is a matrix product."""

import keras
from keras import ops

from care_keras.layers.initializers import kernel_initializer

_OF_A_PRODUCT = {
    "strides": (1, 1),
    "dilation_rate": (1, 1),
    "groups": 1,
    "use_bias": True,
    "data_format": "channels_last",
    "activation": keras.activations.linear,
}


@keras.saving.register_keras_serializable(package="care_keras")
class PointwiseConv2D(keras.layers.Conv2D):
    """A 1x1 `Conv2D` that is computed as a matrix product in training.

    The values and the weights are those of `Conv2D`. The gradients of a 1x1
    convolution take a CPU several times longer than those of the product, and
    are most of a training step; at inference it stays a convolution, the
    operation that mobile runtimes know best.

    Args:
        filters: Output channels.
        **kwargs: Those of `keras.layers.Conv2D` that leave it such a product with a bias.

    Raises:
        ValueError: If one does not.

    Input shape: `(batch, height, width, channels)`. Output shape: `(batch,
    height, width, filters)`.
    """

    def __init__(self, filters: int, **kwargs):
        kwargs.setdefault("kernel_initializer", kernel_initializer())
        super().__init__(filters, kernel_size=1, **kwargs)
        for name, value in _OF_A_PRODUCT.items():
            if getattr(self, name) != value:
                raise ValueError(
                    f"A pointwise convolution has {name}={value!r}. "
                    f"Received: {name}={getattr(self, name)!r}"
                )

    def call(self, inputs, training=None) -> keras.KerasTensor:
        if not training:
            return super().call(inputs)
        batch, height, width, channels = ops.shape(inputs)
        rows = ops.reshape(inputs, (-1, channels))
        kernel = ops.reshape(self.kernel, (channels, self.filters))
        outputs = ops.matmul(rows, kernel) + self.bias
        return ops.reshape(outputs, (batch, height, width, self.filters))

    def get_config(self) -> dict:
        config = super().get_config()
        del config["kernel_size"]
        return config
