import dataclasses

import keras
import numpy as np
import pytest

from care_keras.console.cli import UserError
from care_keras.data.preprocessing import normalize
from care_keras.data.sources import open_source
from care_keras.models import Preprocessing
from care_keras.training.teaching.distillation import KerasTeacher, TaughtClassifier, load_teacher
from tests.care_keras.helpers import COMPILE, TINY, infer, numpy_of, tiny_backbone, tiny_classifier

STUDENT = TINY.preprocessing
LABELS = ("cat", "dog", "frog")
OTHER = Preprocessing(16, 24, mean=(0.1, 0.5, 0.3), std=(0.3, 0.1, 0.5))


@pytest.fixture(scope="module")
def pixels():
    """Real images of the student's size."""
    source = open_source("bundled", "train").sample(6)
    return np.stack([source[i][:16, :24] for i in range(6)])


def log_softmax(x):
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def linear(preprocessing, activation=None, size=(16, 24)):
    """A teacher that is cheap in every backend."""
    inputs = keras.Input((*size, 3))
    pooled = keras.layers.AveragePooling2D(8)(inputs)
    outputs = keras.layers.Dense(3, activation=activation)(keras.layers.Flatten()(pooled))
    return keras.Model(inputs, outputs), preprocessing


@pytest.mark.parametrize("preprocessing", [STUDENT, OTHER])
def test_a_teacher_sees_images_as_it_was_trained_to(pixels, preprocessing):
    model, own = linear(preprocessing)
    teacher = KerasTeacher(model, own, STUDENT)
    expected = numpy_of(model(normalize(pixels, own)))
    actual = numpy_of(teacher.logits(normalize(pixels, STUDENT)))
    np.testing.assert_allclose(actual, expected, atol=1e-4)


def test_a_teacher_of_another_size_sees_resized_images():
    row = np.linspace(0, 255, 24).astype(np.uint8)
    smooth = np.broadcast_to(row[None, None, :, None], (2, 16, 24, 3))
    model, own = linear(dataclasses.replace(OTHER, height=32, width=48), size=(32, 48))
    twice = smooth.repeat(2, axis=1).repeat(2, axis=2)
    actual = numpy_of(KerasTeacher(model, own, STUDENT).logits(normalize(smooth, STUDENT)))
    np.testing.assert_allclose(actual, numpy_of(model(normalize(twice, own))), atol=0.05)


def test_probabilities_become_logits(pixels):
    model, own = linear(OTHER, "softmax")
    teacher = KerasTeacher(model, own, STUDENT)
    assert teacher.gives_probabilities
    logits = numpy_of(teacher.logits(normalize(pixels, STUDENT)))
    probabilities = numpy_of(model(normalize(pixels, own)))
    np.testing.assert_allclose(np.exp(logits), probabilities, atol=1e-5)
    assert not KerasTeacher(*linear(OTHER), STUDENT).gives_probabilities


def taught(**kwargs):
    model = TaughtClassifier(
        tiny_backbone(), classes=3, preprocessing=STUDENT, labels=LABELS, **kwargs
    )
    model.set_weights(tiny_classifier().get_weights())
    return model


class Given:
    """A teacher whose logits are given."""

    def __init__(self, logits):
        self._logits = logits

    def logits(self, images):
        return keras.ops.convert_to_tensor(self._logits)


HEAD = np.asarray([[1.0, 0.5, -1.0], [0.2, 0.1, 2.0]], np.float32)
DIST = np.asarray([[0.3, 0.0, -0.5], [1.2, -0.1, 0.0]], np.float32)
GIVEN = np.asarray([[2.0, -1.0, 0.0], [0.0, 1.0, 0.5]], np.float32)
TARGETS = np.asarray([[0.7, 0.3, 0.0], [0.0, 0.0, 1.0]], np.float32)


def expected_hard():
    return -log_softmax(DIST)[[0, 1], GIVEN.argmax(-1)].mean()


def expected_soft(temperature):
    teacher, student = log_softmax(GIVEN / temperature), log_softmax(DIST / temperature)
    return temperature**2 * (np.exp(teacher) * (teacher - student)).sum(-1).mean()


@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.8])
@pytest.mark.parametrize(
    ("kind", "temperature", "expected"),
    [
        ("hard", 1.0, expected_hard()),
        ("soft", 1.0, expected_soft(1.0)),
        ("soft", 3.0, expected_soft(3.0)),
    ],
)
def test_losses_are_their_formulas(kind, temperature, expected, alpha):
    model = taught()
    model.learn_from(Given(GIVEN), kind, alpha, temperature)
    model.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True), **COMPILE)
    outputs = {"head": HEAD, "dist_head": DIST}
    images = np.zeros((2, 16, 24, 3), np.float32)
    loss = float(model.compute_loss(images, TARGETS, outputs))
    label_loss = -(TARGETS * log_softmax(HEAD)).sum(-1).mean()
    assert loss == pytest.approx((1 - alpha) * label_loss + alpha * expected, rel=1e-4)
    # In evaluation the labels alone count.
    evaluated = float(model.compute_loss(images, TARGETS, HEAD, training=False))
    assert evaluated == pytest.approx(label_loss, rel=1e-5)


