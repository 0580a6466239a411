"""Broken files: the very layer that is broken is named, and no other."""

import numpy as np
import pytest

from care_keras.tflite_file import read_graph
from tests.care_keras.tflite_file.files import edited
from tests.tflite.compare.test_layers import MODELS, compared, content


def with_constant(data, operator, which, change):
    """A file with the `which`-th input of an operator changed by a function of its array."""
    tensor = read_graph(data).tensors[read_graph(data).operators[operator].inputs[which]]

    def edit(model):
        buffer = model.buffers[model.subgraphs[0].tensors[tensor.index].buffer]
        changed = np.ascontiguousarray(change(tensor.data.copy()), tensor.data.dtype)
        buffer.data = changed.view(np.uint8).reshape(-1)

    return edited(data, edit)


def writer_of(data, name):
    """Index of the operator that writes a tensor whose name starts so."""
    graph = read_graph(data)
    return next(
        o.index for o in graph.operators if graph.tensors[o.outputs[0]].name.startswith(name)
    )


def shifted(bias):
    bias[1] += 2 * np.abs(bias).max()
    return bias


def shuffled(kernel):
    return np.random.default_rng(0).permutation(kernel.reshape(-1)).reshape(kernel.shape)


FAULTS = [
    ("float32", "stage1_block1_inter1_expand", 1, shuffled),
    ("int8", "stage1_block1_inter1_expand", 2, shifted),
    ("int8 against float", "stage2_block1_inter2_expand", 2, shifted),
    ("foreign", "functional_1/re_lu_1_2/", 2, shifted),
    ("foreign", "functional_1/re_lu_2_1/", 1, shuffled),
    ("foreign", "functional_1/inner_1/conv2d_1_1/convolution", 1, shuffled),
    ("foreign", "functional_1/dense_1/MatMul", 1, shuffled),
]


@pytest.mark.parametrize("name,tensor,which,change", FAULTS)
def test_the_very_layer_that_is_broken_is_named(name, tensor, which, change, tmp_path):
    index = writer_of(content(MODELS[name][1]), tensor)
    found = compared(name, tmp_path, lambda data: with_constant(data, index, which, change))
    assert found.layers.first_wrong.operator_index == index
    assert [x.operator_index for x in found.layers.layers if not x.own.right] == [index]
    if change is shifted:
        own = found.layers.first_wrong.own
        assert (own.worst_channel, own.wrong_channels) == (1, 1)


def test_what_inherits_an_error_is_right_by_itself(tmp_path):
    """The first layer is broken: nothing after it has the values of Keras's run."""
    index = writer_of(content("foreign"), "functional_1/re_lu_1/")
    found = compared(
        "foreign", tmp_path, lambda data: with_constant(data, index, 1, shuffled)
    ).layers
    assert found.first_wrong.name == "re_lu"
    assert max(x.snr_db for x in found.layers[:-2]) < 30.0
    assert min(x.own.snr_db for x in found.layers[1:]) > 100.0


def swapped(data, *names):
    """A file in which tensors have exchanged their names."""
    indices = [read_graph(data).operators[writer_of(data, name)].outputs[0] for name in names]

    def edit(model):
        tensors = model.subgraphs[0].tensors
        first, second = (tensors[index] for index in indices)
        first.name, second.name = second.name, first.name

    return edited(data, edit)


def test_a_name_that_misleads_is_no_fault(tmp_path):
    names = ("functional_1/re_lu_1_2/", "functional_1/re_lu_2_1/")
    found = compared("foreign", tmp_path, lambda data: swapped(data, *names)).layers
    assert found.first_wrong is None
    assert {*found.misled, *found.undecided} == {"re_lu_1", "re_lu_2"}
    assert len(found.layers) == 11


def test_a_fault_behind_a_name_that_misleads(tmp_path):
    names = ("functional_1/re_lu_1_2/", "functional_1/activation_1/")
    index = writer_of(content("foreign"), "functional_1/inner_1/conv2d_1_1/convolution")
    found = compared(
        "foreign",
        tmp_path,
        lambda data: swapped(with_constant(data, index, 1, shuffled), *names),
    ).layers
    assert [x.name for x in found.layers if not x.own.right] == ["conv2d_1 (before silu)"]
    assert set(found.misled) == {"re_lu_1", "activation"}
