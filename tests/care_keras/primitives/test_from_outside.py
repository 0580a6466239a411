"""A package of somebody else adds primitives, from Keras to an int8 file, and changes nothing here.

`third_party_package` is all that it has to say; calling it stands for importing it.
"""

import functools
import types

import keras
import numpy as np
import pytest
from keras import ops

from care_keras.deploy import fuse
from care_keras.deploy.lowering import LOWERINGS, lowers
from care_keras.emit.network import emit_tflite
from care_keras.emit.rules import operators, rule
from care_keras.emit.rules.registry import RULES
from care_keras.litert.model import LiteRTModel
from care_keras.metrics import snr_db
from care_keras.primitives import Primitive
from care_keras.primitives.int8 import Int8, Output
from care_keras.quantization import calibrate, int8_ptq, quantize
from care_keras.reference import IntegerModel
from care_keras.reference.operation import KERNELS, kernel
from tests.care_keras.helpers import numpy_of, randomize_weights
from tests.care_keras.quantization.samples import parameters_of

SIZE = (8, 12)
CONFIG = int8_ptq(raw_pixels=False)


class Largest(keras.layers.Layer):
    """The largest number of several maps, each pixel and channel for itself."""

    def call(self, inputs):
        return functools.reduce(ops.maximum, inputs)


class Size(keras.layers.Layer):
    """Numbers without their signs."""

    def call(self, inputs):
        return ops.abs(inputs)


class Mirror(keras.Operation):
    """Left becomes right."""

    def call(self, x):
        return ops.flip(x, axis=2)

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, x.dtype)


def third_party_package():
    """Adds MAXIMUM, which compares codes, ABS, which has a range of its own, and REVERSE_V2."""

    @keras.saving.register_keras_serializable(package="third_party")
    class Larger(Primitive):
        """MAXIMUM of two tensors."""

        int8 = Int8(Output.LIKE_INPUT, joins_inputs=True)

        def call(self, inputs):
            return ops.maximum(*inputs)

        def compute_output_shape(self, input_shape):
            return input_shape[0]

    @lowers(Largest)
    def lower_largest(build, layer, inputs, rewrites):
        return functools.reduce(
            lambda left, right: build.add(Larger, [left, right], layer.name), inputs
        )

    @rule(Larger)
    def write_larger(emit, layer, inputs):
        output = emit.output(layer, inputs)
        options = operators.options("MaximumMinimum")
        return operators.operator(emit, "MAXIMUM", inputs, output, options)

    @keras.saving.register_keras_serializable(package="third_party")
    class Absolute(Primitive):
        """ABS."""

        def call(self, inputs):
            return ops.abs(inputs)

    @lowers(Size)
    def lower_size(build, layer, x, rewrites):
        return build.add(Absolute, x, layer.name)

    @rule(Absolute)
    def write_absolute(emit, layer, x):
        output = emit.output(layer, x)
        version = 2 if output.dtype == np.int8 else 1
        return operators.operator(
            emit, "ABS", [x], output, operators.options("Abs"), version=version
        )

    @keras.saving.register_keras_serializable(package="third_party")
    class Reverse(Primitive):
        """REVERSE_V2 of a map's columns."""

        int8 = Int8(Output.LIKE_INPUT)

        def call(self, inputs):
            return ops.flip(inputs, axis=2)

    @lowers(Mirror)
    def lower_mirror(build, operation, x, rewrites):
        return build.add(Reverse, x, operation.name)

    @rule(Reverse)
    def write_reverse(emit, layer, x):
        output = emit.output(layer, x)
        axis = operators.int32(emit, [2], f"{layer.name}/axis")
        version = 3 if output.dtype == np.int8 else 1
        options = operators.options("ReverseV2")
        return operators.operator(emit, "REVERSE_V2", [x, axis], output, options, version=version)

    @kernel("REVERSE_V2")
    def compute_reverse(operation):
        operation.check_same_codes()
        axes = tuple(operation.constant(1).tolist())
        return lambda x: np.flip(x, axes)

    return types.SimpleNamespace(Larger=Larger, Absolute=Absolute, Reverse=Reverse)


@pytest.fixture
def package():
    """The package, forgotten after the test."""
    registries = LOWERINGS, RULES, KERNELS, keras.saving.get_custom_objects()
    before = [dict(registry) for registry in registries]
    yield third_party_package()
    for registry, entries in zip(registries, before, strict=True):
        registry.clear()
        registry.update(entries)


