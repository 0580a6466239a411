"""The written files: what they compute, and what they look like inside."""

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from care_keras.deploy import fuse
from care_keras.emit.network import emit_tflite
from care_keras.litert.model import LiteRTModel
from care_keras.metrics import snr_db
from care_keras.quantization import FakeQuant, QuantizationConfig, quantize
from care_keras.tflite_file import audit_integer_only, read_graph
from care_keras.tflite_file.rules import RULES
from tests.care_keras.helpers import infer, numpy_of, tiny_backbone, tiny_classifier
from tests.care_keras.quantization.samples import (
    SIZE,
    deploy_form,
    make_quantized,
    normalized,
    photos,
    pixels,
    quantized_form,
)
from tflite.audit.warnings import PORTABILITY_RULES


@pytest.fixture(scope="module")
def float_file():
    return emit_tflite(deploy_form(), SIZE)


@pytest.fixture(scope="module")
def int8_file():
    return emit_tflite(quantized_form(), SIZE)


@pytest.fixture(scope="module")
def logits():
    return numpy_of(infer(deploy_form(), normalized()))


def assert_near(outputs, expected, tolerance):
    assert outputs.shape == expected.shape
    assert np.abs(outputs - expected).max() <= tolerance * max(1.0, np.abs(expected).max())


def test_a_float32_file_is_the_deploy_form(float_file, logits):
    assert_near(LiteRTModel(float_file).predict(normalized()), logits, 1e-4)


def test_a_float16_file_holds_half_the_digits(logits):
    content = emit_tflite(deploy_form(), SIZE, weights="float16")
    outputs = LiteRTModel(content).predict(normalized())
    assert 40.0 < snr_db(outputs, logits) < 90.0
    (subgraph,) = read_graph(content).subgraphs
    stored = {tensor.dtype for tensor in subgraph.tensors if tensor.is_constant}
    assert "float16" in stored
    kernels = [x for x in subgraph.tensors if x.is_constant and x.name.endswith("/kernel/float16")]
    assert len(kernels) > 15 and all(tensor.dtype == "float16" for tensor in kernels)


def test_pixels_into_a_float32_file(float_file):
    content = emit_tflite(deploy_form(), SIZE, input_kind="rgb_uint8")
    model = LiteRTModel(content)
    assert model.input.dtype == np.uint8 and model.input.shape == (1, *SIZE, 3)
    assert_near(model.predict(photos()), LiteRTModel(float_file).predict(normalized()), 1e-4)


def test_pixels_into_an_int8_file(int8_file):
    model = LiteRTModel(emit_tflite(quantized_form(), SIZE, input_kind="rgb_uint8"))
    codes = LiteRTModel(int8_file)
    assert (model.input.dtype, model.input.scale, model.input.zero_point) == (np.uint8, 1.0, 0)
    assert (codes.input.dtype, codes.input.scale, codes.input.zero_point) == (np.int8, 1.0, -128)
    np.testing.assert_array_equal(model.predict(photos()), codes.predict(pixels()))


def test_pixels_need_a_form_that_takes_them():
    model = quantize(deploy_form(), QuantizationConfig(raw_pixels=False))
    with pytest.raises(ValueError, match="Received: "):
        emit_tflite(model, SIZE, input_kind="rgb_uint8")


def test_pixels_need_a_record_of_how_they_are_prepared():
    model = fuse(tiny_classifier(classes=10, preprocessing=None))
    assert model.preprocessing is None
    with pytest.raises(ValueError, match="set `preprocessing`.*input_kind='rgb_uint8'"):
        emit_tflite(model, SIZE, input_kind="rgb_uint8")


@pytest.mark.parametrize("make_model", [deploy_form, quantized_form])
def test_batch(make_model):
    raw = make_model is quantized_form
    inputs = pixels(7) if raw else normalized(7)
    model = LiteRTModel(emit_tflite(make_model(), SIZE, batch=3))
    assert model.input.shape == (3, *SIZE, 3) and model.output.shape == (3, 10)
    single = LiteRTModel(emit_tflite(make_model(), SIZE)).predict(inputs)
    np.testing.assert_allclose(model.predict(inputs), single, atol=0.0 if raw else 1e-4)


@pytest.mark.parametrize("size", [(40, 24), (16, 24), (8, 8), (9, 40)])
def test_images_of_another_size(size):
    """Down to maps so small that rows of a dilated kernel meet none of their pixels."""
    images = np.random.default_rng(1).integers(0, 256, (2, *size, 3)).astype("float32")
    inputs = images / 128.0 - 1.0
    model = LiteRTModel(emit_tflite(deploy_form(), size))
    assert_near(model.predict(inputs), numpy_of(infer(deploy_form(), inputs)), 1e-4)
    integer = LiteRTModel(emit_tflite(quantized_form(), size))
    assert snr_db(integer.predict(images), numpy_of(infer(quantized_form(), images))) > 20.0


def test_an_int8_file_follows_the_quantized_form(int8_file):
    expected = numpy_of(infer(quantized_form(), pixels()))
    model = LiteRTModel(int8_file)
    outputs = model.predict(pixels())
    assert model.output.dtype == np.int8
    assert snr_db(outputs, expected) > 25.0


def test_an_int8_file_is_integer_only(int8_file):
    for content in (int8_file, emit_tflite(quantized_form(), SIZE, input_kind="rgb_uint8")):
        assert all(x.severity == "info" for x in audit_integer_only(read_graph(content)))


def test_a_float32_file_is_not_integer_only(float_file):
    assert any(x.severity == "error" for x in audit_integer_only(read_graph(float_file)))


