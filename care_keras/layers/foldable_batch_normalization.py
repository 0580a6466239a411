"""BatchNorm that a converter can fold into a neighbouring convolution."""

import keras


@keras.saving.register_keras_serializable(package="care_keras")
class FoldableBatchNormalization(keras.layers.BatchNormalization):
    """`BatchNormalization` as CARE has it: momentum 0.9, epsilon 1e-5.

    `folded` is an attribute that a converter sets on its own copy of a model
    once a neighbouring convolution does the layer's work; the layer then
    passes its input on. It is not part of the configuration.

    Args:
        **kwargs: Arguments of `keras.layers.BatchNormalization`.

    Input and output shape: `(..., channels)`.
    """

    def __init__(self, momentum: float = 0.9, epsilon: float = 1e-5, **kwargs):
        super().__init__(momentum=momentum, epsilon=epsilon, **kwargs)
        self.folded = False

    def call(self, inputs, training=None, mask=None):
        if self.folded:
            return inputs
        return super().call(inputs, training=training, mask=mask)