def test_another_kind():
    with pytest.raises(ValueError, match="Received: kind='warm'"):
        taught().learn_from(Given(GIVEN), "warm", 0.5)


def test_each_head_learns_from_its_own(pixels):
    """Labels and the teacher contradict each other: each head follows one of them."""
    model = taught()
    # The heads alone, which is quicker.
    model.backbone.trainable = False
    teacher_model, _ = linear(OTHER)
    *_, kernel, bias = teacher_model.weights
    kernel.assign(np.zeros(kernel.shape))
    bias.assign([0.0, 0.0, 5.0])
    before = [numpy_of(weight) for weight in teacher_model.weights]
    count = len(model.weights)
    model.learn_from(KerasTeacher(teacher_model, OTHER, STUDENT), "hard", 0.5)
    assert len(model.weights) == count
    model.compile(
        keras.optimizers.Adam(0.1),
        keras.losses.CategoricalCrossentropy(from_logits=True),
        **COMPILE,
    )
    images = normalize(pixels, STUDENT)
    targets = np.eye(3, dtype=np.float32)[[0] * 6]
    for _ in range(10):
        model.train_on_batch(images, targets)
    outputs = infer(model, images, training=True)
    np.testing.assert_array_equal(numpy_of(outputs["head"]).argmax(-1), [0] * 6)
    np.testing.assert_array_equal(numpy_of(outputs["dist_head"]).argmax(-1), [2] * 6)
    for weight, value in zip(teacher_model.weights, before, strict=True):
        np.testing.assert_array_equal(numpy_of(weight), value)


def test_the_weights_are_those_of_a_classifier():
    model = taught()
    plain = tiny_classifier(preprocessing=STUDENT, labels=LABELS)
    plain.set_weights(model.get_weights())
    images = np.random.default_rng(0).normal(size=(2, 16, 24, 3)).astype("float32")
    np.testing.assert_allclose(
        numpy_of(infer(plain, images)), numpy_of(infer(model, images)), atol=1e-6
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Models in files, by what is the matter with them."""
    folder = tmp_path_factory.mktemp("teachers")
    models = {
        "care": tiny_classifier(preprocessing=OTHER, labels=LABELS),
        "plain": linear(None)[0],
        "any_size": keras.Sequential(
            [
                keras.Input((None, None, 3)),
                keras.layers.GlobalAveragePooling2D(),
                keras.layers.Dense(3, activation="softmax"),
            ]
        ),
        "other_order": tiny_classifier(preprocessing=OTHER, labels=LABELS[::-1]),
        "four_classes": tiny_classifier(preprocessing=OTHER, classes=4),
        "map": keras.Sequential([keras.Input((16, 24, 3)), keras.layers.Conv2D(3, 1)]),
    }
    for name, model in models.items():
        model.save(folder / f"{name}.keras")
    (folder / "damaged.keras").write_bytes(b"PK damaged")
    return folder


def test_a_file_s_own_preprocessing_is_respected(files, pixels):
    teacher, lines = load_teacher(str(files / "care.keras"), taught())
    assert lines == []
    model = keras.models.load_model(files / "care.keras")
    actual = numpy_of(teacher.logits(normalize(pixels, STUDENT)))
    np.testing.assert_allclose(actual, numpy_of(model(normalize(pixels, OTHER))), atol=1e-3)


def test_a_file_without_preprocessing_gets_pixels_or_what_flags_say(files, pixels):
    path = str(files / "plain.keras")
    model = keras.models.load_model(path)
    teacher, (line,) = load_teacher(path, taught())
    assert "fed as pixels from 0 to 255" in line and "--teacher_mean and --teacher_std" in line
    actual = numpy_of(teacher.logits(normalize(pixels, STUDENT)))
    np.testing.assert_allclose(actual, numpy_of(model(pixels.astype("float32"))), rtol=1e-3)
    teacher, lines = load_teacher(path, taught(), mean=OTHER.mean, std=OTHER.std)
    assert lines == []
    actual = numpy_of(teacher.logits(normalize(pixels, STUDENT)))
    np.testing.assert_allclose(actual, numpy_of(model(normalize(pixels, OTHER))), atol=1e-3)


def test_a_teacher_of_any_size_gets_the_student_s_or_the_flag_s(files):
    path = str(files / "any_size.keras")
    assert load_teacher(path, taught())[0].size == (16, 24)
    assert load_teacher(path, taught(), size=(20, 20))[0].size == (20, 20)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "--teacher: No such model file"),
        ("damaged", "--teacher: Not a .keras file"),
        ("four_classes", r"one value for each of the 3 classes; its output has .* \(None, 4\)"),
        ("map", r"one value for each of the 3 classes"),
        ("other_order", "has other classes than the data, or in another order"),
    ],
)
def test_teachers_that_cannot_be(files, name, message):
    with pytest.raises(UserError, match=message) as error:
        load_teacher(str(files / f"{name}.keras"), taught())
    assert "\n" not in str(error.value)


def test_sizes_that_the_teacher_does_not_take(files):
    with pytest.raises(UserError, match="--teacher: The model takes images of 16x24 pixels only"):
        load_teacher(str(files / "plain.keras"), taught(), size=(32, 32))
