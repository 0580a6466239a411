"""Our int8 file as it once was written: right in LiteRT on a CPU, garbage in other runtimes."""

import functools
import json
import pathlib

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from care_keras.emit.network import emit_tflite
from care_keras.models import load_preset
from tests.care_keras.tflite_file.files import edited


def write_good_and_cast(folder: pathlib.Path) -> None:
    """Writes the bundled int8 model, and the same with roots that are tables of cast codes.

    Args:
        folder: Where: `good.tflite`, `cast.tflite` and their JSON.
    """
    for name, written in _contents().items():
        (folder / f"{name}.tflite").write_bytes(written)
        write_record(folder / f"{name}.json")


def write_record(path: pathlib.Path) -> None:
    """Writes what tools read of the bundled int8 model beside its file."""
    record = {"preprocessing": model().preprocessing.to_dict(), "input": {"kind": "rgb_uint8"}}
    path.write_text(json.dumps(record))


@functools.cache
def model():
    """The bundled model of quantization-aware training; not to be changed."""
    return load_preset("care_nano_cifar10_qat")


@functools.cache
def _contents():
    content = emit_tflite(model(), (32, 32), input_kind="rgb_uint8")
    return {"good": content, "cast": edited(content, cast_the_roots)}


def cast_the_roots(model):
    """RSQRT as CAST to int32, ADD of 128 and GATHER, as LiteRT's CPU runs them."""
    graph = model.subgraphs[0]

    def code(name, version):
        one = schema.OperatorCodeT()
        one.builtinCode = one.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
        one.version = version
        model.operatorCodes.append(one)
        return len(model.operatorCodes) - 1

    def tensor(kind, shape, quantization=None, data=None):
        one = schema.TensorT()
        one.type, one.shape, one.quantization = kind, np.asarray(shape, np.int32), quantization
        one.name = f"made {len(graph.tensors)}"
        buffer = schema.BufferT()
        if data is not None:
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
        model.buffers.append(buffer)
        one.buffer = len(model.buffers) - 1
        graph.tensors.append(one)
        return len(graph.tensors) - 1

    def operator(kind, inputs, output, options, union):
        one = schema.OperatorT()
        one.opcodeIndex, one.inputs, one.outputs = kind, inputs, [output]
        one.builtinOptions, one.builtinOptionsType = options, union
        return one

    cast, add, gather = code("CAST", 3), code("ADD", 1), code("GATHER", 2)
    int32, int8 = schema.TensorType.INT32, schema.TensorType.INT8
    offset = tensor(int32, [1], data=np.asarray([128], np.int32))
    operators = []
    for one in graph.operators:
        if model.operatorCodes[one.opcodeIndex].builtinCode != schema.BuiltinOperator.RSQRT:
            operators.append(one)
            continue
        (x,), (y,) = one.inputs, one.outputs
        shape, source = graph.tensors[x].shape, graph.tensors[x].quantization
        target = graph.tensors[y].quantization
        with np.errstate(divide="ignore"):
            roots = 1.0 / np.sqrt(np.arange(256) * source.scale[0]) / target.scale[0]
        codes = np.clip(np.rint(roots) + target.zeroPoint[0], -128, 127).astype(np.int8)
        table = tensor(int8, [256], target, codes)
        numbers, places = tensor(int32, shape), tensor(int32, shape)
        options = schema.CastOptionsT()
        options.inDataType, options.outDataType = int8, int32
        kinds = schema.BuiltinOptions
        operators += [
            operator(cast, [x], numbers, options, kinds.CastOptions),
            operator(add, [numbers, offset], places, schema.AddOptionsT(), kinds.AddOptions),
            operator(gather, [table, places], y, schema.GatherOptionsT(), kinds.GatherOptions),
        ]
    graph.operators = operators
