"""BatchNorm that a converter can fold into a neighbouring convolution."""

import keras


@keras.saving.register_keras_serializable(package="care_keras")
class FoldableBatchNormalization(keras.layers.BatchNormalization):
    """`BatchNormalization` as CARE has it: momentum 0.9, epsilon 1e-5.

    It stands before or behind a convolution that pads nothing, which
    `care_keras.deploy.fuse` folds it into.

    Args:
        **kwargs: Arguments of `keras.layers.BatchNormalization`.

    Input and output shape: `(..., channels)`.
    """

    def __init__(self, momentum: float = 0.9, epsilon: float = 1e-5, **kwargs):
        super().__init__(momentum=momentum, epsilon=epsilon, **kwargs)
