import keras
import numpy as np
import pytest

from care_keras.convert.conversion import convert_model, default_rewrites
from care_keras.data.preprocessing import normalize
from care_keras.deploy import fuse
from care_keras.litert.file import LiteRTFile
from care_keras.litert.model import LiteRTModel
from care_keras.loading import load_any
from care_keras.metrics import snr_db
from care_keras.quantization import calibrate, int8_ptq, quantize
from care_keras.reference import IntegerModel
from care_keras.tflite_file import read_graph, require_integer_only
from care_keras.tflite_file.code_tables import code_tables
from care_keras.tflite_file.integer_audit import audit_integer_only, errors_inside
from tests.care_keras.helpers import numpy_of

pytestmark = pytest.mark.usefixtures("converter_here")

# Lowest SNR in dB against the Keras model that each precision was seen to keep, with a margin.
LOWEST_SNR = {"float32": 90.0, "float16": 40.0, "dynamic": 15.0, "int8": 10.0}


@pytest.fixture(scope="module")
def int8_model(small_model, photos):
    """The quantized form of the small model, calibrated: no test of files has to do it again."""
    model = quantize(fuse(small_model))
    calibrate(model, [photos[:32].astype(np.float32)])
    return model


@pytest.fixture(scope="module")
def expected(small_model, preprocessing, photos):
    """The Keras model's outputs for the held-out photos."""
    return numpy_of(small_model(normalize(photos[32:], preprocessing), training=False))


def assert_follows(converted, preprocessing, photos, expected, precision, input_kind):
    model = LiteRTModel(converted.content)
    assert model.input.shape == (1, 16, 24, 3)
    integer = precision == "int8"
    code_type = np.int8 if integer else np.float32
    assert model.input.dtype == (np.uint8 if input_kind == "rgb_uint8" else code_type)
    assert model.output.dtype == code_type
    held_out = photos[32:]
    inputs = normalize(held_out, converted.preprocessing)
    outputs = model.predict(held_out if input_kind == "rgb_uint8" else inputs)
    assert snr_db(outputs, expected) > LOWEST_SNR[precision]
    if not integer:
        assert converted.preprocessing == preprocessing


@pytest.mark.parametrize("input_kind", ["float", "rgb_uint8"])
@pytest.mark.parametrize("precision", ["float32", "float16", "dynamic"])
def test_outputs_follow_the_keras_model(
    small_model, preprocessing, photos, expected, precision, input_kind
):
    converted = convert_model(small_model, preprocessing, precision, input_kind)
    assert_follows(converted, preprocessing, photos, expected, precision, input_kind)


@pytest.mark.parametrize("input_kind", ["float", "rgb_uint8"])
def test_a_quantized_form_needs_no_calibration(
    int8_model, preprocessing, photos, expected, input_kind
):
    converted = convert_model(int8_model, preprocessing, "int8", input_kind)
    assert_follows(converted, preprocessing, photos, expected, "int8", input_kind)
    # What the file takes are codes of pixels: the record says so.
    assert converted.preprocessing.mean == (0.0,) * 3
    assert converted.preprocessing.std == (1 / 255,) * 3


def test_types_of_the_output_are_the_same_numbers(int8_model, preprocessing, photos):
    """Also for the reference; only float ones are not integers to the end."""
    files = {
        kind: convert_model(int8_model, preprocessing, "int8", "rgb_uint8", output_type=kind)
        for kind in ("int8", "uint8", "float")
    }
    found = {}
    for kind, converted in files.items():
        graph = read_graph(converted.content)
        errors = [one for one in audit_integer_only(graph) if one.severity == "error"]
        assert bool(errors) == (kind == "float") and not errors_inside(graph, errors)
        file, reference = LiteRTFile(converted.content), IntegerModel(converted.content)
        assert file.outputs["outputs"].dtype == (np.float32 if kind == "float" else kind)
        found[kind] = np.concatenate([file.run(one[None])["outputs"] for one in photos[32:]])
        np.testing.assert_array_equal(reference.run(photos[32:]), found[kind])
    np.testing.assert_array_equal(found["uint8"], found["int8"].astype(np.int32) + 128)
    output = LiteRTFile(files["int8"].content).outputs["outputs"]
    np.testing.assert_array_equal(found["float"], output.dequantize(found["int8"]))


