import types

import keras
import numpy as np
import pytest

from care_keras.convert.check import (
    CheckResult,
    _agreement,
    check_file,
    is_constant,
    keras_outputs,
    top1,
)
from care_keras.convert.conversion import convert_model
from care_keras.convert.examples import Examples


@pytest.fixture(scope="module")
def written(small_model, preprocessing, tmp_path_factory):
    path = tmp_path_factory.mktemp("check") / "model.tflite"
    path.write_bytes(convert_model(small_model, preprocessing).content)
    return path


@pytest.fixture(scope="module")
def examples(preprocessing, photos):
    return Examples.of_images(photos, preprocessing)


@pytest.fixture(scope="module")
def reference(small_model, examples):
    return keras_outputs(small_model, examples)


def test_figures_are_those_of_the_outputs(written, examples, reference):
    labels = reference["outputs"].argmax(-1)
    labels[:16] = (labels[:16] + 1) % 10
    result = check_file("float32", written, "float", examples, labels, reference)
    assert result.images == 64 and result.size_bytes == written.stat().st_size
    assert result.agreement == 1.0 and result.top1 == 0.75 and result.snr_db > 80


def test_another_model_s_outputs_do_not_agree(written, examples, reference):
    negative = {"outputs": -reference["outputs"]}
    result = check_file("x", written, "float", examples, None, negative)
    assert result.agreement < 0.5 and result.snr_db < 0 and result.top1 is None


def test_a_model_that_gives_nan_is_refused(small_model, examples, preprocessing):
    broken = keras.models.clone_model(small_model)
    for weight in broken.trainable_weights[:1]:
        weight.assign(np.full(weight.shape, np.nan))
    with pytest.raises(ValueError, match="gives NaN for examples .* output outputs$"):
        keras_outputs(broken, examples)


def test_a_file_that_is_no_model_is_refused(tmp_path, examples, reference):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"no model" * 100)
    with pytest.raises(ValueError, match="LiteRT cannot open the model"):
        check_file("x", path, "float", examples, None, reference)


def test_constant_output_is_seen(small_model, tmp_path, preprocessing, examples, reference):
    dead = small_model.__class__.from_config(small_model.get_config())
    dead.set_weights([np.zeros_like(value) for value in small_model.get_weights()])
    path = tmp_path / "dead.tflite"
    path.write_bytes(convert_model(dead, preprocessing).content)
    assert check_file("x", path, "float", examples, None, reference).constant
    first = {"outputs": reference["outputs"][:1]}
    assert not check_file("x", path, "float", examples.part(0, 1), None, first).constant


def test_an_infinite_ratio_is_null_in_json():
    result = CheckResult("x", 1, 1, None, 1.0, float("inf"))
    assert result.to_dict()["snr_db"] is None


def test_chance_and_indecision():
    """Of one output with classes, by hand."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(400, 4)).astype("float32")
    share, chance, undecided = _agreement({"y": scores[::-1]}, {"y": scores}, file_of(0.01))
    assert abs(share - 0.25) < 0.1 and abs(chance - 0.25) < 0.02 and not undecided
    assert _agreement({"y": scores}, {"y": scores}, file_of(10.0))[2]
    assert _agreement({"y": scores[:, :1]}, {"y": scores[:, :1]}, file_of(0.01))[0] is None


def file_of(step):
    """Stands in for a file of one output whose codes are a step apart."""
    return types.SimpleNamespace(outputs={"y": types.SimpleNamespace(scale=step)})


def test_classes_are_compared_as_they_are():
    """Integers are no scores: equal or not, and where all are of one class that is no fault."""
    first = np.arange(12, dtype=np.int32).reshape(4, 3) % 4
    second = first.astype(np.float32)
    second[0, 0] += 1.0
    share, chance, undecided = _agreement({"y": second}, {"y": first}, file_of(0.0))
    assert share == pytest.approx(11 / 12) and chance == pytest.approx(0.25) and not undecided
    assert not is_constant({"y": np.ones((4, 3), np.int32)})
    assert is_constant({"y": np.ones((4, 3), np.int32), "scores": np.ones((4, 3))})
    result = CheckResult("x", 1, 1, None, 1.0, None)
    assert result.to_dict()["snr_db"] is None


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_top1_of_classes(shape):
    picked = {"y": np.asarray([0, 1, 2, 3], np.int32).reshape(shape)}
    labels = np.asarray([0, 1, 2, 0])
    assert top1(picked, picked, labels) == 0.75
    scores = {"y": np.eye(4, dtype=np.float32)}
    assert top1(scores, scores, labels) == 0.75
    maps = {"y": np.zeros((4, 2, 2), np.int32)}
    assert top1(maps, maps, labels) is None


def test_outputs_that_differ_by_rounding_are_constant():
    values = np.full((5, 3), 2.0, np.float32)
    values[0] += 2e-6
    assert is_constant({"y": values}) and is_constant({"y": np.zeros((5, 3))})
    values[0] += 1e-3
    assert not is_constant({"y": values}) and not is_constant({"y": values[:1]})
