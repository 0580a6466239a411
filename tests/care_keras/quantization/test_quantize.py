"""The quantized form: what is rounded where, and that it trains, saves and is accurate."""

import keras
import numpy as np
import pytest

from care_keras import primitives as p
from care_keras.deploy import Rewrites, fuse
from care_keras.emit.network import emit_tflite
from care_keras.litert.model import LiteRTModel
from care_keras.metrics import snr_db
from care_keras.primitives.deploy_model import DeployModel
from care_keras.primitives.rsqrt_kernel import rsqrt_codes
from care_keras.quantization import (
    FakeQuant,
    QuantizationConfig,
    calibrate,
    freeze,
    int8_ptq,
    int8_qat,
    is_quantized,
    quantize,
)
from care_keras.quantization import kernel_layers as quantized_layers
from tests.care_keras.helpers import COMPILE, infer, numpy_of, tiny_classifier
from tests.care_keras.quantization.samples import (
    KEEPS_VALUES,
    SIZE,
    deploy_form,
    graph_of,
    make_quantized,
    normalized,
    parameters_of,
    photos,
    pixels,
)


@pytest.fixture(scope="module")
def quantized():
    """With all that calibration does by default."""
    return make_quantized(int8_ptq())


@pytest.fixture(scope="module")
def expected():
    """What the deploy form gives for the photos."""
    return numpy_of(infer(deploy_form(), normalized()))


def test_all_that_is_computed_is_rounded(quantized):
    steps = graph_of(quantized)
    computed = [
        output
        for layer, _, output in steps
        if not isinstance(layer, (FakeQuant, keras.layers.InputLayer, *KEEPS_VALUES))
    ]
    assert len(computed) > 50
    for name in [*computed, "images"]:
        users = [layer for layer, sources, _ in steps if name in sources]
        assert users and all(isinstance(user, FakeQuant) for user in users), name


def test_nothing_is_rounded_twice(quantized):
    for layer, sources, _ in graph_of(quantized):
        if isinstance(layer, FakeQuant):
            assert not sources[0].endswith("/rounded")


def test_every_tensor_that_is_read_is_an_int8_tensor(quantized):
    known = parameters_of(quantized)
    for layer, sources, _ in graph_of(quantized):
        if not isinstance(layer, FakeQuant):
            assert set(sources) <= set(known), layer.name


def test_the_right_side_of_a_product_has_zero_point_0(quantized):
    known = parameters_of(quantized)
    products = [sources for layer, sources, _ in graph_of(quantized) if isinstance(layer, p.MatMul)]
    # k^T v, the denominator, q k^T v, and LayerNorm's squares.
    assert len(products) == 4
    assert {known[right][1] for _, right in products} == {0}


def test_what_is_joined_has_one_range(quantized):
    known = parameters_of(quantized)
    joins = [
        sources for layer, sources, _ in graph_of(quantized) if isinstance(layer, p.Concatenate)
    ]
    assert joins
    for sources in joins:
        assert len({known[source] for source in sources}) == 1


def test_weights_lie_on_the_grid(quantized):
    kernels = 0
    for layer in quantized.layers:
        if not hasattr(layer, "kernel_codes"):
            continue
        codes, steps = layer.kernel_codes()
        assert codes.dtype == np.int8 and steps.dtype == np.float32
        # -128 would make int8 kernels of two products at a time overflow.
        assert codes.min() >= -127
        axes = tuple(axis for axis in range(codes.ndim) if axis not in layer.channel_axes)
        np.testing.assert_array_equal(np.abs(codes.astype(int)).max(axis=axes), 127)
        shape = [n if axis in layer.channel_axes else 1 for axis, n in enumerate(codes.shape)]
        np.testing.assert_allclose(
            numpy_of(layer.forward_kernel()), codes * steps.reshape(shape), rtol=1e-5, atol=1e-7
        )
        kernels += 1
        if hasattr(layer, "bias"):
            bias_codes = numpy_of(layer.forward_bias()) / (numpy_of(layer.input_step) * steps)
            np.testing.assert_allclose(bias_codes, np.rint(bias_codes), atol=0.02)
    assert kernels > 15