@pytest.mark.parametrize("output_type", ["int8", "uint8"])
def test_a_file_for_xnnpack_gives_the_same_codes(int8_model, preprocessing, photos, output_type):
    """In tables of codes, which the reference and the audit read as such."""
    portable, spelled_out = (
        convert_model(
            int8_model, preprocessing, "int8", "rgb_uint8", output_type=output_type, target=target
        ).content
        for target in ("portable", "xnnpack")
    )
    graph = read_graph(spelled_out)
    require_integer_only(graph)
    tables = [table.functions for table in code_tables(graph.main)]
    # Pixels are uint8 and codes int8, and the output may be the other way round.
    assert tables.count(()) == (1 if output_type == "int8" else 2)
    assert {("GELU",), ("RSQRT",)} < set(tables)
    images = [one[None] for one in photos[32:]]
    file = LiteRTFile(spelled_out)
    found = np.concatenate([file.run(one)["outputs"] for one in images])
    file = LiteRTFile(portable)
    expected = np.concatenate([file.run(one)["outputs"] for one in images])
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(IntegerModel(spelled_out).run(photos[32:]), found)


@pytest.mark.parametrize("target", ["portable", "xnnpack"])
def test_a_file_for_cores_with_int8_matrices(small_model, preprocessing, photos, target):
    """Its 7x7 and strips are dense; the reference has its integers, the model its classes."""
    converted = convert_model(
        small_model,
        preprocessing,
        "int8",
        "rgb_uint8",
        calibration=photos[:32],
        target=target,
        core="i8mm",
    )
    graph = read_graph(converted.content)
    require_integer_only(graph)
    convs = [one for one in graph.operators if one.name == "CONV_2D"]
    kernels = {graph.tensors[one.inputs[1]].shape[1:3] for one in convs}
    # Some pixels side by side are one.
    assert {(7, 3), (11, 1), (1, 3)} <= kernels
    found = IntegerModel(converted.content).run(photos[32:])
    file = LiteRTFile(converted.content)
    expected = np.concatenate([file.run(one[None])["outputs"] for one in photos[32:]])
    np.testing.assert_array_equal(found, expected)
    form = converted.quantized_form.predict(photos[32:].astype(np.float32), verbose=0)
    steps = file.outputs["outputs"].dequantize(found) - form
    assert np.abs(steps).max() <= 3 * file.outputs["outputs"].scale


def test_a_deploy_form_is_for_its_cores_already(int8_model, preprocessing):
    with pytest.raises(ValueError, match="leave --core out. Received: core='i8mm'"):
        convert_model(int8_model, preprocessing, "int8", "rgb_uint8", core="i8mm")


@pytest.mark.parametrize("activation", ["exponential", "log_sigmoid", "silu", "hard_silu", "gelu"])
def test_functions_for_xnnpack(preprocessing, photos, activation):
    """What LiteRT gives is what the reference computes, for each function that is spelled out."""
    keras.utils.set_random_seed(0)
    images = keras.Input((16, 24, 3))
    x = keras.layers.Conv2D(8, 3, strides=4, activation=activation)(images)
    model = keras.Model(images, keras.layers.Conv2D(4, 1)(x))
    content = convert_model(
        model, preprocessing, "int8", "rgb_uint8", calibration=photos[:32], target="xnnpack"
    ).content
    graph = read_graph(content)
    require_integer_only(graph)
    assert code_tables(graph.main)
    file = LiteRTFile(content)
    found = np.concatenate([file.run(one[None])["outputs"] for one in photos[32:]])
    np.testing.assert_array_equal(IntegerModel(content).run(photos[32:]), found)


def test_one_step_for_the_weights_of_a_layer(small_model, preprocessing, photos, tmp_path):
    """The file has no steps of channels, and its form, saved and loaded, rounds as it does."""
    form = quantize(fuse(small_model), int8_ptq(per_tensor_weights=True))
    form.preprocessing = form.preprocessing or preprocessing.taking_pixels()
    calibrate(form, [photos[:32].astype(np.float32)])
    form.save(tmp_path / "form.keras")
    loaded = load_any(str(tmp_path / "form.keras"))
    content = convert_model(loaded, preprocessing, "int8", "rgb_uint8").content
    graph = read_graph(content)
    require_integer_only(graph)
    assert not [one for one in graph.tensors if len(one.scales) > 1]
    file = LiteRTFile(content)
    codes = np.concatenate([file.run(one[None])["outputs"] for one in photos[32:]])
    np.testing.assert_array_equal(IntegerModel(content).run(photos[32:]), codes)
    expected = numpy_of(loaded(photos[32:].astype(np.float32)))
    # Seen: 139 dB, not a code apart.
    assert snr_db(file.outputs["outputs"].dequantize(codes), expected) > 30