@pytest.mark.parametrize("name", ["float_file", "int8_file"])
def test_signature(request, name):
    graph = read_graph(request.getfixturevalue(name))
    (signature,) = graph.signatures
    (subgraph,) = graph.subgraphs
    assert signature.key == "serving_default"
    assert list(signature.inputs) == ["images"] and list(signature.outputs) == ["outputs"]
    assert subgraph.tensors[signature.inputs["images"]].name == "images"
    assert tuple(subgraph.inputs) == tuple(signature.inputs.values())
    assert tuple(subgraph.outputs) == tuple(signature.outputs.values())
    names = [tensor.name for tensor in subgraph.tensors]
    assert {"stem_conv", "classifier_logits", "stem_conv/kernel", "stem_conv/bias"} <= set(names)
    assert graph.description == "care_keras"


@pytest.mark.parametrize("name", ["float_file", "int8_file"])
def test_constants_are_aligned(request, name):
    content = request.getfixturevalue(name)
    model = schema.Model.GetRootAs(content)
    start = np.frombuffer(content, np.uint8).ctypes.data
    buffers = [model.Buffers(i) for i in range(model.BuffersLength())]
    # The first one is empty: what is computed has no content.
    assert buffers[0].DataIsNone()
    offsets = [x.DataAsNumpy().ctypes.data - start for x in buffers if not x.DataIsNone()]
    assert len(offsets) > 40 and not [offset for offset in offsets if offset % 16]


def test_features_of_every_stage():
    backbone = tiny_backbone()
    model = keras.Model(backbone.input, backbone.pyramid_outputs)
    content = emit_tflite(fuse(model), SIZE)
    run = Interpreter(model_content=content).get_signature_runner("serving_default")
    outputs = run(images=normalized(1))
    expected = infer(model, normalized(1))
    assert set(outputs) == set(expected) == {"P2", "P3"}
    for name in expected:
        assert_near(outputs[name], numpy_of(expected[name]), 1e-4)


def test_every_tensor_as_an_output():
    content = emit_tflite(deploy_form(), SIZE, all_tensors=True)
    run = Interpreter(model_content=content).get_signature_runner("serving_default")
    outputs = run(images=normalized(1))
    layers = [x for x in deploy_form().layers if not isinstance(x, keras.layers.InputLayer)]
    assert set(outputs) == {layer.name for layer in layers}
    name = "stage1_block1_mixer_output"
    probe = keras.Model(deploy_form().input, deploy_form().get_layer(name).output)
    assert_near(outputs[name], numpy_of(infer(probe, normalized(1))), 1e-4)


def test_a_layer_that_is_no_primitive_is_refused():
    images = keras.Input((*SIZE, 3))
    x = keras.layers.Reshape((-1, 3))(images)
    model = fuse(keras.Model(images, keras.layers.LSTM(2, name="foreign")(x)))
    with pytest.raises(ValueError, match=r"no primitive.*Received: 'foreign' of LSTM"):
        emit_tflite(model, SIZE)


def test_windows_that_are_not_joined_again_are_refused():
    images = keras.Input((8, 8, 3))
    windows = keras.ops.reshape(images, (-1, 16, 3))
    means = keras.ops.mean(windows, axis=1)
    with pytest.raises(ValueError, match=r"reshape it to one. Received: .* \(4, 3\) for inputs"):
        emit_tflite(fuse(keras.Model(images, means)), (8, 8))
    joined = keras.Model(images, keras.ops.reshape(means, (-1, 12)))
    content = emit_tflite(fuse(joined), (8, 8), batch=2)
    assert LiteRTModel(content).output.shape == (2, 12)


def test_a_bias_that_does_not_fit_is_refused():
    model = quantize(deploy_form())
    conv = model.get_layer("stem_conv")
    conv.kernel.assign(conv.kernel * 1e-12)
    with pytest.raises(ValueError, match=r"does not fit into 32 bits.*Received: .*'stem_conv'"):
        emit_tflite(model, SIZE)


@pytest.mark.parametrize("name", ("float_file", "int8_file"))
def test_no_product_of_a_tensor_with_itself(request, name):
    """LiteRT's GPU accelerator ends the process on one."""
    graph = read_graph(request.getfixturevalue(name)).subgraphs[0]
    products = [op for op in graph.operators if op.name == "BATCH_MATMUL"]
    assert products and all(len(set(op.inputs)) == 2 for op in products)


def test_an_int8_file_means_the_same_everywhere(int8_file):
    graph = read_graph(int8_file)
    assert not [f for name in PORTABILITY_RULES for f in RULES[name].findings(graph)]
    names = {operator.name for operator in graph.operators}
    assert "RSQRT" in names and not names & {"CAST", "GATHER", "DEQUANTIZE"}
    products = [op for op in graph.operators if op.name == "BATCH_MATMUL"]
    # The rows of the right side are read, whatever its shape, and no TRANSPOSE is beside it.
    assert all(op.options["adj_y"] for op in products)
    producers = {graph.main.producers[op.inputs[1]].name for op in products}
    assert "TRANSPOSE" not in producers


def test_a_root_of_codes_below_that_of_0_is_refused():
    model = make_quantized()
    (squares,) = (
        layer
        for layer in model.layers
        if isinstance(layer, FakeQuant) and layer.name.startswith("classifier_squares_raw")
    )
    squares.set_range(-1.0, 10.0)
    with pytest.raises(ValueError, match=r"must begin at 0.*Received: .*'classifier_root'"):
        emit_tflite(model, SIZE)
