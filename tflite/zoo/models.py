"""The networks of the zoo, without weights that would have to be fetched.

Weights are drawn so that layers keep their scale, the statistics of every
BatchNorm are those of photos, and the last kernel is fitted to the photos'
classes: activations are like a trained network's in size, what the network says
hangs on the image, and an error shows.
"""

from collections.abc import Callable

import keras
import numpy as np
from keras import layers

from care_keras.convert.preprocessing import model_preprocessing
from care_keras.data.overrides import InputOverrides
from care_keras.data.preprocessing import normalize
from care_keras.data.sources import open_source
from care_keras.models import build_model
from care_keras.models.config import BASE_CONFIGS, CARE_NANO

# Of the bundled photos.
_CLASSES = 10
# Photos that statistics are of, and that the last kernel is fitted to.
_STATISTICS, _FITTED = 32, 512
# Around 0, as it is drawn usually, a deep network of drawn weights is chaotic: it makes of one
# code's difference all there is, which no trained network does.
_NORM = {"gamma": 0.5, "beta": 1.0}
# Of the features' power: what keeps the fit from leaning on small ones.
_RIDGE = 1e-2


def _application(name, size, **kwargs):
    def build():
        model = getattr(keras.applications, name)
        # Logits: what is fitted, and what an error is measured in.
        kwargs.setdefault("classifier_activation", None)
        return model(weights=None, input_shape=(size, size, 3), classes=_CLASSES, **kwargs)

    return build


def _backbone(**kwargs):
    return build_model(
        CARE_NANO, include_top=False, weights="cifar10", input_shape=(32, 32, 3), **kwargs
    )


def _pooled():
    return _backbone(pooling="avg")


def _classifier():
    backbone = _backbone(pooling="avg")
    x = layers.Dropout(0.2)(backbone.output)
    return keras.Model(backbone.input, layers.Dense(_CLASSES)(x))


def _rescaled():
    images = keras.Input((32, 32, 3))
    x = layers.Rescaling(1 / 127.5, offset=-1)(images)
    return keras.Model(images, layers.Dense(_CLASSES)(_backbone(pooling="avg")(x)))


def _sequential():
    return keras.Sequential(
        [keras.Input((32, 32, 3)), _backbone(), layers.GlobalMaxPooling2D(), layers.Dense(_CLASSES)]
    )


def _segmenter():
    backbone = _backbone()
    x = layers.Conv2D(16, 3, padding="same", activation="relu")(backbone.output)
    x = layers.UpSampling2D(8, interpolation="bilinear")(x)
    return keras.Model(backbone.input, layers.Conv2D(5, 1)(x))


def _s0():
    return build_model(
        BASE_CONFIGS["s0"],
        weights=None,
        input_shape=(224, 224, 3),
        classes=_CLASSES,
        classifier_activation=None,
    )


def _vit(size=96, patch=8, width=96, depth=4):
    """A vision transformer with Keras's MultiHeadAttention."""
    images = keras.Input((size, size, 3))
    x = layers.Conv2D(width, patch, strides=patch, name="patches")(images)
    x = layers.Reshape((-1, width))(x)
    for _ in range(depth):
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        y = layers.MultiHeadAttention(4, width // 4)(y, y)
        x = layers.Add()([x, y])
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        y = layers.Dense(4 * width, activation="gelu")(y)
        x = layers.Add()([x, layers.Dense(width)(y)])
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization(epsilon=1e-6)(x))
    return keras.Model(images, layers.Dense(_CLASSES)(x), name="vit")


def _u_net(size=64):
    """An encoder and a decoder that meet at each size."""
    images = x = keras.Input((size, size, 3))
    seen = []
    for width in (16, 32, 64):
        x = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        seen.append(x)
        x = layers.MaxPooling2D()(x)
    for width in (32, 16, 8):
        x = layers.Conv2DTranspose(width, 3, strides=2, padding="same", activation="relu")(x)
        x = layers.Concatenate()([x, seen.pop()])
        x = layers.SeparableConv2D(width, 3, padding="same", activation="swish")(x)
    return keras.Model(images, layers.Conv2D(4, 1, activation="sigmoid")(x), name="u_net")