def test_int8_from_the_training_form(small_model, preprocessing, photos, expected):
    """Fused, quantized and calibrated on the way; the model stays what it was."""
    before = [weight.copy() for weight in small_model.get_weights()]
    converted = convert_model(
        small_model, preprocessing, "int8", "rgb_uint8", calibration=iter(photos[:32])
    )
    assert_follows(converted, preprocessing, photos, expected, "int8", "rgb_uint8")
    model = LiteRTModel(converted.content)
    assert (model.input.scale, model.input.zero_point) == (1.0, 0)
    require_integer_only(read_graph(converted.content))
    for weight, old in zip(small_model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)


def test_a_deploy_form_converts_as_its_training_form(small_model, preprocessing):
    deployed = fuse(small_model, default_rewrites("float32"))
    assert (
        convert_model(deployed, preprocessing).content
        == convert_model(small_model, preprocessing).content
    )


@pytest.mark.parametrize("input_kind", ["float", "rgb_uint8"])
def test_a_deploy_form_that_says_nothing_of_images(
    small_model, preprocessing, photos, expected, input_kind
):
    """As a file from elsewhere is: what the user says of images holds for its int8 too."""
    deployed = fuse(small_model)
    deployed.preprocessing = None
    converted = convert_model(
        deployed, preprocessing, "int8", input_kind, calibration=iter(photos[:32])
    )
    assert_follows(converted, preprocessing, photos, expected, "int8", input_kind)
    assert deployed.preprocessing is None


def test_batch_is_the_input_s_first_axis(small_model, preprocessing, photos):
    model = LiteRTModel(convert_model(small_model, preprocessing, batch=3).content)
    assert model.input.shape == (3, 16, 24, 3)
    inputs = normalize(photos[:7], preprocessing)
    # Seven is no multiple of three: the last batch is padded and cut again.
    np.testing.assert_allclose(
        model.predict(inputs), numpy_of(small_model(inputs, training=False)), atol=1e-4
    )


def test_a_quantized_form_is_int8_and_nothing_else(int8_model, preprocessing):
    with pytest.raises(ValueError, match="int8 only. Received: precision='float32'"):
        convert_model(int8_model, preprocessing)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"precision": "int4"}, "`precision` must be one of"),
        ({"input_kind": "bgr"}, "`input_kind` must be one of"),
        ({"precision": "int8"}, "int8 needs images"),
        ({"precision": "int8", "calibration": []}, "int8 needs images"),
        ({"output_type": "uint8"}, "`output_type` is of care_keras' own files in int8."),
        ({"precision": "int8", "output_type": "bool"}, "`output_type` must be one of"),
        ({"precision": "dynamic", "target": "xnnpack"}, "`target` is of care_keras' own files in"),
        ({"precision": "float16", "core": "any"}, "`core` is of care_keras' own files in int8."),
        ({"precision": "int8", "target": "gpu"}, "`target` must be one of"),
    ],
)
def test_bad_arguments(small_model, preprocessing, arguments, message):
    with pytest.raises(ValueError, match=message + r".*Received: "):
        convert_model(small_model, preprocessing, **arguments)


def test_kernels_that_keras_has_quantized(preprocessing, photos):
    """Multiplied out; TensorFlow's converter refuses them by name, in one line."""
    model = keras.Sequential(
        [
            keras.Input((16, 24, 3)),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(4, name="scores"),
        ]
    )
    model.layers[-1].quantize("int8")
    file = LiteRTModel(convert_model(model, preprocessing).content)
    inputs = normalize(photos[:8], preprocessing)
    assert snr_db(file.predict(inputs), numpy_of(model(inputs, training=False))) > 25.0
    with pytest.raises(ValueError, match="Received: 'scores' .int8_from_float32.$"):
        convert_model(model, preprocessing, converter="tensorflow")
