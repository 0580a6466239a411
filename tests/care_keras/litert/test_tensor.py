"""One description of a file's ends, from the runtime and from the file itself."""

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from ai_edge_litert import schema_py_generated as schema

from care_keras.litert.file import LiteRTFile
from care_keras.litert.tensor import TensorInfo, by_name, inputs_of, outputs_of
from care_keras.tflite_file import read_graph
from care_keras.tflite_file.writer import pack
from tests.tflite.several_ends import keras_file, several_ends
from tests.tflite.tiny_classifiers import tiny_classifier
from tests.tflite.tiny_models import tiny_model


def without_signatures(content):
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    model.signatureDefs = []
    return pack(model)


FILES = {
    "both": lambda: several_ends("both"),
    "scalar": lambda: several_ends("scalar"),
    "numbered": lambda: keras_file(),
    "codes": lambda: keras_file("int8"),
    "without signatures": lambda: without_signatures(keras_file("int8")),
    "int8": lambda: tiny_classifier("int8"),
    "uint8": lambda: tiny_classifier("uint8_quantized"),
    "two": lambda: tiny_model("two"),
}


@pytest.mark.parametrize("kind", FILES)
def test_the_file_and_the_runtime_say_the_same(kind):
    content = FILES[kind]()
    file, graph = LiteRTFile(content), read_graph(content)
    for read, told in ((inputs_of(graph), file.inputs), (outputs_of(graph), file.outputs)):
        assert read == told and list(read) == list(told)
        assert [one.index for one in read.values()] == [one.index for one in told.values()]


def test_names_without_a_signature():
    content = without_signatures(keras_file())
    file = LiteRTFile(content)
    assert list(file.inputs) == ["extra", "images"]
    # Shortened they would be one name.
    assert sorted(file.outputs) == ["StatefulPartitionedCall_1:0", "StatefulPartitionedCall_1:1"]
    assert len(file.run({name: np.zeros(x.shape, x.dtype) for name, x in file.inputs.items()})) == 2


def test_a_file_of_several_graphs():
    """The names are those of the first graph's signature, which is not the first by its name."""
    import tensorflow as tf

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((1, 4), name="x")])
        def zoom(self, x):
            return {"larger": 2.0 * x}

        @tf.function(input_signature=[tf.TensorSpec((1, 3), name="x")])
        def add(self, x):
            return {"sum": x + 1.0}

    model = Model()
    functions = [model.zoom.get_concrete_function(), model.add.get_concrete_function()]
    content = tf.lite.TFLiteConverter.from_concrete_functions(functions, model).convert()
    file, graph = LiteRTFile(content), read_graph(content)
    assert len(graph.subgraphs) == 2
    first = next(one for one in graph.signatures if one.subgraph == 0)
    assert list(file.outputs) == list(outputs_of(graph)) == list(first.outputs)
    (given,) = file.inputs.values()
    (output,) = file.run(np.ones(given.shape, np.float32)).values()
    np.testing.assert_array_equal(output, np.full(given.shape, 2.0))


def info(name, index):
    return TensorInfo(name, (1,), np.dtype(np.int8), 0.5, 3, index)


def test_every_tensor_has_a_name():
    tensors = [info("", 4), info("", 5), info("serving_default_x:0", 6), info("y:0", 7)]
    assert list(by_name(tensors, {})) == [":4", ":5", "x", "y"]
    assert list(by_name([info("x:0", 1), info("x:0", 2)], {})) == ["x:0:1", "x:0:2"]
    # One tensor of two names is two outputs.
    named = by_name([info("a", 1), info("b", 2)], {"first": 2, "second": 2})
    assert {name: tensor.index for name, tensor in named.items()} == {
        "a": 1,
        "first": 2,
        "second": 2,
    }


def test_codes():
    tensor = info("x", 0)
    np.testing.assert_array_equal(tensor.quantize(np.array([0.0, 1.2, 1e9])), [3, 5, 127])
    np.testing.assert_array_equal(tensor.dequantize(np.array([3, 5], np.int8)), [0.0, 1.0])
    assert str(tensor) == "int8 1"


def test_plain_integers_are_classes():
    def info(dtype, scale):
        return TensorInfo("x", (1,), np.dtype(dtype), scale, 0)

    assert info(np.int32, 0.0).is_classes and info(np.int64, 0.0).is_classes
    assert not any(info(*x).is_classes for x in ((np.int32, 0.5), (np.int8, 0.0), (float, 0.0)))
