"""`.tflite` files: read and audited, lifted, and run in a process of their own."""

import functools
import json
import math

import numpy as np

from care_keras.tflite_file import audit_integer_only, oldest_runtime, read_graph
from care_keras.tflite_file.code_tables import code_tables
from care_keras.tflite_file.metadata import with_metadata
from care_keras.tflite_file.records import NO_NUMBERS
from care_keras.tflite_file.reduced_precision import allows_float16, computes_in_floats
from tests.fuzz.formats import Format
from tests.fuzz.mutate import flatbuffer
from tflite.audit.cost import operator_cost
from tflite.audit.memory import plan_memory
from tflite.audit.report import Audit, to_dict
from tflite.audit.sizes.allocated import Sizes
from tflite.audit.text import format_audit
from tflite.audit.warnings import warnings
from tflite.audit.xnnpack import Delegation
from tflite.audit.xnnpack_rules import likely_reason
from tflite.child.litert_file import LiteRTFileApart

# A file may ask for any amount with a sparse constant; who asks for its numbers knows.
_MOST_NUMBERS = 10**6
# For the child to run a file; what takes longer is stopped, and said.
_RUN_SECONDS = 5


@functools.cache
def _small():
    """Small files of every precision that is written, and of other kinds."""
    from tests.care_keras.tflite_file.files import function_file
    from tests.care_keras.tflite_file.test_sparsity import matrix, sparse_file, stored
    from tests.tflite.tiny_models import tiny_model

    kinds = ("conv", "mixed", "two", "open", "batch", "custom")
    files = {kind: tiny_model(kind) for kind in kinds}
    files |= {kind: function_file(kind) for kind in ("while", "flex")}
    dense = matrix((8, 8), share=0.1)
    sparse = stored(dense, (0, 1, 2, 3), {1}, ((0, 4), (1, 2)), np.int32)
    return files | _precisions() | {"sparse": sparse_file(dense, *sparse)}


def _precisions():
    """One small network as `convert` writes it."""
    import keras

    from care_keras.convert.conversion import convert_model
    from care_keras.data.record import Preprocessing
    from care_keras.tflite_file.task_metadata import with_associated_files

    layers = keras.layers
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(4, 3, padding="same", activation="relu6"),
            layers.DepthwiseConv2D(3, activation="gelu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(4, activation="softmax"),
        ]
    )
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    files = {}
    for precision in ("float32", "float16", "dynamic", "int8"):
        for kind in ("float", "rgb_uint8"):
            made = convert_model(
                model, Preprocessing(8, 8), precision, kind, calibration=list(images)
            )
            files[f"{precision} of {kind}"] = made.content
    labelled = with_metadata(files["int8 of float"], {"TFLITE_METADATA": b"M001" * 20})
    return files | {"labels": with_associated_files(labelled, {"labels.txt": "a\nb\n"})}


def _all():
    from tests.care_keras.tflite_file.files import model_file

    return _small() | {name: model_file(name) for name in ("mobilenet_int8",)}


def _read(path):
    """All that the tools read of a file without running it."""
    graph = read_graph(path)
    for subgraph in graph.subgraphs:
        code_tables(subgraph)
        for tensor in subgraph.tensors:
            if tensor.is_constant and tensor.dtype not in NO_NUMBERS and _is_small(tensor):
                _ = tensor.data
    audit_integer_only(graph), computes_in_floats(graph), allows_float16(graph)
    refused = {one.index: likely_reason(graph.main, one) for one in graph.operators}
    audit = Audit(
        path=graph.source,
        graph=graph,
        sizes=Sizes(graph),
        costs=tuple(operator_cost(graph.main, one, frozenset()) for one in graph.operators),
        memory=plan_memory(graph.main),
        delegation=Delegation(frozenset(), 0, refused),
        runtime=oldest_runtime(graph),
        warnings=tuple(warnings(graph)),
        integer_findings=tuple(audit_integer_only(graph)),
    )
    format_audit(audit, integer_only=True, operators=True, tensors=True)
    json.dumps(to_dict(audit))
    with_metadata(path.read_bytes(), {"x": b"y"})


def _is_small(tensor):
    return math.prod(tensor.shape) <= _MOST_NUMBERS


def _lift(path):
    from care_keras.deploy import lift

    lift(path)


def _run(path):
    graph = read_graph(path)
    if sum(math.prod(tensor.shape) for tensor in graph.inputs) > _MOST_NUMBERS:
        return
    file = LiteRTFileApart(graph, limit_seconds=_RUN_SECONDS)
    try:
        file.run({name: np.ones(one.shape, one.dtype) for name, one in file.inputs.items()})
    finally:
        file.close()


FORMATS = {
    "tflite": Format(".tflite", _all, flatbuffer.mutate, _read),
    "tflite lifted": Format(".tflite", _small, flatbuffer.mutate, _lift),
    "tflite run": Format(".tflite", _small, flatbuffer.mutate, _run),
}
