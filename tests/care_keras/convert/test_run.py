import dataclasses
import json
import pathlib

import keras
import numpy as np
import pytest
from PIL import Image

from care_keras.convert.conversion import convert_model
from care_keras.convert.job import ConversionJob
from care_keras.convert.run import run_job
from care_keras.convert.verdict import FailedCheckError
from care_keras.data.record import Preprocessing
from care_keras.data.sources import open_source
from care_keras.deploy import fuse
from care_keras.litert.file import LiteRTFile
from care_keras.litert.model import LiteRTModel
from care_keras.quantization import calibrate, quantize
from care_keras.tflite_file import read_graph
from care_keras.tflite_file.integer_audit import NotIntegerOnlyError
from care_keras.tflite_file.reduced_precision import allows_float16
from tests.care_keras.helpers import tiny_backbone, tiny_classifier

pytestmark = pytest.mark.usefixtures("converter_here")


@pytest.fixture(scope="module")
def converted(small_model, tmp_path_factory):
    """The main job on a small model: int8 by bundled images."""
    folder = tmp_path_factory.mktemp("converted")
    small_model.save(folder.parent / "small.keras")
    output = folder / "small_int8.tflite"
    job = ConversionJob(
        *(str(folder.parent / "small.keras"), output, "int8", "rgb_uint8"),
        samples=20,
        check_samples=60,
    )
    return output, run_job(job)


def test_sidecar_describes_the_file(converted):
    output, result = converted
    assert result.integer_only is True
    sidecar = json.loads(output.with_suffix(".json").read_text())
    model = LiteRTModel(output)
    assert sidecar["size_bytes"] == output.stat().st_size
    assert sidecar["input"]["kind"] == "rgb_uint8"
    assert sidecar["input"]["dtype"] == "uint8" and sidecar["input"]["shape"] == [1, 16, 24, 3]
    assert sidecar["output"]["scale"] == model.output.scale
    assert sidecar["output"]["zero_point"] == model.output.zero_point
    assert sidecar["output"]["activation"] == "linear"
    assert sidecar["calibration"] == {"source": "bundled:train", "images": 20, "seed": 0}
    assert sidecar["check"]["source"] == "bundled:test"
    assert sidecar["check"]["files"][1]["agreement"] == result.checks[1].agreement
    assert sidecar["versions"]["tensorflow"]


def test_only_the_file_and_its_sidecar_are_left(converted):
    output, _ = converted
    assert {path.name for path in output.parent.iterdir()} == {output.name, "small_int8.json"}


def small_job(tmp_path, model, precision="float32", **changes):
    """A quick float32 job on a model that is saved first."""
    path = tmp_path / "in" / "model.keras"
    path.parent.mkdir(exist_ok=True)
    if isinstance(model, keras.Model):
        model.save(path)
    elif model is not None:
        path.write_bytes(model)
    (tmp_path / "out").mkdir(exist_ok=True)
    settings = {
        "model": str(path),
        "output": tmp_path / "out" / "model.tflite",
        "precision": precision,
        "input_kind": "float",
        "check_samples": 20,
    }
    return ConversionJob(**{**settings, **changes})


def foreign_model():
    inputs = keras.Input((20, 20, 3))
    x = keras.layers.Conv2D(4, 3, activation="relu")(inputs)
    return keras.Model(inputs, keras.layers.Dense(10)(keras.layers.Flatten()(x)))


def test_a_model_that_is_none_of_ours_converts(tmp_path):
    result = run_job(small_job(tmp_path, foreign_model()))
    assert result.checks[0].agreement == 1.0
    assert any("fed as pixels from 0 to 255" in warning for warning in result.warnings)


def test_pixels_into_a_model_that_is_none_of_ours(tmp_path):
    said = {"mean": (0.5,) * 3, "std": (0.5,) * 3}
    job = small_job(tmp_path, foreign_model(), input_kind="rgb_uint8", **said)
    result = run_job(job)
    assert result.checks[0].agreement == 1.0
    assert any("how its images are resized" in warning for warning in result.warnings)
    record = json.loads(job.output.with_suffix(".json").read_text())["preprocessing"]
    assert (record["fit"], record["interpolation"]) == ("stretch", "bilinear")
    job = dataclasses.replace(job, crop_ratio=0.875, interpolation="bicubic")
    assert not any("resized" in warning for warning in run_job(job).warnings)
    record = json.loads(job.output.with_suffix(".json").read_text())["preprocessing"]
    assert (record["crop_ratio"], record["interpolation"]) == (0.875, "bicubic")
    assert "fit" not in record
    assert LiteRTModel(job.output).input.dtype == np.uint8


