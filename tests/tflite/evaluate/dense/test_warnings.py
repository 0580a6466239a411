"""A bad result is called bad."""

import types

import numpy as np
import pytest

from tflite.evaluate.dense import command
from tflite.evaluate.dense.detection import Detection
from tflite.evaluate.dense.segmentation import Segmentation

NAMES = ("sky", "road")


def evaluation(task, figure, confusion=(), nan_images=0):
    model = types.SimpleNamespace(
        name="m.tflite", other_inputs=(), input=types.SimpleNamespace(labels=NAMES)
    )
    return types.SimpleNamespace(
        task=task,
        data="photos",
        class_names=NAMES,
        models=(model,),
        confusion=confusion,
        nan_images=(nan_images,),
        unreadable=(),
        figure=lambda index: figure,
    )


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (evaluation(Detection(), 0.0), "m.tflite finds nothing of what is known: AP 0"),
        (
            evaluation(Segmentation(), 0.3, (np.array([[5, 0], [3, 0]]),)),
            "m.tflite gives the same class for every pixel: sky",
        ),
        (
            evaluation(Detection(), 0.3, nan_images=2),
            "m.tflite gives values that are not finite for 2 images",
        ),
        (
            evaluation(Detection(), None),
            "photos has no objects of any class: nothing to judge",
        ),
    ],
)
def test_bad_is_called_bad(made, message, capsys):
    command._warn(made, "exact")
    assert capsys.readouterr().err == f"warning: {message}\n"


def test_of_a_good_one_nothing_is_said(capsys):
    command._warn(evaluation(Segmentation(), 0.3, (np.array([[5, 1], [3, 4]]),)), "exact")
    assert capsys.readouterr().err == ""
