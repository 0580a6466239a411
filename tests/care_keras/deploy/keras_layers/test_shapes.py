"""What changes shapes and moves numbers."""

from keras import layers, ops

from tests.care_keras.deploy.keras_layers.harness import LayerCase, all_checks


def of(layer, **kwargs):
    return LayerCase(lambda x: layer()(x), **kwargs)


def averages(x):
    return layers.GlobalAveragePooling2D()(x)


LAYERS = {
    "reshape": of(lambda: layers.Reshape((12, 4, 3)), any_size=False),
    "reshape with an open size": of(lambda: layers.Reshape((-1, 3))),
    "flatten": of(layers.Flatten),
    "flatten of rank 2": LayerCase(lambda x: layers.Flatten()(averages(x))),
    "permute": of(lambda: layers.Permute((3, 1, 2))),
    "repeat a vector": LayerCase(lambda x: layers.RepeatVector(3)(averages(x))),
    "padding": of(lambda: layers.ZeroPadding2D(((0, 1), (2, 0)))),
    "padding before a convolution": LayerCase(
        lambda x: layers.Conv2D(4, 3, 2)(layers.ZeroPadding2D(1)(x))
    ),
    "cropping": of(lambda: layers.Cropping2D(((1, 0), (2, 1)))),
    "cropping of the middle": of(lambda: layers.CenterCrop(3, 4), any_size=False),
}


def in_windows(x, of_windows):
    """What is done to windows of 3x4 pixels, each an image of its own."""
    channels = x.shape[-1]
    x = ops.transpose(ops.reshape(x, (-1, 2, 3, 2, 4, channels)), (0, 1, 3, 2, 4, 5))
    x = of_windows(ops.reshape(x, (-1, 12, channels)))
    x = ops.transpose(ops.reshape(x, (-1, 2, 2, 3, 4, channels)), (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, 6, 8, channels))


def attended(x):
    x = layers.Dense(4)(x)
    return layers.MultiHeadAttention(2, 4, flash_attention=False)(x, x)[..., :3]


def convolved(x):
    x = layers.Conv2D(3, 3, padding="same")(ops.reshape(x, (-1, 3, 4, 3)))
    return ops.reshape(x, (-1, 12, 3))


OPERATIONS = {
    "pad": lambda x: ops.pad(x, ((0, 0), (1, 2), (0, 1), (0, 0))),
    "pad channels": lambda x: ops.pad(x, ((0, 0), (0, 0), (0, 0), (1, 2)), constant_values=0),
    "concatenate": lambda x: ops.concatenate([x, ops.relu(x)], axis=-1),
    "concatenate rows": lambda x: ops.concatenate([x, ops.relu(x)], axis=1),
    "squeeze": lambda x: ops.squeeze(ops.mean(x, axis=1, keepdims=True), axis=1),
    "expand dims": lambda x: ops.expand_dims(averages(x), 1),
    "transpose": lambda x: ops.transpose(x, (0, 3, 1, 2)),
    "swap axes": lambda x: ops.swapaxes(x, 1, -1),
    "move an axis": lambda x: ops.moveaxis(x, 1, 3),
    "slice": lambda x: x[:, 1:-1, ::2, :2],
    "slice of channels": lambda x: x[..., 1:],
    "one of the rows": lambda x: x[:, 2],
    "one of the columns": lambda x: x[0:, :, -2],
    "a copy": lambda x: ops.tanh(x)[:, :],
    "split": lambda x: list(ops.split(x, 3, axis=-1)),
    "split unevenly": lambda x: list(ops.split(x, [1], axis=3)),
    "split into one": lambda x: ops.relu(ops.split(x, 1, axis=-1)[0]),
    "repeat rows": lambda x: ops.repeat(x, 2, axis=1),
    "repeat columns": lambda x: ops.repeat(x, 3, axis=-2),
    "tile": lambda x: ops.tile(x, (1, 2, 1, 2)),
    "roll to where it was": lambda x: ops.roll(ops.tanh(x), 3, axis=-1),
    "tile channels": lambda x: ops.tile(x, 2),
    "cast": lambda x: ops.cast(ops.cast(ops.tanh(x), "float16"), "float32") + x,
    "stop gradient": lambda x: ops.stop_gradient(x),
}
FIXED_SIZE = {
    "one of the channels": lambda x: x[..., -1],
    "reshape": lambda x: ops.reshape(x, (-1, 6, 24)),
    "reshape to pixels": lambda x: ops.reshape(x, (-1, 48, 3)),
    "roll": lambda x: ops.roll(x, -2, axis=1),
    "roll two axes": lambda x: ops.roll(x, (1, 3), axis=(1, 2)),
    "windows": lambda x: in_windows(x, lambda x: ops.softmax(x, axis=1)),
    "attention in windows": lambda x: in_windows(x, attended),
    "convolution of windows": lambda x: in_windows(x, convolved),
    "averages of rows": lambda x: ops.reshape(ops.mean(ops.reshape(x, (-1, 8, 3)), 1), (-1, 6, 3)),
    "stack": lambda x: ops.stack([x, ops.relu(x)], axis=1),
    "stack of vectors": lambda x: ops.stack([averages(x), ops.max(x, (1, 2))], axis=-1),
    "shuffle channels": lambda x: ops.reshape(
        ops.transpose(ops.reshape(ops.tile(x, 2), (-1, 6, 8, 2, 3)), (0, 1, 2, 4, 3)),
        (-1, 6, 8, 6),
    ),
}
CASES = {
    name: LayerCase(make, tolerance=1e-3 if name == "cast" else 1e-5)
    for name, make in OPERATIONS.items()
}
CASES |= {name: LayerCase(make, any_size=False) for name, make in FIXED_SIZE.items()}


@all_checks(LAYERS)
def test_layer(case, check):
    check(case)


@all_checks(CASES)
def test_operation(case, check):
    check(case)