def test_int8_of_a_float_model_is_refused_unless_accepted(tmp_path):
    """A float32 input, which TensorFlow's converter leaves, is not integer-only."""
    job = small_job(tmp_path, foreign_model(), precision="int8", samples=8, converter="tensorflow")
    with pytest.raises(NotIntegerOnlyError, match="--allow_float_fallback.*Received: model="):
        run_job(job)
    assert not list(job.output.parent.iterdir())
    result = run_job(dataclasses.replace(job, allow_float_fallback=True))
    assert result.integer_only is False and job.output.exists()
    assert any("the file is not integer-only" in warning for warning in result.warnings)
    assert json.loads(job.output.with_suffix(".json").read_text())["integer_only"] is False


def own_head():
    """What a user puts on a CARE backbone first."""
    backbone = tiny_backbone()
    x = keras.layers.GlobalAveragePooling2D(name="pool")(backbone.output)
    x = keras.layers.Dropout(0.3, name="drop")(x, training=False)
    return keras.Model(backbone.input, keras.layers.Dense(4, name="scores")(x))


@pytest.mark.parametrize("precision", ["float32", "float16", "dynamic", "int8"])
def test_a_head_of_ones_own_converts(tmp_path, precision):
    job = small_job(tmp_path, own_head(), precision=precision, size=(16, 24))
    result = run_job(job)
    float32 = precision == "float32"
    assert result.checks[-1].agreement >= (1.0 if float32 else 0.8)
    assert result.checks[-1].snr_db > (80.0 if float32 else 5.0)
    # CARE's own part went through the deploy form: its attention divides nothing.
    names = {operator.name for operator in read_graph(job.output).operators}
    assert "RSQRT" in names and "DIV" not in names


def without_primitives():
    """Operations that neither we nor TensorFlow's converter have for int8."""
    images = keras.Input((16, 24, 3), name="images")
    x = keras.layers.Conv2D(4, 3, name="conv")(images)
    x = keras.ops.cumsum(keras.ops.argsort(x, axis=-1), axis=-1)
    return keras.Model(images, keras.ops.cast(x, "float32") / 4.0)


def test_what_keeps_a_model_from_int8_is_named(tmp_path):
    job = small_job(tmp_path, without_primitives(), precision="int8", size=(16, 24))
    with pytest.raises(ValueError, match="There are no primitives of .*Argsort.*Cumsum"):
        run_job(job)
    assert not list(job.output.parent.iterdir())


def test_a_quantized_form_converts_with_the_ranges_it_has(tmp_path, small_model, photos):
    model = quantize(fuse(small_model))
    calibrate(model, [photos[:8].astype(np.float32)])
    job = small_job(tmp_path, model, precision="int8", input_kind="rgb_uint8")
    result = run_job(job)
    assert [check.name for check in result.checks] == ["int8"]
    # Against the quantized form itself: the file's own rounding is all that differs.
    assert result.checks[0].snr_db > 25.0 and result.integer_only is True
    sidecar = json.loads(job.output.with_suffix(".json").read_text())
    assert sidecar["calibration"] is None and sidecar["integer_only"] is True


def test_size_and_batch_are_those_asked_for(tmp_path, small_model):
    job = small_job(tmp_path, small_model, size=(40, 24), batch=2)
    run_job(job)
    assert LiteRTModel(job.output).input.shape == (2, 40, 24, 3)


def with_broken_weights(model):
    model = model.__class__.from_config(model.get_config())
    model.weights[0].assign(model.weights[0] * np.nan)
    return model


def two_inputs():
    inputs = [keras.Input((20, 20, 3)), keras.Input((20, 20, 3))]
    return keras.Model(inputs, keras.layers.Add()(inputs))


def two_with_argmin():
    model = two_inputs()
    return keras.Model(model.inputs, keras.ops.argmin(model.output, axis=-1))


