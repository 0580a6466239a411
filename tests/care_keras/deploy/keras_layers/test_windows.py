"""Pooling, sums over axes, and resizing."""

import keras
from keras import layers, ops

from tests.care_keras.deploy.keras_layers.harness import LayerCase, all_checks


def of(layer, **kwargs):
    return LayerCase(lambda x: layer()(x), **kwargs)


LAYERS = {
    "max pooling": of(layers.MaxPooling2D),
    "max pooling same": of(lambda: layers.MaxPooling2D(3, 2, "same")),
    "max pooling (2, 1)": of(lambda: layers.MaxPooling2D((2, 1), (1, 2))),
    "average pooling": of(lambda: layers.AveragePooling2D(2)),
    "average pooling same": of(
        lambda: layers.AveragePooling2D(3, 2, "same"), size=(7, 9), any_size=False
    ),
    "average pooling strides 1": of(lambda: layers.AveragePooling2D(3, 1, "same")),
    "global average": of(layers.GlobalAveragePooling2D),
    "global average kept": of(lambda: layers.GlobalAveragePooling2D(keepdims=True)),
    "global max": of(layers.GlobalMaxPooling2D),
    "global max kept": of(lambda: layers.GlobalMaxPooling2D(keepdims=True)),
    "global average of rows": LayerCase(
        lambda x: layers.GlobalAveragePooling1D()(layers.Reshape((-1, 3))(x))
    ),
    "global max of rows": LayerCase(
        lambda x: layers.GlobalMaxPooling1D(keepdims=True)(layers.Reshape((-1, 3))(x))
    ),
    "adaptive average": of(lambda: layers.AdaptiveAveragePooling2D((3, 2)), any_size=False),
    "adaptive average to one pixel": of(lambda: layers.AdaptiveAveragePooling2D(1)),
    "adaptive max": of(lambda: layers.AdaptiveMaxPooling2D((2, 4)), any_size=False),
    "enlarged": of(lambda: layers.UpSampling2D(2)),
    "enlarged (1, 3)": of(lambda: layers.UpSampling2D((1, 3))),
    "enlarged bilinear": of(lambda: layers.UpSampling2D((2, 3), interpolation="bilinear")),
    "resized": of(lambda: layers.Resizing(9, 5)),
    "resized smaller": of(lambda: layers.Resizing(3, 4)),
    "resized nearest": of(lambda: layers.Resizing(12, 4, interpolation="nearest")),
    "resized to what it is": of(lambda: layers.Resizing(6, 8), any_size=False),
}
OPERATIONS = {
    "max pooling": lambda x: ops.max_pool(x, (2, 3), 2, padding="same"),
    "average pooling": lambda x: ops.average_pool(x, (2, 3), 2),
    "mean": lambda x: ops.mean(x, axis=(1, 2)),
    "mean kept": lambda x: ops.mean(x, axis=[1, 2], keepdims=True),
    "mean of channels": lambda x: ops.mean(x, axis=-1, keepdims=True),
    "max": lambda x: ops.max(x, axis=(1, 2)),
    "max of rows": lambda x: ops.max(x, axis=2),
    "min": lambda x: ops.min(x, axis=(1, 2)),
    "sum of channels": lambda x: ops.sum(x, axis=-1, keepdims=True),
    "variance": lambda x: ops.var(x, axis=(1, 2)),
}
FIXED_SIZE = {
    "sum": lambda x: ops.sum(x, axis=(1, 2)),
    "mean of columns": lambda x: ops.mean(x, axis=2),
    "resize": lambda x: ops.image.resize(x, (12, 16)),
}
CASES = {name: LayerCase(make) for name, make in OPERATIONS.items()}
CASES |= {name: LayerCase(make, any_size=False) for name, make in FIXED_SIZE.items()}


# Where more pixels are padded behind than before, Keras 3.15 counts repeated ones under PyTorch.
if keras.backend.backend() != "torch":
    LAYERS["average pooling same (3, 2)"] = of(lambda: layers.AveragePooling2D((3, 2), 2, "same"))


@all_checks(LAYERS)
def test_layer(case, check):
    check(case)


@all_checks(CASES)
def test_operation(case, check):
    check(case)
