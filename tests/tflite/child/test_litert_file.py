"""LiteRT in another process: the same to the bit, and this process outlives any file."""

import os
import signal

import numpy as np
import pytest

from care_keras.litert.file import LiteRTFile
from care_keras.tflite_file import read_graph
from tests.care_keras.tflite_file.files import edited
from tests.tflite.tiny_models import tiny_model
from tflite.child.litert_file import LiteRTFileApart
from tflite.child.worker import WorkerError


@pytest.fixture
def write(tmp_path):
    def write_file(content):
        path = tmp_path / "model.tflite"
        path.write_bytes(content)
        return path

    return write_file


def inputs_of(file):
    """Something of each type that is an index too."""
    return {name: np.ones(one.shape, one.dtype) for name, one in file.inputs.items()}


@pytest.mark.parametrize("kind", ["conv", "mixed", "two"])
def test_the_same_to_the_bit(write, kind):
    path = write(tiny_model(kind))
    graph = read_graph(path)
    here, apart = LiteRTFile(path, keep_all=True), LiteRTFileApart(graph, keep_all=True)
    assert (apart.inputs, apart.outputs) == (here.inputs, here.outputs)
    for given in (inputs_of(here), {name: x * 2 for name, x in inputs_of(here).items()}):
        expected, found = here.run(given), apart.run(given)
        assert list(found) == list(expected)
        for name, array in expected.items():
            np.testing.assert_array_equal(found[name], array)
            assert found[name].dtype == array.dtype
    inside = graph.operators[0].outputs[0]
    np.testing.assert_array_equal(apart.tensor(inside), here.tensor(inside))
    apart.feed(inputs_of(here))
    apart.invoke()
    with pytest.raises(ValueError, match="The model takes an array for each of"):
        apart.run({"none": np.zeros(1, np.float32)})
    # It goes on after what was wrong with the inputs.
    assert list(apart.run(inputs_of(here))) == list(here.outputs)


def test_sizes_that_a_file_leaves_open(write):
    graph = read_graph(write(tiny_model("open")))
    file = LiteRTFileApart(graph, input_shapes={graph.inputs[0].index: (2, 5, 6, 3)})
    (tensor,) = file.inputs.values()
    assert tensor.shape == (2, 5, 6, 3)
    (output,) = file.run(np.zeros(tensor.shape, np.float32)).values()
    assert output.shape == (2, 5, 6, 3)


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (signal.SIGKILL, "LiteRT was ended by SIGKILL while running the model. Received: "),
        (signal.SIGSTOP, "LiteRT did not come to an end while running the model. Received: "),
    ],
)
def test_a_process_that_dies_or_hangs(write, sent, message):
    file = LiteRTFileApart(read_graph(write(tiny_model("conv"))), limit_seconds=2)
    given = inputs_of(file)
    os.kill(file._worker._process.pid, sent)
    with pytest.raises(WorkerError, match=message) as error:
        file.run(given)
    assert error.value.died and "\n" not in str(error.value)
    assert file._worker._process.poll() is not None


def test_its_process_ends_with_it(write):
    file = LiteRTFileApart(read_graph(write(tiny_model("conv"))))
    process = file._worker._process
    assert process.poll() is None
    del file
    assert process.poll() is not None


def with_inputs(*indices):
    def edit(model):
        model.subgraphs[0].operators[0].inputs = np.array(indices, np.int32)

    return edit


def without_output(model):
    model.subgraphs[0].operators[0].outputs = np.array([-1], np.int32)


def with_axis(axis):
    """Of CUMSUM, whose axis is a constant."""

    def edit(model):
        graph = model.subgraphs[0]
        cumsum = next(one for one in graph.operators if len(one.inputs) == 2)
        buffer = model.buffers[graph.tensors[cumsum.inputs[1]].buffer]
        buffer.data = np.array([axis], np.int32).view(np.uint8)

    return edit


def with_gather_axis(model):
    model.subgraphs[0].operators[0].builtinOptions.axis = 77


def with_a_large_input(model):
    tensor = model.subgraphs[0].tensors[model.subgraphs[0].inputs[0]]
    tensor.shape = np.array([1, 2**15, 2**15, 2**15], np.int32)


def with_itself(model):
    """An output that is the operator's input as well."""
    operator = model.subgraphs[0].operators[0]
    operator.outputs = np.array(operator.inputs[:1], np.int32)


CRAFTED = {
    # PYSEC-2020-134: an index of -1 that is no optional input.
    "no input": ("conv", with_inputs(-1, -1, -1)),
    "index beyond": ("conv", with_inputs(2**30, 1, 2)),
    "negative index": ("conv", with_inputs(-2, 1, 2)),
    "no output": ("conv", without_output),
    # CVE-2021-29606, CVE-2021-37685: axes that no tensor has.
    "axis": ("mixed", with_axis(1000)),
    "negative axis": ("mixed", with_axis(-1000)),
    "axis of GATHER": ("two", with_gather_axis),
    "more than memory": ("conv", with_a_large_input),
    "output that is the input": ("conv", with_itself),
}


@pytest.mark.parametrize("case", CRAFTED)
def test_a_crafted_file(write, case, capfd):
    """Refused by the reader or by LiteRT, or run, or the end of its process: never of this one."""
    kind, edit = CRAFTED[case]
    path = write(edited(tiny_model(kind), edit))
    # What the converter says.
    capfd.readouterr()
    try:
        file = LiteRTFileApart(read_graph(path), limit_seconds=60)
        file.run(inputs_of(file))
    except ValueError as error:
        assert "Received: " in str(error) and "\n" not in str(error)
        assert str(path) in str(error)
    assert capfd.readouterr() == ("", "")
