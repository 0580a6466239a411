"""Odd inputs: that they are odd, and that a file which fails on one is found."""

import json

import numpy as np
import pytest

from care_keras.convert.by_tensorflow import convert_by_tensorflow
from care_keras.convert.conversion import convert_model
from care_keras.convert.sidecar import describe
from tests.care_keras.helpers import tiny_classifier
from tests.care_keras.quantization.samples import RECORD, photos
from tests.tflite import tiny_classifiers
from tests.tflite.picking_models import write_picking
from tests.tflite.several_ends import write_several_ends
from tflite.inputs.odd_inputs import FAMILIES, odd_input
from tflite.runs import worker
from tflite.stress import run


def test_inputs_are_what_they_are_called():
    images = photos(6)
    found = {}
    for index in range(40 * len(FAMILIES)):
        name, image = odd_input(index, 0, images)
        assert image.shape == images.shape[1:] and image.dtype == np.uint8
        np.testing.assert_array_equal(image, odd_input(index, 0, images)[1])
        found.setdefault(name, []).append(image)
    assert {name: len(group) for name, group in found.items()} == dict.fromkeys(FAMILIES, 40)
    assert all((image == image[0, 0]).all() for image in found["constant"])
    assert [image[0, 0, 0] for image in found["constant"][:3]] == [0, 255, 128]
    for image in found["single pixel"]:
        values, counts = np.unique(image, return_counts=True)
        assert values.tolist() == [0, 255] and counts.min() == 3
    spread = [image.astype(float).std() for image in found["noise"]]
    assert min(spread) < 1.0 and max(spread) > 100.0
    np.testing.assert_array_equal(found["photo"][:6], images)
    assert len(np.unique(found["photo"], axis=0)) == 40


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """An int8 file of each form, with its JSON."""
    folder = tmp_path_factory.mktemp("forms")
    model = tiny_classifier(classes=10, preprocessing=RECORD, classifier_activation=None)
    deploy, training = folder / "deploy_uint8.tflite", folder / "training_int8.tflite"
    converted = convert_model(model, RECORD, "int8", "rgb_uint8", calibration=iter(photos(8)))
    deploy.write_bytes(converted.content)
    training.write_bytes(convert_by_tensorflow(model, RECORD, "int8", calibration=iter(photos(8))))
    kinds = {deploy: "rgb_uint8", training: "float"}
    for path, kind in kinds.items():
        record = describe(path, path.name, kind, "int8", RECORD, None, None)
        path.with_suffix(".json").write_text(json.dumps(record))
    return list(kinds)


def test_a_deploy_form_runs_on_all(files):
    result = run.stress(files[0], "bundled", 120)
    assert result.passed and not result.failures and not result.messages
    assert result.inputs == dict.fromkeys(FAMILIES, 30)
    assert result.photos == 30 and result.distinct_outputs > 15


def test_a_kernel_that_gives_up_is_found(files):
    """DIV of the training form, where every query of a pixel is the code of 0."""
    path = files[1]
    result = run.stress(path, "bundled", 40)
    assert result.failures and not result.passed and "DIV" in result.messages[0]
    assert sum(result.inputs.values()) == 40


# The worker, but it dies of each sixth input; its first two answers are of no input.
_DYING = """
import os, runpy
run_on = runpy.run_path({file!r})["work"]
def work(request):
    for number, answer in enumerate(run_on(request)):
        if number >= 2 and request["start"] + number - 2 == 5:
            os.write(2, b"last words")
            os.abort()
        yield answer
"""


def test_a_process_that_dies_is_started_anew_but_not_for_ever(files, tmp_path, monkeypatch):
    script = tmp_path / "worker.py"
    script.write_text(_DYING.format(file=worker.__file__))
    monkeypatch.setattr(worker, "__file__", str(script))
    monkeypatch.setattr(run, "_AT_ONCE", 8)
    monkeypatch.setattr(run, "_DEATHS", 3)
    result = run.stress(files[0], "bundled", 40)
    assert result.messages == (
        "input 5, single pixel: the process was ended by SIGABRT (last words)",
        "input 13, single pixel: the process was ended by SIGABRT (last words)",
        "input 21, single pixel: the process was ended by SIGABRT (last words)",
        "the process died 3 times: inputs from 22 on were not run",
    )
    assert sum(result.inputs.values()) == 22 and result.failures == {"single pixel": 3}


def test_photos_that_all_look_alike_do_not_pass():
    counts = dict.fromkeys(FAMILIES, 5)
    same = run.StressResult(counts, {}, (), photos=5, distinct_outputs=1)
    assert not same.passed
    assert run.StressResult(counts, {}, (), photos=5, distinct_outputs=4).passed


def test_all_inputs_are_fed_and_all_outputs_looked_at(tmp_path):
    result = run.stress(write_several_ends(tmp_path / "both.tflite", "both"), "bundled", 40)
    assert result.passed and result.distinct_outputs == 10
    result = run.stress(write_several_ends(tmp_path / "nan.tflite", "nan"), "bundled", 40)
    assert not result.passed and "constant" in result.failures
    assert result.messages[0] == "input 0, constant: an output is not finite: box"


def test_noise_does_not_tell_photos_apart(tmp_path):
    result = run.stress(write_several_ends(tmp_path / "blind.tflite", "blind"), "bundled", 40)
    assert not result.failures and result.photos == 10
    assert result.distinct_outputs == 1 and not result.passed


def test_sizes_that_the_file_leaves_open(tmp_path):
    path = tmp_path / "open.tflite"
    path.write_bytes(tiny_classifiers.tiny_classifier("open"))
    record = {"input": {"kind": "float"}, "preprocessing": tiny_classifiers.PREPROCESSING.to_dict()}
    path.with_suffix(".json").write_text(json.dumps(record))
    assert run.stress(path, "bundled", 8).passed


@pytest.mark.parametrize("kind", ["map", "class", "one"])
def test_classes_may_be_one_for_all_photos(tmp_path, kind):
    path, _ = write_picking(tmp_path, kind, "int8")
    result = run.stress(path, "bundled", 40)
    assert result.gives_classes and result.passed
    assert (result.distinct_outputs == 1) == (kind == "one")