@pytest.fixture
def model():
    """Patches, BatchNorms, and what is none of CARE's between them."""
    images = keras.Input((None, None, 3), name="images")
    maps = [keras.layers.Conv2D(8, 2, 2, name=f"patches{i}")(images) for i in range(3)]
    maps[0] = keras.layers.BatchNormalization(name="norm")(maps[0])
    x = Largest(name="largest")(maps)
    x = Largest(name="larger")([x, keras.layers.Conv2D(8, 1, name="second")(x)])
    x = Size(name="size")(Mirror(name="mirror")(x))
    x = keras.layers.BatchNormalization(name="second_norm")(x)
    model = keras.Model(images, keras.layers.Conv2D(5, 3, name="last")(x))
    randomize_weights(model)
    return model


@pytest.fixture
def images():
    return np.random.default_rng(0).normal(size=(8, *SIZE, 3)).astype("float32")


@pytest.fixture
def form(package, model, images):
    """The calibrated quantized form."""
    form = quantize(fuse(model), CONFIG)
    calibrate(form, [images], CONFIG)
    return form


def test_the_deploy_form_and_its_file(package, model, images):
    deployed = fuse(model)
    assert deployed.foreign_operations == []
    kinds = [type(layer) for layer in deployed.layers]
    assert kinds.count(package.Larger) == 3
    assert kinds.count(package.Absolute) == kinds.count(package.Reverse) == 1
    expected = numpy_of(model(images))
    tolerance = 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(numpy_of(deployed(images)), expected, atol=tolerance)
    file = LiteRTModel(emit_tflite(deployed, SIZE))
    np.testing.assert_allclose(file.predict(images), expected, atol=tolerance)


def test_quantized_as_its_row_says(package, form):
    ranges = parameters_of(form)
    joined = [ranges[f"{name}/rounded"] for name in ("patches0", "patches1", "patches2", "second")]
    assert len(set(joined)) == 1
    (absolute,) = (layer for layer in form.layers if type(layer) is package.Absolute)
    scale, zero_point = ranges[f"{absolute.name}/rounded"]
    assert zero_point == -128 and scale < joined[0][0]


def test_the_int8_file(model, form, images):
    """LiteRT and the reference agree to the code, and closely with Keras."""
    file, reference = LiteRTModel(emit_tflite(form, SIZE)), IntegerModel(form, SIZE)
    noise = np.random.default_rng(1).integers(-128, 128, images.shape, np.int8)
    ends = np.where(noise < 0, -128, 127).astype(np.int8)
    codes = np.concatenate([file.input.quantize(images), noise, ends])
    expected = np.concatenate([file.run(x[None]) for x in codes])
    assert len(np.unique(expected)) > 100
    np.testing.assert_array_equal(reference.run(codes), expected)
    outputs = file.predict(images)
    assert snr_db(outputs, numpy_of(form(images))) > 30.0
    assert snr_db(outputs, numpy_of(model(images))) > 20.0


def test_a_saved_quantized_form(package, form, images, tmp_path):
    form.save(tmp_path / "form.keras")
    loaded = keras.models.load_model(tmp_path / "form.keras", safe_mode=True)
    assert package.Larger in {type(layer) for layer in loaded.layers}
    np.testing.assert_array_equal(*(numpy_of(x(images)) for x in (loaded, form)))
    assert emit_tflite(loaded, SIZE) == emit_tflite(form, SIZE)


@pytest.mark.parametrize(
    ("registry", "kind", "message"),
    [
        (RULES, "Absolute", r"no primitive of the deploy form\. Received: '.*' of Absolute"),
        (KERNELS, "REVERSE_V2", "REVERSE_V2 cannot be.*not known.*Received: the operation of"),
    ],
    ids=["rule", "kernel"],
)
def test_what_the_package_forgets_is_named(monkeypatch, package, form, registry, kind, message):
    monkeypatch.delitem(registry, getattr(package, kind, kind))
    with pytest.raises(ValueError, match=message):
        IntegerModel(form, SIZE)


def test_without_the_package_its_operations_are_foreign(model):
    deployed = fuse(model)
    foreign = [operation.name for operation in deployed.foreign_operations]
    assert foreign == ["largest", "larger", "mirror", "size"]
    with pytest.raises(ValueError, match=r"no int8 form.*Received: 'largest' \(Largest\)"):
        quantize(deployed)
