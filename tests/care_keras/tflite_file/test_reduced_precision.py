"""Metadata that allow half precision: added, taken away, and nothing else changed."""

import numpy as np
import pytest

from care_keras.litert.model import LiteRTModel
from care_keras.tflite_file import read_graph
from care_keras.tflite_file.reduced_precision import (
    FLOAT16,
    KEY,
    allow_float16,
    allows_float16,
    computes_in_floats,
    forbid_float16,
)
from tests.care_keras.tflite_file.files import model_file
from tests.tflite.foreign_models import foreign_tflite
from tests.tflite.tiny_models import tiny_model


def shape_of(graph):
    """All of a file but its bytes' places."""
    tensors = [
        (one.name, one.dtype, one.shape, one.content is None or one.content.tobytes())
        for one in graph.tensors
    ]
    operators = [(one.name, one.version, one.inputs, one.outputs) for one in graph.operators]
    return tensors, operators, graph.signatures, graph.description


@pytest.mark.parametrize("make", [lambda: tiny_model("conv"), lambda: foreign_tflite("float32")])
def test_a_file_that_allows_it_is_the_same_file(make):
    content = make()
    given = read_graph(content)
    allowing = allow_float16(content)
    graph = read_graph(allowing)
    assert graph.metadata == {**given.metadata, KEY: FLOAT16}
    assert allows_float16(graph) and not allows_float16(given)
    assert shape_of(graph) == shape_of(given)
    assert allow_float16(allowing) == allowing
    again = read_graph(forbid_float16(allowing))
    assert again.metadata == given.metadata and shape_of(again) == shape_of(given)
    assert forbid_float16(content) == content


def test_it_computes_the_same_where_the_cpu_has_no_half_precision(tmp_path):
    content = tiny_model("conv")
    values = []
    for name, data in (("plain", content), ("allowing", allow_float16(content))):
        path = tmp_path / f"{name}.tflite"
        path.write_bytes(data)
        model = LiteRTModel(path)
        image = np.random.default_rng(0).normal(size=(1, 16, 16, 3)).astype(np.float32)
        values.append(model.run(image))
    # An x86 CPU with half-precision arithmetic is no reason to fail.
    assert np.allclose(*values, atol=0.05 * np.abs(values[0]).max())


def test_weights_lie_where_runtimes_can_map_them():
    content = allow_float16(foreign_tflite("float32"))
    start = np.frombuffer(content, np.uint8).ctypes.data
    weights = [one for one in read_graph(content).tensors if one.is_constant]
    places = [one.content.ctypes.data - start for one in weights if one.size_bytes >= 16]
    assert places and not any(place % 16 for place in places)


def test_damage_is_refused():
    content = tiny_model("conv")
    with pytest.raises(ValueError, match="Received"):
        allow_float16(content[: len(content) // 2])


def test_which_files_compute_in_floats():
    # That of integers takes and gives floats all the same.
    assert computes_in_floats(read_graph(foreign_tflite("float32")))
    assert not computes_in_floats(read_graph(model_file("mobilenet_int8")))
