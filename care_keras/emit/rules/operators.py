"""Operators and constants that rules write."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from care_keras.tflite_file.writer import Quantization, TensorHandle

# Versions of the operators for float32, int8 and, where the quantized form has it, int16 tensors:
# TensorFlow's tensorflow/lite/tools/versioning/op_version.cc.
VERSIONS = {
    "ADD": (1, 2, 3),
    "BATCH_MATMUL": (1, 2, 3),
    "CONCATENATION": (1, 2, 3),
    "CONV_2D": (1, 3, 4),
    "ELU": (1, 1),
    "FULLY_CONNECTED": (5, 5),
    "GELU": (1, 2),
    "MEAN": (1, 2, 3),
    "RESHAPE": (1, 1, 1),
    "RSQRT": (1, 2),
    "SLICE": (1, 2, 4),
    "SOFTMAX": (1, 2),
    "SPACE_TO_DEPTH": (1, 2),
    "SUB": (1, 2, 5),
    "TRANSPOSE": (1, 2, 5),
}
_PRECISIONS = (np.float32, np.int8, np.int16)
NO_ACTIVATION = schema.ActivationFunctionType.NONE


def options(kind: str, **fields) -> object:
    """The options of an operator: `options("Softmax", beta=1.0)`."""
    found = getattr(schema, f"{kind}OptionsT")()
    for name, value in fields.items():
        setattr(found, name, value)
    return found


def operator(emit, name, inputs, output, operator_options=None, version=None) -> TensorHandle:
    """Writes an operator; its version follows from the type of its output unless it is given."""
    if version is None:
        version = VERSIONS[name][_PRECISIONS.index(output.dtype)]
    return emit.writer.operator(name, version, inputs, output, operator_options)


def int32(emit, values, name) -> TensorHandle:
    """A constant that is no number of the network: a shape, axes, a permutation."""
    return emit.writer.constant(name, np.asarray(values, np.int32))


def integer_constant(emit, layer, codes, scale) -> TensorHandle:
    """An int8 constant of small integers times one step."""
    quantization = Quantization(np.asarray([scale], np.float32))
    return emit.writer.constant(f"{layer.name}/constant", codes.astype(np.int8), quantization)


def float_constant(emit, layer, values, suffix="constant") -> TensorHandle:
    """A float constant, stored as the file stores weights."""
    return emit.weight(f"{layer.name}/{suffix}", np.asarray(values, np.float32))


def reshape(emit, name, x, output) -> TensorHandle:
    """RESHAPE to the shape of `output`."""
    shape = int32(emit, output.shape, f"{name}/shape")
    new_shape = options("Reshape", newShape=np.asarray(output.shape, np.int32))
    return operator(emit, "RESHAPE", [x, shape], output, new_shape)


def transpose(emit, name, x, order, output) -> TensorHandle:
    """TRANSPOSE to the axes of `order`."""
    permutation = int32(emit, order, f"{name}/permutation")
    return operator(emit, "TRANSPOSE", [x, permutation], output, options("Transpose"))


def multiply(emit, inputs, output) -> TensorHandle:
    """MUL of two tensors."""
    version = 1
    if output.dtype == np.int8:
        steps = [handle.quantization.scale for handle in inputs]
        version = 3 if steps[0] * steps[1] >= output.quantization.scale else 2
    fused = options("Mul", fusedActivationFunction=NO_ACTIVATION)
    return emit.writer.operator("MUL", version, inputs, output, fused)