def test_a_channel_scale_is_exact():
    model = quantize(fuse(tiny_classifier(), Rewrites(fold_layer_scale=True)))
    scales = [x for x in model.layers if isinstance(x, quantized_layers.QuantizedChannelScale)]
    assert scales
    for layer in scales:
        codes, steps = layer.kernel_codes()
        np.testing.assert_allclose(codes * steps, numpy_of(layer.kernel), rtol=1e-6)


def unrounded(monkeypatch):
    """Turns every rounding of a quantized form off."""
    kernel_class = quantized_layers.QuantizedKernel
    monkeypatch.setattr(FakeQuant, "call", lambda self, inputs, training=None: inputs)
    monkeypatch.setattr(kernel_class, "forward_kernel", lambda self: self.kernel)
    monkeypatch.setattr(kernel_class, "forward_bias", lambda self: self.bias)


@pytest.mark.parametrize("raw_pixels", [True, False])
def test_without_rounding_it_is_the_deploy_form(monkeypatch, expected, raw_pixels):
    model = quantize(deploy_form(), QuantizationConfig(raw_pixels=raw_pixels))
    unrounded(monkeypatch)
    outputs = numpy_of(model(pixels() if raw_pixels else normalized()))
    assert np.abs(outputs - expected).max() <= 1e-4 * max(1.0, np.abs(expected).max())


def test_pixels_are_the_record_of_a_form_that_takes_them(quantized):
    record = quantized.preprocessing
    assert record.mean == (0.0,) * 3 and record.std == (1 / 255,) * 3
    assert (record.height, record.width) == SIZE
    normal = quantize(deploy_form(), QuantizationConfig(raw_pixels=False))
    assert normal.preprocessing == deploy_form().preprocessing


def test_int8_keeps_the_function(quantized, expected):
    outputs = numpy_of(infer(quantized, pixels()))
    assert snr_db(outputs, expected) > 15.0
    assert len(np.unique(outputs)) > 20


@pytest.mark.every_backend
def test_a_saved_form_goes_on_where_it_was(quantized, tmp_path):
    path = tmp_path / "int8.keras"
    quantized.save(path)
    loaded = keras.models.load_model(path, safe_mode=True)
    assert is_quantized(loaded) and loaded.preprocessing == quantized.preprocessing
    np.testing.assert_array_equal(
        numpy_of(infer(loaded, pixels(4))), numpy_of(infer(quantized, pixels(4)))
    )
    assert parameters_of(loaded) == parameters_of(quantized)


def ends_with_effect(layer):
    """Which factors of a range multiply anything: no end of 0, nor the lower end if symmetric."""
    low, high = layer.range()
    return np.asarray([low != 0.0 and not layer.symmetric, high != 0.0])