def channels_first():
    images = keras.Input((20, 20, 3))
    x = keras.layers.Permute((3, 1, 2))(images)
    x = keras.layers.Conv2D(4, 3, data_format="channels_first", name="first")(x)
    return keras.Model(images, keras.layers.Flatten()(x))


def with_argmin():
    images = keras.Input((20, 20, 3))
    x = keras.layers.Dense(4)(keras.layers.Flatten()(images))
    return keras.Model(images, keras.ops.argmin(x, axis=-1))


def grey_model():
    images = keras.Input((20, 20, 1))
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(images)
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu")(x)
    return keras.Model(images, keras.layers.Dense(10)(keras.layers.Flatten()(x)))


def a_vector_model():
    inputs = keras.Input((8,))
    return keras.Model(inputs, keras.layers.Dense(2)(inputs))


@pytest.mark.parametrize(
    "make_model, changes, message",
    [
        (None, {}, "No such model file"),
        (b"no model", {}, "Not a .keras file"),
        (with_broken_weights, {}, "NaN or infinite weights: "),
        (
            two_inputs,
            {"input_kind": "rgb_uint8", "precision": "dynamic"},
            "one image alone: leave --input out. Received: .*--precision=dynamic, inputs 'input",
        ),
        (
            two_inputs,
            {"input_kind": "rgb_uint8", "precision": "int8", "converter": "tensorflow"},
            "one image alone: leave --input out. Received: .*--converter=tensorflow, inputs 'inp",
        ),
        (
            two_with_argmin,
            {"input_kind": "rgb_uint8"},
            "one image alone: leave --input out. Received: .*a model with 'argmin.*, inputs 'inp",
        ),
        (a_vector_model, {"input_kind": "rgb_uint8"}, "the model has none: .* .8.$"),
        (a_vector_model, {"precision": "int8"}, "int8 needs examples of inputs .* Received: calib"),
        (channels_first, {}, "channels_last'. Received: .*channels_first' of 'first' .Conv2D"),
        (
            channels_first,
            {"precision": "int8", "converter": "tensorflow"},
            "channels_last'. Received: .*channels_first' of 'first' .Conv2D",
        ),
        (with_argmin, {}, "There are no primitives of .argmin.* .Argmin.*leave such layers out"),
        (with_argmin, {"precision": "int8"}, "There are no primitives of .argmin.* .Argmin"),
        (foreign_model, {"size": (32, 32)}, "20x20 pixels only"),
        (foreign_model, {"mean": (0.5,)}, "RGB images: mean and std are three values each"),
        (grey_model, {"std": (0.5,) * 3}, "grey images: mean and std are one value each"),
        ("small", {"size": (7, 64)}, "at least 8 pixels a side"),
        ("small", {"precision": "int8", "calibration": "no/such/folder"}, "No such folder"),
        ("small", {"precision": "int8", "calibration": "EMPTY"}, "No image"),
        ("small", {"precision": "int8", "calibration": "BROKEN"}, "None of the 1 images"),
        ("small", {"calibration": "tfds:no_such_data_set"}, "no_such_data_set"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_leaves_no_file(
    tmp_path, small_model, make_model, changes, message
):
    if make_model in ("small", with_broken_weights):
        model = small_model if make_model == "small" else with_broken_weights(small_model)
    else:
        model = make_model() if callable(make_model) else make_model
    for name, content in (("EMPTY", None), ("BROKEN", b"no image")):
        (tmp_path / name).mkdir()
        if content:
            (tmp_path / name / "a.jpg").write_bytes(content)
        changes = {k: str(tmp_path / name) if v == name else v for k, v in changes.items()}
    job = small_job(tmp_path, model, **changes)
    with pytest.raises(ValueError, match=message) as error:
        run_job(job)
    assert "\n" not in str(error.value)
    assert not list(job.output.parent.iterdir())


def test_a_truncated_model_file(tmp_path, small_model):
    job = small_job(tmp_path, small_model)
    path = pathlib.Path(job.model)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ValueError, match="Not a .keras file, or a damaged one"):
        run_job(job)
    assert not list(job.output.parent.iterdir())


def test_several_outputs_are_checked_and_told(tmp_path):
    """A map and scores, by their names."""
    images = keras.Input((16, 24, 3))
    x = keras.layers.Conv2D(6, 3, strides=2, padding="same", activation="relu")(images)
    scores = keras.layers.Dense(4)(keras.layers.GlobalAveragePooling2D()(x))
    outputs = {"mask": keras.layers.Conv2D(3, 1)(x), "scores": scores}
    job = small_job(
        tmp_path, keras.Model(images, outputs), precision="int8", input_kind="rgb_uint8"
    )
    result = run_job(job)
    assert result.integer_only
    ratios = result.checks[-1].output_snr_db
    assert ratios.keys() == {"mask", "scores"}
    assert min(ratios.values()) == result.checks[-1].snr_db > 15.0
    sidecar = json.loads(job.output.with_suffix(".json").read_text())
    assert {output["signature_name"] for output in sidecar["outputs"]} == {"mask", "scores"}


def picking(kind):
    """A segmenter's map of classes, a classifier's class, or a map beside the scores of it."""
    keras.utils.set_random_seed(0)
    images = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(6, 3, padding="same", activation="relu")(images)
    x = keras.layers.Conv2D(10, 3, padding="same")(x)
    if kind == "class":
        x = keras.layers.GlobalAveragePooling2D()(x)
    places = keras.ops.argmax(x, axis=-1, keepdims=kind == "map")
    return keras.Model(images, {"scores": x, "map": places} if kind == "both" else places)


@pytest.mark.parametrize("kind", ["map", "class", "both"])
@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_classes_instead_of_scores(tmp_path, kind, precision):
    result = run_job(small_job(tmp_path, picking(kind), precision, check_samples=60))
    check = result.checks[-1]
    # Seen: 100, 99.9 and 95 %.
    assert check.agreement > {"float32": 0.999, "float16": 0.95, "int8": 0.85}[precision]
    assert check.output_snr_db.keys() == ({"scores"} if kind == "both" else set())
    assert (check.snr_db is None) == (kind != "both") and result.checks[0].agreement > 0.999
    assert result.integer_only is (True if precision == "int8" else None)
    sidecar = json.loads((tmp_path / "out" / "model.json").read_text())
    described = {one["signature_name"]: one for one in sidecar.get("outputs", [sidecar["output"]])}
    places = described["map" if kind == "both" else "outputs"]
    assert (places["dtype"], places["scale"]) == ("int32", None)
    assert sidecar["check"]["files"][-1]["agreement"] == check.agreement


@pytest.mark.parametrize("output_type", ["uint8", "float"])
def test_outputs_of_another_type_than_int8(tmp_path, output_type):
    """Scores have it, classes stay int32; float outputs are what was asked for, and said."""
    job = small_job(tmp_path, picking("both"), "int8", check_samples=60, output_type=output_type)
    result = run_job(job)
    assert result.integer_only is (output_type == "uint8")
    assert result.checks[-1].agreement > 0.85 and not any(
        "integer" in one for one in result.warnings
    )
    sidecar = json.loads((tmp_path / "out" / "model.json").read_text())
    types = {one["signature_name"]: one["dtype"] for one in sidecar["outputs"]}
    assert types == {"map": "int32", "scores": {"float": "float32"}.get(output_type, output_type)}


def test_top1_of_a_class_on_images_of_ones_own(tmp_path):
    model = picking("class")
    source = open_source("bundled:test").sample(60)
    for place in range(60):
        path = tmp_path / "photos" / f"class{place % 10}" / f"{place:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(source[place]).save(path)
    job = small_job(tmp_path, model, evaluation=str(tmp_path / "photos"), check_samples=60)
    result = run_job(job)
    assert result.keras_top1 == result.checks[0].top1 is not None
    sidecar = json.loads(job.output.with_suffix(".json").read_text())
    assert sidecar["labels"] == [f"class{place}" for place in range(10)]


@pytest.mark.parametrize(
    ("precision", "input_kind"),
    [("float32", "float"), ("float16", "rgb_uint8"), ("int8", "rgb_uint8")],
)
def test_grey_images(tmp_path, precision, input_kind):
    settings = {"precision": precision, "input_kind": input_kind, "mean": (0.5,), "std": (0.25,)}
    job = small_job(tmp_path, grey_model(), **settings)
    result = run_job(job)
    # Seen: 136, 74 and 37 dB.
    assert result.checks[-1].snr_db > {"float32": 100, "float16": 50, "int8": 25}[precision]
    assert result.integer_only is (True if precision == "int8" else None)
    tensor = LiteRTModel(job.output).input
    assert tensor.shape == (1, 20, 20, 1)
    assert tensor.dtype == (np.float32 if input_kind == "float" else np.uint8)
    sidecar = json.loads(job.output.with_suffix(".json").read_text())
    assert "ITU-R 601 luma" in sidecar["preprocessing"]["steps"]
    assert len(sidecar["preprocessing"]["mean"]) == 1


def test_stretched_images(tmp_path):
    """What the model's record says stands in the JSON, and in the file's examples."""
    model = tiny_classifier(preprocessing=Preprocessing(16, 24, fit="stretch"))
    job = small_job(tmp_path, model)
    run_job(job)
    prepared = json.loads(job.output.with_suffix(".json").read_text())["preprocessing"]
    assert prepared["fit"] == "stretch" and "the whole image" in prepared["steps"]
    del prepared["steps"]
    assert Preprocessing(**prepared) == model.preprocessing


def test_grey_images_by_tensorflow(tmp_path):
    job = small_job(
        tmp_path, grey_model(), precision="int8", input_kind="rgb_uint8", converter="tensorflow"
    )
    result = run_job(job)
    assert result.integer_only and result.checks[-1].snr_db > 25.0
    assert LiteRTModel(job.output).input.shape == (1, 20, 20, 1)


def photo_and_extra():
    """A dict of inputs and of outputs."""
    photo, extra = keras.Input((20, 20, 3), name="photo"), keras.Input((5,), name="extra")
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu")(photo)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Concatenate()([x, keras.layers.Dense(8, activation="relu")(extra)])
    scores = keras.layers.Dense(4)(x)
    inputs = {"photo": photo, "extra": extra}
    return keras.Model(inputs, {"scores": scores, "box": keras.layers.Dense(2)(x)})


def arrays_file(tmp_path, **shapes):
    generator = np.random.default_rng(0)
    arrays = {name: generator.standard_normal((60, *shape)) for name, shape in shapes.items()}
    np.savez(tmp_path / "arrays.npz", **arrays)
    return str(tmp_path / "arrays.npz")


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_several_inputs_are_checked_on_noise(tmp_path, precision):
    job = small_job(tmp_path, photo_and_extra(), precision=precision, input_kind=None)
    result = run_job(job)
    assert result.checks[-1].snr_db > 50.0 and result.keras_top1 is None
    assert result.checked_on == "examples"
    assert any("checked on noise in 'extra'" in warning for warning in result.warnings)
    sidecar = json.loads(job.output.with_suffix(".json").read_text())
    assert sidecar["check"]["source"] == "bundled:test; noise for 'extra'"
    assert sidecar["input"]["signature_name"] == "photo"
    said = {one["signature_name"]: one for one in sidecar["inputs"]}
    assert said["photo"]["shape"] == [1, 20, 20, 3] and said["extra"]["shape"] == [1, 5]
    assert said["photo"]["preprocessing"] == sidecar["preprocessing"]
    assert said["extra"]["preprocessing"] is None
    assert (said["photo"]["checked_on"], said["extra"]["checked_on"]) == ("images", "noise")


@pytest.mark.parametrize("converter", ["care", "tensorflow"])
def test_several_inputs_in_int8(tmp_path, converter):
    """Photos for one, an array for the other."""
    path = arrays_file(tmp_path, extra=(5,))
    settings = {"precision": "int8", "input_kind": None, "converter": converter}
    settings |= {"mean": (0.5,) * 3, "std": (0.5,) * 3, "check_samples": 12, "batch": 2}
    job = small_job(tmp_path, photo_and_extra(), calibration=path, **settings)
    result = run_job(job)
    # Seen: 31 dB.
    assert result.integer_only and result.checks[-1].snr_db > 20.0
    assert {name: list(one.shape) for name, one in LiteRTFile(job.output).inputs.items()} == {
        "photo": [2, 20, 20, 3],
        "extra": [2, 5],
    }
    sidecar = json.loads(job.output.with_suffix(".json").read_text())
    assert {one["dtype"] for one in sidecar["inputs"]} == {"int8"}
    assert sidecar["calibration"]["source"] == f"{path}; bundled:train"
    assert sidecar["calibration"]["images"] == 48 and sidecar["check"]["images"] == 12


def test_arrays_for_all_inputs(tmp_path):
    path = arrays_file(tmp_path, photo=(20, 20, 3), extra=(5,))
    job = small_job(
        tmp_path, photo_and_extra(), precision="int8", input_kind=None, calibration=path
    )
    result = run_job(job)
    assert result.integer_only and result.checks[-1].snr_db > 20.0 and not result.warnings
    # Nothing says how photos become such arrays.
    assert json.loads(job.output.with_suffix(".json").read_text())["preprocessing"] is None


def test_arrays_of_images_are_no_pixels(tmp_path):
    path = arrays_file(tmp_path, photo=(20, 20, 3), extra=(5,))
    job = small_job(
        tmp_path, photo_and_extra(), "int8", input_kind="rgb_uint8", calibration=path, samples=8
    )
    with pytest.raises(ValueError, match="leave --input out.* an array for 'photo' .20, 20, 3.$"):
        run_job(job)


def test_arrays_of_one_image(tmp_path):
    """Values as the model takes them, so that its input is no pixels."""
    path = arrays_file(tmp_path, any_name=(20, 20, 1))
    job = small_job(tmp_path, grey_model(), precision="int8", input_kind=None, calibration=path)
    result = run_job(job)
    assert result.integer_only and result.checks[-1].snr_db > 25.0
    tensor = LiteRTModel(job.output).input
    assert tensor.dtype == np.int8 and 0.01 < tensor.scale < 0.1


def test_two_images_get_photos(tmp_path):
    inputs = [keras.Input((20, 20, 3), name=name) for name in ("left", "right")]
    convolution = keras.layers.Conv2D(8, 3, activation="relu")
    parts = [keras.layers.GlobalAveragePooling2D()(convolution(x)) for x in inputs]
    model = keras.Model(inputs, keras.layers.Dense(4)(keras.layers.Subtract()(parts)))
    job = small_job(tmp_path, model, precision="int8", input_kind=None)
    result = run_job(job)
    # Seen: 33 dB.
    assert result.integer_only and result.checks[-1].snr_db > 20.0
    sidecar = json.loads(job.output.with_suffix(".json").read_text())
    assert [one["checked_on"] for one in sidecar["inputs"]] == ["images", "images"]


@pytest.fixture(scope="module")
def colour_and_depth():
    """Images of two sizes and kinds, one of which can fold what its values are prepared with."""
    colour = keras.Input((20, 20, 3), name="colour")
    depth, extra = keras.Input((12, 16, 1), name="depth"), keras.Input((5,), name="extra")
    parts = [
        keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="padded")(colour),
        keras.layers.Conv2D(8, 3, activation="relu", name="unpadded")(depth),
    ]
    parts = [keras.layers.GlobalAveragePooling2D()(x) for x in parts]
    x = keras.layers.Concatenate()([*parts, keras.layers.Dense(8, activation="relu")(extra)])
    inputs = {"depth": depth, "colour": colour, "extra": extra}
    return keras.Model(inputs, keras.layers.Dense(4)(x))


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_raw_pixels_of_several_inputs(tmp_path, colour_and_depth, precision):
    path = arrays_file(tmp_path, extra=(5,))
    settings = {"input_kind": "rgb_uint8", "mean": (0.5,) * 3, "std": (0.3, 0.25, 0.2), "batch": 2}
    job = small_job(tmp_path, colour_and_depth, precision, calibration=path, **settings)
    result = run_job(job)
    # Seen: 28 dB in int8.
    assert result.checks[-1].snr_db > {"float32": 100.0, "float16": 50.0, "int8": 20.0}[precision]
    inputs = LiteRTFile(job.output).inputs
    other = np.dtype(np.int8 if precision == "int8" else np.float32)
    types = {"colour": np.uint8, "depth": np.uint8, "extra": other}
    assert {name: one.dtype for name, one in inputs.items()} == types
    # What pads its image has it normalized by a convolution of its own.
    names = " ".join(tensor.name for tensor in read_graph(job.output).main.tensors)
    assert "normalized_colour" in names and "normalized_depth" not in names
    sidecar = json.loads(job.output.with_suffix(".json").read_text())
    assert sidecar["input"]["signature_name"] == "colour"
    said = {one["signature_name"]: one for one in sidecar["inputs"]}
    kinds = {"colour": "rgb_uint8", "depth": "rgb_uint8", "extra": "float"}
    assert {name: one["kind"] for name, one in said.items()} == kinds
    assert said["colour"]["preprocessing"] == sidecar["preprocessing"]
    assert (said["depth"]["preprocessing"]["height"], said["extra"]["preprocessing"]) == (12, None)


def test_a_quantized_form_keeps_the_pixels_of_several_inputs(tmp_path, colour_and_depth):
    form = fuse(colour_and_depth)
    records = {"colour": Preprocessing(20, 20), "depth": Preprocessing(12, 16, (0.5,), (0.25,))}
    form.preprocessing, form.input_preprocessing = records["colour"], records
    form = quantize(form)
    generator = np.random.default_rng(0)
    shapes = [(16, *one.shape[1:]) for one in form.inputs]
    calibrate(form, [[generator.uniform(0, 255 if len(x) > 2 else 1, x) for x in shapes]])
    form.save(tmp_path / "form.keras")
    loaded = keras.models.load_model(tmp_path / "form.keras")
    pixels = {name: record.taking_pixels() for name, record in records.items()}
    assert loaded.input_preprocessing == form.input_preprocessing == pixels
    content = [convert_model(x, None, "int8", "rgb_uint8").content for x in (form, loaded)]
    assert content[0] == content[1]


@pytest.mark.parametrize("kind", ["float", "rgb_uint8"])
def test_a_report_of_several_inputs(tmp_path, colour_and_depth, kind):
    path, folder = arrays_file(tmp_path, extra=(5,)), tmp_path / "report"
    settings = {"input_kind": kind, "calibration": path, "report": folder}
    result = run_job(small_job(tmp_path, colour_and_depth, "int8", check_samples=8, **settings))
    found = json.loads((folder / "report.json").read_text())
    ratios = [one["snr_db"] for one in found["layers"] if one["snr_db"] is not None]
    # Seen: 8.5 dB where one range holds what is joined.
    assert found["images"] == 8 and min(ratios) > 5.0, ratios
    assert {"padded", "unpadded", "dense"} <= {one["name"].split("_")[0] for one in found["layers"]}
    assert result.worst_layers[0].name == found["worst_layers"][0]


def test_no_image_at_all(tmp_path):
    job = small_job(tmp_path, a_vector_model(), input_kind=None)
    assert run_job(job).checks[0].snr_db > 100.0
    path = arrays_file(tmp_path, values=(8,))
    job = small_job(tmp_path, a_vector_model(), "int8", input_kind=None, calibration=path)
    assert run_job(job).integer_only
    sidecar = json.loads(job.output.with_suffix(".json").read_text())
    assert sidecar["preprocessing"] is None and sidecar["input"]["shape"] == [1, 8]


def test_pixels_as_the_model_has_them(tmp_path):
    """An input of uint8, and Rescaling behind it; a sigmoid at the end."""
    x = images = keras.Input((20, 20, 3), dtype="uint8")
    x = keras.layers.Conv2D(8, 3, activation="relu")(keras.layers.Rescaling(1 / 255)(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(images, keras.layers.Dense(4, activation="sigmoid")(x))
    for precision, least in (("float32", 100.0), ("int8", 30.0)):
        result = run_job(small_job(tmp_path, model, precision=precision, input_kind=None))
        assert result.checks[-1].snr_db > least and "pixels from" not in str(result.warnings)


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_half_precision_is_allowed_on_request(tmp_path, precision):
    job = small_job(tmp_path, foreign_model(), precision, reduced_precision=True)
    run_job(job)
    assert allows_float16(read_graph(job.output))
    run_job(small_job(tmp_path, None, precision))
    assert not read_graph(job.output).metadata


def test_half_precision_that_does_not_hold_leaves_no_file(tmp_path):
    model = foreign_model()
    kernel, bias = model.layers[1].get_weights()
    model.layers[1].set_weights([kernel * 1e6, bias])
    job = small_job(tmp_path, model, reduced_precision=True)
    with pytest.raises(FailedCheckError, match="half precision does not hold .* must be left out"):
        run_job(job)
    assert not job.output.exists()
    run_job(small_job(tmp_path, model))
    assert job.output.exists()
