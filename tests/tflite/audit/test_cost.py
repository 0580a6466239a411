import keras
import pytest

from care_keras.models.complexity import complexity
from care_keras.tflite_file import Operator, Subgraph, Tensor, read_graph
from tests.care_keras.tflite_file.files import (
    function_file,
    mobilenet_model,
    model_file,
    nano_model,
)
from tflite.audit.cost import operator_cost


def costs(content):
    graph = read_graph(content)
    return [(op.name, operator_cost(graph.main, op)) for op in graph.operators]


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_macs_of_the_bundled_model_are_those_of_its_layers(precision):
    truth = complexity(nano_model(), (32, 32))
    counted = costs(model_file(f"nano_{precision}"))
    attention = sum(cost.macs for name, cost in counted if name == "BATCH_MATMUL")
    assert attention == truth.attention_macs > 0
    assert sum(cost.macs for _, cost in counted) - attention == truth.conv_dense_macs


def test_macs_of_a_foreign_model_are_those_of_its_layers():
    macs = 0
    for layer in mobilenet_model().layers:
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)):
            pixels = layer.output.shape[1] * layer.output.shape[2]
            macs += pixels * layer.kernel.shape.num_elements()
        elif isinstance(layer, keras.layers.Dense):
            macs += layer.kernel.shape.num_elements()
    assert sum(cost.macs for _, cost in costs(model_file("mobilenet_int8"))) == macs > 10e6


def test_bytes():
    """Two 3x3 convolutions of 4 to 4 channels on 4x4 float32, and a sum."""
    first, second, total = (cost for _, cost in costs(function_file("small")))
    for convolution in (first, second):
        assert convolution.macs == 4 * 4 * 4 * 9 * 4
        assert convolution.read_bytes == convolution.written_bytes == 4 * 4 * 4 * 4
        assert convolution.weight_bytes == (9 * 4 * 4 + 4) * 4
    assert (total.macs, total.read_bytes, total.written_bytes) == (0, 512, 256)
    assert total.weight_bytes == 0


def one_operator(name, *input_shapes, output, **options):
    """A graph of one operator, and the operator."""
    shapes = [*input_shapes, output]
    tensors = tuple(
        Tensor(i, f"t{i}", "int8", shape, shape, (0.1,), (0,), 0, False, False, None)
        for i, shape in enumerate(shapes)
    )
    inputs = tuple(range(len(input_shapes)))
    operator = Operator(0, name, 1, inputs, (len(inputs),), options, None, b"")
    return Subgraph(0, "main", tensors, (operator,), inputs, (len(inputs),)), operator


@pytest.mark.parametrize(
    "name, shapes, output, options, macs",
    [
        # Two groups: each output sees half of the four channels.
        ("CONV_2D", [(1, 8, 8, 4), (6, 3, 3, 2)], (2, 4, 4, 6), {}, 2 * 4 * 4 * 6 * 9 * 2),
        # Depth multiplier 2.
        ("DEPTHWISE_CONV_2D", [(1, 8, 8, 3), (1, 5, 3, 6)], (1, 8, 8, 6), {}, 8 * 8 * 6 * 15),
        ("FULLY_CONNECTED", [(7, 5), (3, 5)], (7, 3), {}, 7 * 3 * 5),
        ("BATCH_MATMUL", [(2, 3, 4, 5), (2, 3, 5, 6)], (2, 3, 4, 6), {}, 6 * 4 * 5 * 6),
        ("BATCH_MATMUL", [(5, 4), (5, 6)], (4, 6), {"adj_x": True}, 4 * 5 * 6),
        ("BATCH_MATMUL", [(4, 5), (6, 5)], (4, 6), {"adj_y": True}, 4 * 5 * 6),
        ("TRANSPOSE_CONV", [(4,), (3, 2, 2, 5), (1, 4, 4, 5)], (1, 8, 8, 3), {}, 80 * 2 * 2 * 3),
        ("CONV_3D", [(1, 4, 4, 4, 2), (3, 3, 3, 2, 5)], (1, 4, 4, 4, 5), {}, 64 * 5 * 27 * 2),
        ("GELU", [(1, 8)], (1, 8), {}, 0),
        ("UNIDIRECTIONAL_SEQUENCE_LSTM", [(1, 8)], (1, 8), {}, None),
        ("UNKNOWN_5000", [(1, 8)], (1, 8), {}, None),
        # No runtime would take these, and no count is made up for them.
        ("CONV_2D", [(1, 8, 8, 4)], (1, 8, 8, 4), {}, None),
        ("CONV_2D", [(1, 8, 8, 4), (4, 4)], (1, 8, 8, 4), {}, None),
    ],
)
def test_macs(name, shapes, output, options, macs):
    assert operator_cost(*one_operator(name, *shapes, output=output, **options)).macs == macs
