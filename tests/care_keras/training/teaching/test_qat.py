import dataclasses

import keras
import numpy as np
import pytest

from care_keras.console.cli import UserError
from care_keras.convert.conversion import convert_model
from care_keras.data.sources import open_source
from care_keras.deploy import fuse
from care_keras.emit.network import emit_tflite
from care_keras.litert.layer_runner import LayerRunner
from care_keras.litert.model import LiteRTModel
from care_keras.models.factories import build_model
from care_keras.quantization import FakeQuant, is_quantized
from care_keras.tflite_file.integer_audit import audit_integer_only
from care_keras.tflite_file.reader import read_graph
from care_keras.training.config import TrainingConfig
from care_keras.training.teaching.qat import (
    DistillationLoss,
    Teacher,
    label_accuracy,
    quantized_start,
)
from care_keras.training.trainer import train
from tests.care_keras.helpers import TINY, numpy_of, tiny_classifier
from tests.care_keras.training.runs import TINIEST_RUN, pixels_of

LABELS = ("cat", "dog", "frog")

pytestmark = pytest.mark.usefixtures("tiny_config", "without_graphs")


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A float model in a file, to train the quantized form of."""
    path = tmp_path_factory.mktemp("start") / "start.keras"
    tiny_classifier(preprocessing=TINY.preprocessing, labels=LABELS).save(path)
    return path


def settings(images, start, run_dir, **changes):
    arguments = {
        "model": "tiny",
        "data": str(images),
        "run_dir": run_dir,
        "epochs": 1,
        "batch_size": 12,
        "learning_rate": 1e-3,
        "warmup_epochs": 0.0,
        "start_from": str(start),
        "qat": True,
    }
    return TrainingConfig(**{**arguments, **changes})


@pytest.fixture(scope="module")
def trained(images, start, tmp_path_factory):
    """The quantized form after one epoch, and what `train` returned."""
    run_dir = tmp_path_factory.mktemp("qat")
    result = train(settings(images, start, run_dir))
    return keras.models.load_model(run_dir / "model.keras"), result


@pytest.mark.every_backend
def test_the_result_is_a_quantized_form(trained):
    model, result = trained
    assert is_quantized(model)
    assert model.labels == LABELS
    assert "--qat=True" in result["command"] and "--from=" in result["command"]


def test_training_moves_kernels_and_ranges(trained, start, images):
    model, _ = trained
    pixels = pixels_of(open_source(str(images), "train"), TINY.preprocessing)
    before = quantized_start(keras.models.load_model(start), pixels).model
    after = {weight.path: numpy_of(weight) for weight in model.trainable_variables}
    assert after.keys() == {weight.path for weight in before.trainable_variables}
    moved = [
        not np.array_equal(after[weight.path], numpy_of(weight))
        for weight in before.trainable_variables
        if "factor" not in weight.path
    ]
    assert all(moved)
    factors = [value for path, value in after.items() if "factors" in path]
    assert np.mean([np.any(value != 1.0) for value in factors]) > 0.5


def test_it_converts_without_calibration(trained, images):
    model, _ = trained
    content = convert_model(model, model.preprocessing, "int8", "rgb_uint8").content
    assert all(x.severity == "info" for x in audit_integer_only(read_graph(content)))
    # The file follows the Keras form: ranges and biases are those that training ended with.
    pixels = pixels_of(open_source(str(images), "test"), TINY.preprocessing)
    expected = numpy_of(model(pixels.astype("float32")))
    runtime = LiteRTModel(content)
    assert np.abs(runtime.predict(pixels) - expected).max() <= 6 * runtime.output.scale


def test_the_teacher_gives_the_float_model_s_logits(start, images):
    model = keras.models.load_model(start)
    pixels = pixels_of(open_source(str(images), "test"), TINY.preprocessing)[:3]
    record = TINY.preprocessing
    inputs = (pixels / 255.0 - np.asarray(record.mean)) / np.asarray(record.std)
    expected = numpy_of(model(inputs.astype("float32")))
    np.testing.assert_allclose(Teacher(fuse(model)).logits(pixels), expected, atol=1e-4)


def test_distillation_loss():
    logits = np.asarray([[2.0, 0.0, -1.0], [0.5, 0.5, 3.0]], np.float32)
    teacher = np.asarray([[1.0, 0.0, 0.0], [0.0, 0.0, 2.0]], np.float32)
    labels = np.eye(3, dtype=np.float32)[[0, 2]]
    targets = np.concatenate([labels, teacher], axis=1)

    def log_softmax(x):
        return x - np.log(np.exp(x).sum(axis=1, keepdims=True))

    entropy = -log_softmax(logits)[[0, 1], [0, 2]]
    share = np.exp(log_softmax(teacher))
    divergence = (share * (log_softmax(teacher) - log_softmax(logits))).sum(axis=1)
    for alpha in (0.0, 0.3, 1.0):
        loss = DistillationLoss(3, alpha, label_smoothing=0.0)
        expected = np.mean((1 - alpha) * entropy + alpha * divergence)
        assert float(loss(targets, logits)) == pytest.approx(expected, rel=1e-5)
        assert float(loss(labels, logits)) == pytest.approx(np.mean(entropy), rel=1e-5)
    # Equal to the teacher: nothing to learn.
    assert float(DistillationLoss(3, 1.0, 0.0)(targets, teacher)) == pytest.approx(0.0, abs=1e-6)
    np.testing.assert_array_equal(numpy_of(label_accuracy(targets, -logits)), [0.0, 0.0])


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"start_from": ""}, "--qat needs --from"),
        ({"low_resolution": 8, "low_resolution_epochs": 1}, "--low_resolution_epochs"),
        ({"start_from": "nowhere.keras"}, "nowhere.keras"),
    ],
)
def test_bad_settings(images, start, tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        train(settings(images, start, tmp_path, **changes))


def test_several_inputs_are_named(images, start, tmp_path):
    """A folder of photos has no examples of the others."""
    image, extra = keras.Input((16, 16, 3), name="image"), keras.Input((5,), name="extra")
    x = keras.layers.Concatenate()([keras.layers.GlobalAveragePooling2D()(image), extra])
    path = tmp_path / "two.keras"
    keras.Model([image, extra], keras.layers.Dense(len(LABELS))(x)).save(path)
    message = "one input, .*two.keras has 2, 'image', 'extra': python -m care_keras.convert --int8"
    with pytest.raises(UserError, match=message):
        train(settings(images, start, tmp_path, start_from=str(path)))


def test_probabilities_are_trained_by_their_logits(images, tmp_path):
    path = tmp_path / "softmax.keras"
    build_model(TINIEST_RUN, labels=LABELS).save(path)
    train(settings(images, path, tmp_path / "run"))
    trained = keras.models.load_model(tmp_path / "run" / "model.keras")
    pixels = pixels_of(open_source(str(images), "test"), TINY.preprocessing)
    np.testing.assert_allclose(
        numpy_of(trained(pixels.astype("float32"))).sum(axis=-1), 1, atol=0.02
    )


def test_every_computed_tensor_is_rounded(trained, images):
    model, _ = trained
    record = model.preprocessing
    content = emit_tflite(
        model, (record.height, record.width), input_kind="rgb_uint8", all_tensors=True
    )
    runner = LayerRunner(content)
    assert all(tensor.dtype == np.int8 for tensor in runner.tensors.values())
    assert any(isinstance(layer, FakeQuant) for layer in model.layers)


def test_a_model_of_grey_images(images, tmp_path):
    path = tmp_path / "grey.keras"
    x = inputs = keras.Input((16, 16, 1))
    for filters in (4, 8):
        x = keras.layers.Conv2D(filters, 3, strides=2, activation="relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    keras.Model(inputs, keras.layers.Dense(len(LABELS))(x)).save(path)
    given = settings(images, path, tmp_path / "run", mean=(0.5,), std=(0.25,))
    train(given)
    trained = keras.models.load_model(tmp_path / "run" / "model.keras")
    assert trained.preprocessing.channels == 1 and is_quantized(trained)
    with pytest.raises(UserError, match="--rand_augment is for RGB images"):
        train(dataclasses.replace(given, run_dir=tmp_path / "other", rand_augment=5.0))


@pytest.mark.parametrize(("flag", "fit"), [("auto", "stretch"), ("crop", "crop")])
def test_how_images_become_the_input_of_a_foreign_model(images, tmp_path, flag, fit, capsys):
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(inputs))
    keras.Model(inputs, keras.layers.Dense(3)(x)).save(tmp_path / "own.keras")
    said = {"fit": flag} if flag == "auto" else {"fit": flag, "interpolation": "nearest"}
    train(settings(images, tmp_path / "own.keras", tmp_path / "run", **said))
    record = keras.models.load_model(tmp_path / "run" / "model.keras").preprocessing
    expected = "bilinear" if flag == "auto" else "nearest"
    assert (record.fit, record.interpolation) == (fit, expected)
    assert ("how its images are resized" in capsys.readouterr().err) == (flag == "auto")


def test_a_training_that_is_refused_leaves_no_folder(images, tmp_path):
    inputs = [keras.Input((16, 16, 3)), keras.Input((3,))]
    x = keras.layers.GlobalAveragePooling2D()(inputs[0])
    keras.Model(inputs, keras.layers.Add()([x, inputs[1]])).save(tmp_path / "two.keras")
    with pytest.raises(UserError, match="trains models of one input"):
        train(settings(images, tmp_path / "two.keras", tmp_path / "run"))
    assert not (tmp_path / "run").exists()
