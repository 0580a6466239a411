"""The worker on this machine, where nobody reads its marks."""

import os

import numpy as np
import pytest

from care_keras.tflite_file import read_graph
from tests.tflite.tiny_models import tiny_model
from tflite.arm64.count import worker
from tflite.child.worker import open_worker
from tflite.runs.python import host_command


def job(folder, kind, *inputs):
    """A job whose inputs are told apart by their types."""
    model, arrays = folder / f"{kind}.tflite", folder / f"{kind}.npz"
    model.write_bytes(tiny_model(kind))
    by_type = {array.dtype.name: array for array in inputs}
    np.savez(arrays, **{str(one.index): by_type[one.dtype] for one in read_graph(model).inputs})
    return {"model": os.fspath(model), "inputs": os.fspath(arrays)}


def test_each_inference_is_marked_before_and_after(tmp_path):
    image = np.zeros((2, 1, 12, 20, 3), np.float32)
    table = np.zeros((1, 8, 3), np.float32)
    indices = np.int32([[0, 1, 2, 3], [4, 5, 6, 999]])
    jobs = [
        job(tmp_path, "open", image),
        # The second image fails.
        job(tmp_path, "two", indices, table),
        job(tmp_path, "custom", np.zeros((1, 4, 4), np.float32)),
        job(tmp_path, "conv", np.zeros((1, 1, 16, 16, 3), np.float32)),
    ]
    request = {"inferences": 3, "jobs": jobs}
    with open_worker(worker.__file__, request, host_command()) as running:
        answers = [running.next(60) for _ in jobs]
        running.finish(60)
    assert [answer["marks"] for answer in answers] == [6, 4, 0, 6]
    assert "out of bounds" in answers[1]["failed"] and "custom op" in answers[2]["failed"]
    assert answers[0].keys() == answers[3].keys() == {"marks"}


def test_a_mark_is_the_call_that_the_plugin_looks_for(monkeypatch):
    calls = []
    monkeypatch.setattr(os, "getpriority", lambda *arguments: calls.append(arguments))
    marks = worker._Marks()
    marks.set()
    assert marks.count == len(calls) == 1


@pytest.mark.parametrize("inferences", [1, 4])
def test_images_are_run_in_turn(tmp_path, inferences):
    one = job(tmp_path, "conv", np.zeros((3, 1, 16, 16, 3), np.float32))
    answers = list(worker.work({"inferences": inferences, "jobs": [one]}))
    assert answers == [{"marks": 2 * inferences}]
