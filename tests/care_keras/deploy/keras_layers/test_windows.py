"""Pooling, sums over axes, and resizing."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from care_keras import primitives as p
from care_keras.deploy import fuse
from care_keras.emit.network import emit_tflite
from care_keras.litert.model import LiteRTModel
from care_keras.quantization import FakeQuant
from care_keras.reference import IntegerModel
from care_keras.tflite_file import read_graph
from care_keras.tflite_file.integer_audit import require_integer_only
from tests.care_keras.deploy.keras_layers.harness import LayerCase, all_checks, arrays_of, run


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


PLACES = {
    "of a map": lambda x: ops.argmax(x, axis=-1),
    "of a map, kept": lambda x: ops.argmax(x, axis=3, keepdims=True),
    "of rows": lambda x: ops.argmax(x, axis=1),
    "of columns, kept": lambda x: ops.argmax(x, axis=-2, keepdims=True),
    "of a vector": lambda x: ops.argmax(layers.GlobalAveragePooling2D()(x), axis=-1),
    "of a vector, kept": lambda x: ops.argmax(x[:, 1, 2], axis=-1, keepdims=True),
    "of probabilities": lambda x: ops.argmax(layers.Softmax()(x), axis=-1),
    "moved": lambda x: layers.Permute((2, 1))(ops.argmax(x, axis=-1)),
    "flat": lambda x: layers.Flatten()(ops.argmax(x, axis=-1)),
    "an axis added": lambda x: ops.expand_dims(ops.argmax(x, axis=-1), 1),
    "cut out": lambda x: ops.argmax(x, axis=-1)[:, 1:, ::2],
}


@pytest.mark.parametrize("name", PLACES)
def test_places(name):
    """int32 in every file, with nothing that rounds them, and to the place what NumPy finds."""
    case = LayerCase(lambda x: PLACES[name](layers.Conv2D(4, 3)(x)))
    assert case.deployed.foreign_reasons == {}
    (expected,) = case.expected
    assert case.deployed.output.dtype == "int32" and len(np.unique(expected)) > 1
    forms = [case.deployed]
    if name != "an axis added":
        forms.append(fuse(case.build()))
        assert forms[-1].foreign_reasons == {}
    for form in forms:
        (outputs,) = arrays_of(run(form, case.inputs))
        np.testing.assert_array_equal(outputs, expected)
    for weights in ("float32", "float16"):
        file = LiteRTModel(emit_tflite(case.deployed, case.size, weights=weights))
        assert file.output.dtype == np.int32
        assert np.mean(file.predict(case.inputs) == expected) >= (1.0, 0.9)[weights == "float16"]
    content = emit_tflite(case.quantized, case.size)
    require_integer_only(read_graph(content))
    order = [layer for layer in case.quantized.layers if not layer.name.startswith("image")]
    (place,) = [i for i, layer in enumerate(order) if isinstance(layer, p.ArgMax)]
    assert not any(isinstance(layer, FakeQuant) for layer in order[place:])
    file, model = LiteRTModel(content), IntegerModel(content)
    codes = model.input.quantize(case.inputs)
    by_file = np.concatenate([file.run(one[None]) for one in codes])
    assert by_file.dtype == np.int32
    np.testing.assert_array_equal(model.run(codes), by_file)
    (rounded,) = arrays_of(run(case.quantized, case.inputs))
    assert np.mean(rounded == by_file) > 0.95 and np.mean(by_file == expected) > 0.75


def test_places_of_probabilities_are_those_of_what_they_are_made_of():
    """In codes of 1/256 the probabilities of many classes are equal."""
    case = LayerCase(lambda x: PLACES["of probabilities"](layers.Conv2D(4, 3)(x)))
    assert not any(isinstance(layer, p.Softmax) for layer in case.deployed.layers)
    both = LayerCase(lambda x: (lambda y: [y, ops.argmax(y, axis=-1)])(layers.Softmax()(x)))
    kinds = [type(layer) for layer in both.deployed.layers]
    assert p.Softmax in kinds and p.ArgMax in kinds
    for one, other in zip(arrays_of(run(both.deployed, both.inputs)), both.expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
