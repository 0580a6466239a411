"""The teacher: a ResNet for small images, arXiv 1603.05027."""

import keras


def resnet(classes: int, width: int = 64, blocks: tuple[int, ...] = (2, 2, 2, 2)) -> keras.Model:
    """ResNet-18 with pre-activation, whose first convolution keeps the size; logits."""
    # The teacher alone computes in half precision: its file is not kept.
    with _policy("mixed_bfloat16"):
        x = inputs = keras.Input((32, 32, 3))
        x = _conv(x, width, 3)
        for stage, count in enumerate(blocks):
            for block in range(count):
                x = _block(x, width * 2**stage, 2 if stage and not block else 1)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
        x = keras.layers.GlobalAveragePooling2D()(x)
        return keras.Model(inputs, keras.layers.Dense(classes, dtype="float32")(x))


def _block(x, channels, stride):
    shortcut, x = x, keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    if stride > 1 or shortcut.shape[-1] != channels:
        shortcut = _conv(x, channels, 1, stride)
    x = _conv(x, channels, 3, stride)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    return keras.layers.Add()([_conv(x, channels, 3), shortcut])


def _conv(x, channels, kernel, stride=1):
    return keras.layers.Conv2D(
        channels, kernel, stride, "same", use_bias=False, kernel_initializer="he_normal"
    )(x)


class _policy:
    """Within it layers have another dtype policy."""

    def __init__(self, name):
        self._name = name

    def __enter__(self):
        self._before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self._name)

    def __exit__(self, *_):
        keras.config.set_dtype_policy(self._before)
