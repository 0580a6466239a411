"""Layers that stay in float32 or get 16 bits, by patterns of their names."""

import keras
import numpy as np
import pytest
from keras import ops

from care_keras import primitives as p
from care_keras.quantization import (
    FakeQuant,
    QuantizationConfig,
    int8_ptq,
    int8_qat,
    layer_overrides,
    quantize,
)
from care_keras.quantization.kernel_layers import QuantizedConv2D
from tests.care_keras.helpers import infer, numpy_of
from tests.care_keras.quantization.samples import (
    deploy_form,
    graph_of,
    make_quantized,
    normalized,
    pixels,
    quick_ptq,
)

EXPANDS = "*_inter2_expand"
QUANTIZABLE = tuple(getattr(p, name) for name in p.__all__)


def named(pattern):
    import fnmatch

    return [x.name for x in deploy_form().layers if fnmatch.fnmatchcase(x.name, pattern)]


def ranges_behind(model, name):
    """Bits of the ranges behind a layer, in the order they round."""
    return [
        layer.bits
        for layer, sources, _ in graph_of(model)
        if isinstance(layer, FakeQuant) and sources[0].split("/")[0] == name
    ]


def test_a_mapping_is_taken_too():
    config = int8_ptq(overrides={"a*": "float32", "b": "int16"})
    assert config.overrides == (("a*", "float32"), ("b", "int16"))
    assert config.overrides == layer_overrides(["a*"], ["b"])


def test_another_precision_is_refused():
    with pytest.raises(ValueError, match=r"one of .*Received: overrides=\{'a': 'int4'\}"):
        QuantizationConfig(overrides={"a": "int4"})


def test_a_pattern_without_layers_is_refused():
    with pytest.raises(ValueError, match=r"names no layer; there are '.*Received: .*nothing_\*"):
        quantize(deploy_form(), int8_ptq(overrides={"nothing_*": "float32"}))


def test_a_layer_without_a_16_bit_form_is_refused():
    with pytest.raises(ValueError, match="Gelu has no 16-bit form: choose 'float32'"):
        quantize(deploy_form(), int8_ptq(overrides={"*_gelu": "int16"}))


def test_the_first_pattern_counts():
    names = named(EXPANDS)
    config = int8_ptq(overrides={names[0]: "float32", EXPANDS: "int16"})
    precisions = quantize(deploy_form(), config).precisions
    assert precisions == dict.fromkeys(names, "int16") | {names[0]: "float32"}


def test_a_float_layer_keeps_its_kernel_and_is_rounded_for_int8_readers():
    model = make_quantized(quick_ptq(overrides={EXPANDS: "float32"}))
    for name in named(EXPANDS):
        layer, original = model.get_layer(name), deploy_form().get_layer(name)
        assert type(layer) is p.Conv2D
        np.testing.assert_array_equal(numpy_of(layer.kernel), numpy_of(original.kernel))
        assert ranges_behind(model, name) == [8]


def test_nothing_is_rounded_between_float_layers():
    overrides = {EXPANDS: "float32", "*_inter2_gelu": "float32"}
    model = make_quantized(quick_ptq(overrides=overrides))
    assert not [name for name in named(EXPANDS) if ranges_behind(model, name)]


def test_16_bits_are_rounded_to_8_for_int8_readers():
    model = make_quantized(quick_ptq(overrides={EXPANDS: "int16"}))
    for name in named(EXPANDS):
        assert isinstance(model.get_layer(name), QuantizedConv2D)
        assert ranges_behind(model, name) == [16, 8]
    of_16_bits = [x for x in model.layers if isinstance(x, FakeQuant) and x.bits == 16]
    assert all(x.parameters()[1] == 0 for x in of_16_bits)


def test_16_bits_are_nearer_to_the_float_network_than_8():
    """Convolutions in one of them, all else in float32."""
    convs = [x.name for x in deploy_form().layers if isinstance(x, p.Conv2D)]
    others = [x.name for x in deploy_form().layers if isinstance(x, QUANTIZABLE)]
    in_float = dict.fromkeys(set(others) - set(convs), "float32")
    reference = numpy_of(infer(deploy_form(), normalized()))
    errors = [
        np.mean(
            (numpy_of(infer(make_quantized(quick_ptq(overrides=overrides)), pixels())) - reference)
            ** 2
        )
        for overrides in (in_float, in_float | dict.fromkeys(convs, "int16"))
    ]
    # What remains are the kernels, which have 8 bits in both.
    assert errors[1] < 0.7 * errors[0]


def test_all_of_it_in_float_is_the_float_network():
    model = make_quantized(quick_ptq(overrides={"*": "float32"}))
    assert [x.fixed for x in model.layers if isinstance(x, FakeQuant)] == [(1.0, -128)]
    expected = numpy_of(infer(deploy_form(), normalized()))
    np.testing.assert_allclose(numpy_of(infer(model, pixels())), expected, atol=1e-4)


def test_saved_and_loaded(tmp_path):
    config = quick_ptq(overrides={EXPANDS: "int16", "*_inter1_gelu": "float32"})
    model = make_quantized(config)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.precisions == model.precisions
    np.testing.assert_array_equal(*(numpy_of(infer(x, pixels())) for x in (loaded, model)))


def test_it_trains():
    overrides = {EXPANDS: "int16", "*_inter1_gelu": "float32"}
    model = make_quantized(
        int8_qat(overrides=overrides, refine_attention=False, correct_biases=False)
    )
    model.compile(keras.optimizers.SGD(1e-2), "mse", jit_compile=False)
    targets = ops.zeros((4, 10))
    losses = model.fit(pixels(4), targets, epochs=3, verbose=0).history["loss"]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]
