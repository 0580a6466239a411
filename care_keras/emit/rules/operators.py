"""Operators and constants that rules write."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from care_keras.emit.axes import MOST_AXES, fewer_to_transpose
from care_keras.emit.integer_bias import integer_bias
from care_keras.tflite_file.writer import Quantization, TensorHandle

# Versions of the operators for float32, int8 and, where the quantized form has it, int16 tensors:
# LiteRT's tflite/converter/tools/versioning/op_version.cc.
VERSIONS = {
    "ADD": (1, 2, 3),
    "ARG_MAX": (1, 2),
    "AVERAGE_POOL_2D": (1, 2),
    "BATCH_MATMUL": (1, 2, 3),
    "CONCATENATION": (1, 2, 3),
    "CONV_2D": (1, 3, 4),
    "DIV": (1,),
    "ELU": (1, 1),
    "EXP": (1, 2),
    "FULLY_CONNECTED": (5, 5),
    "GELU": (1, 2),
    "HARD_SWISH": (1, 1),
    "LEAKY_RELU": (1, 1),
    "LOG": (1, 2),
    "LOGISTIC": (1, 2),
    "MAXIMUM": (1, 2),
    "MAX_POOL_2D": (1, 2),
    "MEAN": (1, 2, 3),
    "MINIMUM": (1, 2),
    "PAD": (1, 2, 3),
    "PRELU": (1,),
    "REDUCE_MAX": (1, 2),
    "RELU": (1, 2),
    "RELU6": (1, 2),
    "RELU_N1_TO_1": (1, 1),
    "RESHAPE": (1, 1, 1),
    "RESIZE_BILINEAR": (3, 3),
    "RESIZE_NEAREST_NEIGHBOR": (3, 3),
    "RSQRT": (1, 2),
    "SLICE": (1, 2, 4),
    "SOFTMAX": (1, 2),
    "SPACE_TO_DEPTH": (1, 2),
    "STRIDED_SLICE": (1, 2, 1),
    "SUB": (1, 2, 5),
    "TANH": (1, 2),
    "TRANSPOSE": (1, 2, 5),
    "TRANSPOSE_CONV": (3, 3),
}
# The least version of those that take more than four axes, and of those that repeat an input then.
_OF_MANY_AXES = {"PAD": 4, "SLICE": 5, "STRIDED_SLICE": 4, "TRANSPOSE": 4}
_REPEATING_MANY_AXES = {"DIV": 2, "MAXIMUM": 3, "MINIMUM": 3, "SUB": 3}
_PRECISIONS = (np.float32, np.int8, np.int16)
NO_ACTIVATION = schema.ActivationFunctionType.NONE
ACTIVATIONS = {
    "linear": NO_ACTIVATION,
    "relu": schema.ActivationFunctionType.RELU,
    "relu6": schema.ActivationFunctionType.RELU6,
    "relu_n1_to_1": schema.ActivationFunctionType.RELU_N1_TO_1,
}
PADDINGS = {"valid": schema.Padding.VALID, "same": schema.Padding.SAME}


def activation(layer) -> int:
    """The fused activation of a primitive that may have one."""
    return ACTIVATIONS[layer.activation]


def options(kind: str, **fields) -> object:
    """The options of an operator: `options("Softmax", beta=1.0)`."""
    found = getattr(schema, f"{kind}OptionsT")()
    for name, value in fields.items():
        setattr(found, name, value)
    return found


def operator(emit, name, inputs, output, operator_options=None, version=None) -> TensorHandle:
    """Writes an operator; its version follows from its tensors unless it is given."""
    if version is None:
        version = _version(name, inputs, output)
    return emit.writer.operator(name, version, inputs, output, operator_options)


def _version(name, inputs, output):
    # Of int32 places, which are given by numbers and moved by what took int32 from the start.
    kind = inputs[0].dtype if output.dtype == np.int32 else output.dtype
    version = 1 if kind == np.int32 else VERSIONS[name][_PRECISIONS.index(kind)]
    shapes = [handle.shape for handle in inputs]
    if len(output.shape) <= 4:
        return version
    repeats = len(set(shapes)) > 1
    least = _REPEATING_MANY_AXES.get(name, 1) if repeats else 1
    return max(version, _OF_MANY_AXES.get(name, 1), least)


def function(emit, layer, name, x, output, operator_options=None) -> TensorHandle:
    """Writes a function of one number, of codes for XNNPACK as a table that is spelled out."""
    if emit.target != "xnnpack" or output.dtype != np.int8:
        return operator(emit, name, [x], output, operator_options)

    def in_float(number):
        value = emit.float_tensor(f"{layer.name}/float32", x.shape)
        return operator(emit, name, [number], value, operator_options)

    return emit.spelled_out(layer.name, x, output, in_float)


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


def int8_constant(emit, layer, values, least_step=0.0) -> TensorHandle:
    """An int8 constant of any numbers, with one step, of at least `least_step`."""
    values = np.asarray(values, np.float64)
    largest = float(np.max(np.abs(values))) or 1.0
    step = np.float32(max(largest / 127.0, least_step))
    codes = np.clip(np.rint(values / step), -127, 127)
    return integer_constant(emit, layer, codes, step)


def reshape(emit, name, x, output) -> TensorHandle:
    """RESHAPE to the shape of `output`; of many axes from what they were made of."""
    x = emit.reshaped.get(x.index, x) if len(x.shape) > MOST_AXES else x
    emit.reshaped[output.index] = x
    shape = int32(emit, output.shape, f"{name}/shape")
    new_shape = options("Reshape", newShape=np.asarray(output.shape, np.int32))
    return operator(emit, "RESHAPE", [x, shape], output, new_shape)


def transpose(emit, name, x, order, output) -> TensorHandle:
    """TRANSPOSE to the axes of `order`, between two RESHAPE where that spares many axes."""
    if len(x.shape) > MOST_AXES:
        shape, fewer = fewer_to_transpose(x.shape, order)
        if len(shape) < len(x.shape):
            merged = emit.like(f"{name}/merged", x, shape)
            merged = reshape(emit, f"{name}/merged", x, merged)
            if len(shape) > 1:
                moved = emit.like(f"{name}/moved", x, tuple(shape[axis] for axis in fewer))
                merged = transpose(emit, f"{name}/moved", merged, fewer, moved)
            return reshape(emit, name, merged, output)
    permutation = int32(emit, order, f"{name}/permutation")
    return operator(emit, "TRANSPOSE", [x, permutation], output, options("Transpose"))


def multiply(emit, inputs, output, fused=NO_ACTIVATION) -> TensorHandle:
    """MUL of two tensors."""
    version = 1
    if output.dtype == np.int8:
        steps = [handle.quantization.scale for handle in inputs]
        version = 3 if steps[0] * steps[1] >= output.quantization.scale else 2
    mul = options("Mul", fusedActivationFunction=fused)
    return emit.writer.operator("MUL", version, inputs, output, mul)


def depthwise(
    emit,
    inputs,
    output,
    padding="same",
    strides=(1, 1),
    dilation_rate=(1, 1),
    multiplier=1,
    fused=NO_ACTIVATION,
) -> TensorHandle:
    """DEPTHWISE_CONV_2D of an input, a kernel and a bias."""
    depthwise_options = options(
        "DepthwiseConv2D",
        padding=PADDINGS[padding],
        strideH=strides[0],
        strideW=strides[1],
        depthMultiplier=multiplier,
        dilationHFactor=dilation_rate[0],
        dilationWFactor=dilation_rate[1],
        fusedActivationFunction=fused,
    )
    dilated = tuple(dilation_rate) != (1, 1)
    version = {np.int8: 3, np.int16: 5}.get(output.dtype.type, 2 if dilated else 1)
    return emit.writer.operator("DEPTHWISE_CONV_2D", version, inputs, output, depthwise_options)


def saturating_sixth(emit, name, x, output) -> TensorHandle:
    """`x / 6 + 1 / 2` as int8 codes from 0 to 1, which end where `relu6(x + 3) / 6` does.

    A depthwise convolution of one tap, of a map of any shape.
    """
    channels = x.shape[-1]
    shape = (x.shape[0], 1, int(np.prod(x.shape[1:-1], dtype=int)), channels)
    target = output
    if len(x.shape) != 4:
        x = reshape(emit, f"{name}/map", x, emit.like(f"{name}/map", x, shape))
        target = emit.like(f"{name}/product", output, shape)
    steps = np.full(channels, 1.0 / (6.0 * 127.0), np.float32)
    codes = np.full((1, 1, 1, channels), 127, np.int8)
    kernel = emit.writer.constant(f"{name}/kernel", codes, Quantization(steps, axis=3))
    bias = integer_bias(emit.writer, name, np.full(channels, 0.5), x, steps, output)
    result = depthwise(emit, [x, kernel, bias], target, padding="valid")
    return result if target is output else reshape(emit, name, result, output)