MODELS: dict[str, Callable[[], keras.Model]] = {
    "care_nano+pooling": _pooled,
    "care_nano+dense": _classifier,
    "rescaling+care_nano": _rescaled,
    "care_nano in Sequential": _sequential,
    "care_nano+segmentation": _segmenter,
    "care_s0": _s0,
    "MobileNet": _application("MobileNet", 224),
    "MobileNetV2": _application("MobileNetV2", 224),
    "MobileNetV3Small": _application("MobileNetV3Small", 224),
    "MobileNetV3Large": _application("MobileNetV3Large", 224),
    "EfficientNetB0": _application("EfficientNetB0", 224),
    "EfficientNetV2B0": _application("EfficientNetV2B0", 224),
    "ResNet50": _application("ResNet50", 224),
    "ConvNeXtTiny": _application("ConvNeXtTiny", 224),
    "DenseNet121": _application("DenseNet121", 224),
    "vit": _vit,
    "u_net": _u_net,
}


def build(name: str, seed: int = 0) -> keras.Model:
    """A model of the zoo with its weights.

    Args:
        name: Of `MODELS`.
        seed: Seed of the weights.
    """
    source = open_source("bundled", "train").sample(_FITTED)
    images = np.stack([source[index] for index in range(len(source))])
    keras.utils.set_random_seed(seed)
    model = MODELS[name]()
    generator = np.random.default_rng(seed)
    trained = name.startswith(("care_nano", "rescaling"))
    for layer in _leaves(model):
        for weight in layer.weights if not trained else ():
            _draw(layer, weight, generator)
    if not trained:
        _take_statistics(model, images[:_STATISTICS])
    if model.outputs[0].shape[1:] == (_CLASSES,):
        _fit_last_kernel(model, images, source.labels)
    return model


def _leaves(model):
    for layer in model.layers:
        inner = getattr(layer, "layers", None)
        if inner:
            yield from _leaves(layer)
        else:
            yield layer


def _draw(layer, weight, generator):
    shape = tuple(weight.shape)
    if isinstance(layer, layers.BatchNormalization) and weight.name in _NORM:
        weight.assign(np.full(shape, _NORM[weight.name]))
    elif "layer_scale" in weight.path or (weight.path.endswith("gamma") and "scale" in layer.name):
        weight.assign(generator.uniform(0.2, 0.7, shape))
    elif len(shape) > 1:
        # He's rule, of what one output sums.
        depthwise = isinstance(layer, layers.DepthwiseConv2D)
        inputs = np.prod(shape[:2]) if depthwise else np.prod(shape[:-1])
        weight.assign(generator.normal(size=shape) * np.sqrt(2.0 / inputs))


def _inputs(model, images):
    """The input of a model for photos: whole, resized, and normalized as its record says."""
    record = model_preprocessing(model, InputOverrides(), warnings=[])
    pixels = keras.ops.image.resize(images, (record.height, record.width))
    return normalize(keras.ops.convert_to_numpy(pixels), record)


def _take_statistics(model, images):
    """Makes the statistics of every BatchNorm those of images."""
    norms = [layer for layer in _leaves(model) if isinstance(layer, layers.BatchNormalization)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    model(_inputs(model, images), training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _fit_last_kernel(model, images, labels, batch=32):
    """Makes a last kernel that of least squares, with a ridge, between features and classes."""
    heads = [layer for layer in model.layers if hasattr(layer, "kernel")]
    # CARE's own head is a layer with others inside.
    if not heads:
        return
    head = heads[-1]
    body = keras.Model(model.inputs, head.input)
    features = np.concatenate(
        [
            keras.ops.convert_to_numpy(body(_inputs(model, part), training=False))
            for part in np.split(images, range(batch, len(images), batch))
        ]
    ).reshape(len(images), -1)
    mean = features.mean(axis=0)
    centred = (features - mean).astype("float64")
    wanted = np.eye(_CLASSES)[labels] - 1 / _CLASSES
    power = centred.T @ centred
    ridge = _RIDGE * np.trace(power) / len(power) * np.eye(len(power))
    kernel = np.linalg.solve(power + ridge, centred.T @ wanted)
    bias = 1 / _CLASSES - mean @ kernel
    head.set_weights([kernel.reshape(head.kernel.shape), bias])