@pytest.mark.every_backend
def test_training_moves_every_weight_and_range():
    # Ranges that clip a part of every tensor, so that every end has a gradient.
    config = int8_qat("percentile", percentile=80.0, refine_attention=False)
    model = make_quantized(config)
    ranges = [x for x in model.layers if isinstance(x, FakeQuant) and x.fixed is None]
    effects = [ends_with_effect(layer) for layer in ranges]
    before = [numpy_of(weight) for weight in model.trainable_weights]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), loss=loss, **COMPILE)
    labels = np.arange(24) % 10
    history = model.fit(pixels(), labels, batch_size=8, epochs=1, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    factors = {id(layer.factors) for layer in ranges}
    still = [
        weight.path
        for weight, old in zip(model.trainable_weights, before, strict=True)
        if id(weight) not in factors and np.abs(numpy_of(weight) - old).max() <= 1e-4
    ]
    assert not still
    # Where the next range clips the same values, or GELU is flat, an end has no gradient.
    moved = np.concatenate(
        [
            np.abs(numpy_of(layer.factors) - 1.0)[effect] > 1e-4
            for layer, effect in zip(ranges, effects, strict=True)
        ]
    )
    assert len(moved) > 40 and moved.mean() > 0.7, moved.mean()
    freeze(model)
    assert_steps_are_those_of_the_inputs(model)


def assert_steps_are_those_of_the_inputs(model):
    known = parameters_of(model)
    counted = 0
    for layer, sources, _ in graph_of(model):
        if hasattr(layer, "input_step"):
            assert float(numpy_of(layer.input_step)) == pytest.approx(float(known[sources[0]][0]))
            counted += 1
    assert counted > 15


def test_calibration_tells_layers_the_step_of_their_input(quantized):
    assert_steps_are_those_of_the_inputs(quantized)


def test_calibration_returns_the_ranges(quantized):
    model = quantize(deploy_form())
    ranges = calibrate(model, [pixels(12), pixels()[12:]])
    names = {x.name for x in model.layers if isinstance(x, FakeQuant) and x.fixed is None}
    assert set(ranges) == names
    assert all(low <= 0.0 <= high and low < high for low, high in ranges.values())
    assert ranges == {name: model.get_layer(name).range() for name in names}


def test_the_deploy_form_is_left_as_it_was(expected):
    model = quantize(deploy_form())
    for weight in model.weights:
        weight.assign(weight + 1.0)
    np.testing.assert_array_equal(numpy_of(infer(deploy_form(), normalized())), expected)


def test_softmax_has_the_output_its_kernel_has():
    model = make_quantized(activation="softmax")
    known = parameters_of(model)
    (scale, zero_point) = known[graph_of(model)[-1][2]]
    assert (scale, zero_point) == (np.float32(1 / 256), -128)
    outputs = numpy_of(infer(model, pixels(4)))
    np.testing.assert_allclose(outputs.sum(axis=-1), 1.0, atol=10 / 256)


def test_what_has_no_deploy_form_is_refused():
    with pytest.raises(ValueError, match=r"Only a deploy form.*Received: "):
        quantize(tiny_classifier())


def test_a_quantized_form_is_refused(quantized):
    assert is_quantized(quantized) and not is_quantized(deploy_form())
    with pytest.raises(ValueError, match=r"quantized already.*Received: "):
        quantize(quantized)


def test_operations_without_int8_are_refused():
    with pytest.raises(ValueError, match=r"no int8 form.*Received: .*Divide"):
        quantize(fuse(tiny_classifier(), Rewrites(division_free=False)))


def test_nothing_is_computed_of_places():
    images = keras.Input((4, 4, 3))
    places = p.ArgMax(True)(images)
    model = DeployModel(images, p.Add(name="sum")([places, places]))
    for write in (quantize, lambda form: emit_tflite(form, (4, 4))):
        with pytest.raises(ValueError, match=r"reshaped, permuted.*Received: 'sum' \(Add\)$"):
            write(model)


def test_layers_without_primitives_are_refused():
    model = tiny_classifier()
    x = keras.layers.Reshape((-1, 1), name="steps")(model.output)
    x = keras.layers.LSTM(2, name="foreign", return_sequences=True)(x)
    x = keras.layers.Conv1D(2, 1, name="other")(x)
    expected = r"no int8 form.*Received: 'foreign' \(LSTM\), 'other' \(Conv1D\)$"
    with pytest.raises(ValueError, match=expected):
        quantize(fuse(keras.Model(model.input, x)))


def test_calibration_without_images_is_refused():
    with pytest.raises(ValueError, match="at least one image. Received: no batch"):
        calibrate(quantize(deploy_form()), [])


def test_calibration_on_values_that_are_not_finite_is_refused():
    config = QuantizationConfig(raw_pixels=False)
    with pytest.raises(ValueError, match=r"not finite.*Received: the input of '.*'"):
        calibrate(quantize(deploy_form(), config), [normalized(2) * np.nan], config)


def test_photos_are_photos():
    assert photos().shape == (24, *SIZE, 3) and photos().std() > 20.0


def test_a_term_that_adds_nothing_gets_a_step_that_the_runtime_takes():
    model = make_quantized(QuantizationConfig(refine_attention=False))
    ranges = {x.name: x.range() for x in model.layers if isinstance(x, FakeQuant)}
    name = "stage1_block1_inter2_projection_range"
    small, total = model.get_layer(name), model.get_layer("stage1_block1_inter2_output_range")
    small.set_range(-1e-5, 2e-5)
    freeze(model)
    ratio = float(small.parameters()[0]) / float(total.parameters()[0])
    assert 2**-10 <= ratio < 1.1 * 2**-10
    low, high = small.range()
    assert high == pytest.approx(-2 * low)
    after = {x.name: x.range() for x in model.layers if isinstance(x, FakeQuant)}
    assert {x for x in after if after[x] != ranges[x]} == {name}


def test_a_sum_that_would_hold_nothing_but_its_ends_gets_a_step_that_the_runtime_takes():
    """LiteRT 2.3 ends the process where a sum's step is a millionth of a term's."""
    model = make_quantized(QuantizationConfig(refine_attention=False))
    term = model.get_layer("stage1_block1_inter2_projection_range")
    total = model.get_layer("stage1_block1_inter2_output_range")
    term.set_range(-1e3, 1e3)
    total.set_range(-2e-5, 1e-5)
    freeze(model)
    assert float(term.parameters()[0]) / float(total.parameters()[0]) == pytest.approx(250, 1e-3)
    low, high = total.range()
    assert low == pytest.approx(-2 * high) and term.range() == (-1e3, 1e3)


def roots_of(model):
    """The ranges before and behind each root."""
    graph, layers = graph_of(model), {}
    for layer, sources, output in graph:
        if isinstance(layer, FakeQuant):
            layers[sources[0]] = layers[output] = layer
    return [
        (layers[sources[0]], layers[output])
        for layer, sources, output in graph
        if isinstance(layer, p.Rsqrt)
    ]


def test_a_root_rounds_as_its_int8_kernel_does():
    """Of every code, whatever the ranges: they give way where the two would differ."""
    model = make_quantized()
    roots = roots_of(model)
    assert len(roots) == 2
    generator = np.random.default_rng(0)
    moved = 0
    for _ in range(20):
        for source, root in roots:
            source.set_range(0.0, 255.0 * generator.uniform(0.01, 90.0))
            step, _ = source.parameters()
            root.set_range(0.0, generator.uniform(0.1, 1.2) / np.sqrt(step))
        before = [root.range() for _, root in roots]
        freeze(model)
        moved += sum(root.range() != old for (_, root), old in zip(roots, before, strict=True))
        for (source, root), (_, high) in zip(roots, before, strict=True):
            values = np.arange(1, 256).astype(np.float32) * source.parameters()[0]
            rounded = numpy_of(root(keras.ops.rsqrt(values)))
            scale, zero_point = root.parameters()
            codes = rsqrt_codes(*source.parameters(), scale, zero_point)[1:]
            np.testing.assert_array_equal(np.rint(rounded / scale) + zero_point, codes)
            assert high <= root.range()[1] <= 1.02 * high
    # Some lie well as they are, some do not.
    assert 0 < moved < 40


def test_ranges_that_are_settled_stay():
    model = make_quantized()
    before = [root.range() for _, root in roots_of(model)]
    freeze(model)
    assert [root.range() for _, root in roots_of(model)] == before


def test_a_channel_of_nearly_nothing_keeps_its_bias():
    images = keras.Input((8, 8, 3))
    layer = keras.layers.Conv2D(4, 3, name="conv")
    model = keras.Model(images, layer(images))
    kernel, bias = (
        np.random.default_rng(0).normal(size=(3, 3, 3, 4)),
        np.array([1.0, -2.0, 3.0, 4.0]),
    )
    kernel[..., 1] *= 1e-12
    layer.set_weights([kernel, bias])
    values = np.random.default_rng(1).normal(size=(8, 8, 8, 3)).astype("float32")
    form = quantize(fuse(model))
    calibrate(form, [values])
    codes, _ = form.get_layer("conv").kernel_codes()
    assert np.abs(codes).max(axis=(0, 1, 2)).tolist() == [127, 0, 127, 127]
    expected = numpy_of(infer(model, values))
    assert snr_db(numpy_of(infer(form, values)), expected) > 30.0
    content = emit_tflite(form, (8, 8))
    assert snr_db(LiteRTModel(content).predict(values), expected) > 30.0
