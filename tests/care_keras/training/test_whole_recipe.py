"""Runs with every part of the recipe at once."""

import contextlib
import io

import keras
import numpy as np
import pytest

from care_keras.console.cli import UserError
from care_keras.data.preprocessing import normalize
from care_keras.data.sources import open_source
from care_keras.models import CAREClassifier
from care_keras.training.recipe import training_config
from care_keras.training.run.checkpoint import CheckpointFolder
from care_keras.training.trainer import train
from tests.care_keras.helpers import TINY, tiny_classifier
from tests.care_keras.training.runs import CLASSES, pixels_of

pytestmark = pytest.mark.usefixtures("tiny_config", "without_graphs")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    path = tmp_path_factory.mktemp("teacher") / "teacher.keras"
    tiny_classifier(preprocessing=TINY.preprocessing, labels=CLASSES).save(path)
    return str(path)


@pytest.fixture(scope="module")
def settings(images, teacher):
    """The settings of a short run of the paper's recipe, and more: nothing is left out."""

    def settings(run_dir, **changes):
        given = {
            "model": "tiny",
            "data": str(images),
            "run_dir": run_dir,
            "epochs": 2,
            "warmup_epochs": 1.0,
            "batch_size": 12,
            "gradient_accumulation_steps": 2,
            "base_batch_size": 24,
            "min_learning_rate": 1e-4,
            "global_clipnorm": 1.0,
            "ema_momentum": 0.5,
            "dtype": "mixed_bfloat16",
            "teacher": teacher,
            "tensorboard": False,
        }
        return training_config("imagenet", {**given, **changes})

    return settings


@pytest.fixture(scope="module")
def finished(settings, tmp_path_factory):
    """Folder of a finished run, what `train` returned, and what it printed."""
    run_dir, printed = tmp_path_factory.mktemp("whole"), io.StringIO()
    with contextlib.redirect_stderr(printed):
        result = train(settings(run_dir))
    return run_dir, result, printed.getvalue()


@pytest.mark.every_backend
def test_the_result_is_a_plain_float32_classifier(finished, images):
    run_dir, result, _ = finished
    model = keras.models.load_model(run_dir / "model.keras")
    assert type(model) is CAREClassifier
    assert {layer.dtype_policy.name for layer in model._flatten_layers()} == {"float32"}
    source = open_source(str(images), "test")
    inputs = normalize(pixels_of(source, TINY.preprocessing), TINY.preprocessing)
    logits = model.predict(inputs, verbose=0)
    # Evaluated in half precision: a close call may go the other way.
    top1 = (logits.argmax(-1) == source.labels).mean()
    assert result["top1"] == pytest.approx(top1, abs=1.01 / len(source))


@pytest.mark.every_backend
def test_the_averages_of_the_weights_are_saved(finished):
    run_dir, *_ = finished
    arrays = CheckpointFolder(run_dir / "checkpoints").newest().arrays
    model = keras.models.load_model(run_dir / "model.keras")
    averages = [
        array
        for name, array in arrays.items()
        if name.startswith("optimizer/") and name.endswith("/average")
    ]
    saved = [keras.ops.convert_to_numpy(weight) for weight in model.trainable_variables]
    assert len(averages) == len(saved)
    for average, weight in zip(averages, saved, strict=True):
        np.testing.assert_array_equal(average, weight)
    trained = [arrays[name] for name in arrays if name.startswith("model/")]
    moved = [not any(np.array_equal(weight, other) for other in trained) for weight in saved]
    assert np.mean(moved) > 0.9


def test_the_pipeline_s_rate_is_printed(finished):
    *_, printed = finished
    (line,) = [line for line in printed.splitlines() if line.startswith("input pipeline")]
    assert line.endswith(" images/s")


def test_losses_are_scaled_where_half_precision_needs_it(settings, tmp_path):
    changes = {"dtype": "mixed_float16", "gradient_accumulation_steps": 1}
    result = train(settings(tmp_path, epochs=1, **changes))
    names = CheckpointFolder(tmp_path / "checkpoints").newest().arrays
    assert any(name.startswith("optimizer/") and name.endswith("/scale") for name in names)
    assert 0.0 <= result["top1"] <= 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher": "no.keras"}, "--teacher: No such model file"),
        ({"teacher_size": "x"}, "--teacher_size must be N or HxW"),
        ({"qat": True, "start_from": "care_nano_cifar10"}, "leave --teacher out"),
        ({"qat": True, "teacher": "", "start_from": "care_nano_cifar10"}, "leave --dtype="),
        ({"min_learning_rate": 1.0}, "--min_learning_rate=1 is above the peak"),
    ],
)
def test_settings_that_cannot_be(settings, tmp_path, changes, message):
    with pytest.raises(UserError, match=message) as error:
        train(settings(tmp_path, **changes))
    assert "\n" not in str(error.value)
