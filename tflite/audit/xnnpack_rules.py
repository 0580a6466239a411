"""Why XNNPACK does not take an operator, as far as the file tells.

The runtime says that it refused, not why. These are the conditions of LiteRT's
`tflite/delegates/xnnpack/xnnpack_delegate.cc` (github.com/google-ai-edge/LiteRT,
commit f67457790c9c2ab67347d6fe53270e8d3df20868) that operators of vision models
meet; other versions may have others, so a reason is called likely.
"""

from care_keras.tflite_file.records import Operator, Subgraph, Tensor

_FLOAT = ("float32", "float16")
_CODES = ("int8", "uint8")
_MAX_RANK = 6


def _names(text):
    return frozenset(text.split())


# What XNNPACK has in float and in 8 bits, and in float only.
_FLOAT_AND_CODES = _names(
    """ADD BATCH_MATMUL CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE ELU
    FULLY_CONNECTED LEAKY_RELU LOGISTIC MAX_POOL_2D MEAN MUL PAD QUANTIZE REDUCE_MAX REDUCE_MIN
    RESHAPE RESIZE_BILINEAR SLICE SPACE_TO_DEPTH SPLIT STRIDED_SLICE SUB SUM TANH TRANSPOSE
    TRANSPOSE_CONV"""
)
_FLOAT_ONLY = _names(
    """ABS AVERAGE_POOL_2D CEIL COS DIV EXP FLOOR GELU HARD_SWISH LOG MAXIMUM MINIMUM NEG PRELU
    RELU RELU6 RELU_N1_TO_1 ROUND RSQRT SIN SOFTMAX SQRT SQUARE SQUARED_DIFFERENCE"""
)
_WITHOUT_TENSORS = ("ASSIGN_VARIABLE", "READ_VARIABLE", "VAR_HANDLE")

# Inputs that are parameters: they must be constants, and have types of their own.
_PARAMETERS = {
    "CONV_2D": (1, 2),
    "DEPTHWISE_CONV_2D": (1, 2),
    "FULLY_CONNECTED": (1, 2),
    "MEAN": (1,),
    "PAD": (1,),
    "REDUCE_MAX": (1,),
    "REDUCE_MIN": (1,),
    "RESHAPE": (1,),
    "RESIZE_BILINEAR": (1,),
    "SLICE": (1, 2),
    "SPLIT": (0,),
    "STRIDED_SLICE": (1, 2, 3),
    "SUM": (1,),
    "TRANSPOSE": (1,),
    "TRANSPOSE_CONV": (0, 1, 3),
}
# Range of the quotient of two scales, in which the fixed-point multiplier fits.
_SUM_SCALES = (1 / 1024, 256.0)
_PRODUCT_SCALES = (1 / 65536, 256.0)
_QUANTIZE_SCALES = (1 / 256, 128.0)


def likely_reason(subgraph: Subgraph, operator: Operator) -> str | None:
    """Why XNNPACK would refuse an operator, or `None` if nothing speaks against it."""
    name = operator.name
    if name in _WITHOUT_TENSORS:
        return None
    if name not in _FLOAT_AND_CODES and name not in _FLOAT_ONLY:
        return f"XNNPACK has no {operator.label}"
    parameters = _PARAMETERS.get(name, ())
    positions = [(i, index) for i, index in enumerate(operator.inputs) if index >= 0]
    data = [subgraph.tensors[index] for i, index in positions if i not in parameters]
    outputs = subgraph.output_tensors(operator)
    for tensor in data + outputs:
        reason = _refused_type(name, tensor)
        if reason:
            return reason
    for i, index in positions:
        if i in parameters and not _is_static(subgraph, index):
            return f"input {i}, a parameter, is not a constant"
    check = _CHECKS.get(name)
    if check is None or not data or not outputs:
        return None
    return check(subgraph, operator, data, outputs)


def _refused_type(name, tensor: Tensor):
    if len(tensor.shape) > _MAX_RANK:
        return f"a tensor of more than {_MAX_RANK} dimensions"
    if tensor.dtype in _FLOAT:
        return None
    if tensor.dtype not in _CODES:
        return f"XNNPACK takes no {tensor.dtype}"
    if name in _FLOAT_ONLY:
        return f"XNNPACK has {name} in float only, not in {tensor.dtype}"
    if name != "BATCH_MATMUL" and (len(tensor.scales) != 1 or tensor.quantized_dimension != 0):
        return "an activation without exactly one scale on dimension 0"
    return None


def _is_static(subgraph, index):
    """Whether it is a constant, or one that DEQUANTIZE or DENSIFY unpacks."""
    pending, seen = [index], set()
    while pending:
        index = pending.pop()
        if subgraph.tensors[index].is_constant:
            continue
        producer = subgraph.producers.get(index)
        # Of a damaged file operators may feed one another in a ring.
        if producer is None or producer.name not in ("DEQUANTIZE", "DENSIFY") or index in seen:
            return False
        seen.add(index)
        pending += producer.inputs
    return True


def _mixed_types(tensors):
    types = sorted({tensor.dtype for tensor in tensors})
    return f"mixed types {' and '.join(types)}" if len(types) > 1 else None


def _quotient(numerator, denominator, limits):
    """Why a quotient of scales does not fit."""
    low, high = limits
    if denominator > 0 and low <= numerator / denominator < high:
        return None
    return f"quotient of input and output scale not within {low:.2g} to {high:g}"


def _sum(subgraph, operator, data, outputs):
    mixed = _mixed_types(data + outputs)
    if mixed or data[0].dtype not in _CODES:
        return mixed
    quotients = (_quotient(t.scales[0], outputs[0].scales[0], _SUM_SCALES) for t in data)
    return next(filter(None, quotients), None)


def _product(subgraph, operator, data, outputs):
    mixed = _mixed_types(data + outputs)
    if mixed or data[0].dtype not in _CODES:
        return mixed
    product = data[0].scales[0] * data[-1].scales[0]
    return _quotient(product, outputs[0].scales[0], _PRODUCT_SCALES)


def _quantize(subgraph, operator, data, outputs):
    if data[0].dtype in _FLOAT:
        return None
    return _mixed_types(data + outputs) or _quotient(
        data[0].scales[0], outputs[0].scales[0], _QUANTIZE_SCALES
    )


def _convolution(subgraph, operator, data, outputs):
    if len(operator.inputs) < 3 or operator.inputs[2] < 0:
        return f"XNNPACK has no {operator.name} without bias"
    weights = subgraph.tensors[operator.inputs[1]]
    channels = 3 if operator.name == "DEPTHWISE_CONV_2D" else 0
    if len(weights.scales) > 1 and weights.quantized_dimension != channels:
        return f"weights with one scale per item of dimension {weights.quantized_dimension}"
    if data[0].dtype in _FLOAT and weights.dtype == "int8":
        if operator.name == "DEPTHWISE_CONV_2D":
            return "XNNPACK has no DEPTHWISE_CONV_2D of float activations and int8 weights"
        return None
    return _mixed_types([*data, *outputs])


def _fully_connected(subgraph, operator, data, outputs):
    weights = subgraph.tensors[operator.inputs[1]]
    if operator.version == 8:
        return "XNNPACK has no FULLY_CONNECTED with sparse weights"
    if data[0].dtype == "int8" and weights.dtype == "int8" and any(weights.zero_points):
        return "weights with a zero point other than 0"
    return _mixed_types([*data, *outputs])


def _batch_matmul(subgraph, operator, data, outputs):
    right = data[-1]
    if data[0].dtype in _FLOAT and right.dtype == "int8":
        return None
    if right.dtype == "int8" and any(right.zero_points):
        return "BATCH_MATMUL whose right side has a zero point other than 0"
    return _mixed_types([*data, *outputs])


def _concatenation(subgraph, operator, data, outputs):
    if not 2 <= len(operator.inputs) <= 5:
        return f"XNNPACK has CONCATENATION of 2 to 5 inputs, not of {len(operator.inputs)}"
    same = {(t.scales, t.zero_points) for t in data + outputs}
    if outputs[0].dtype == "uint8" and len(same) > 1:
        return "uint8 CONCATENATION of different ranges"
    return None


def _split(subgraph, operator, data, outputs):
    if not 2 <= len(outputs) <= 4:
        return f"XNNPACK has SPLIT into 2 to 4 outputs, not into {len(outputs)}"
    return None


def _reshape(subgraph, operator, data, outputs):
    before, after = data[0], outputs[0]
    if (before.scales, before.zero_points) != (after.scales, after.zero_points):
        return "RESHAPE between different ranges"
    return None


def _softmax(subgraph, operator, data, outputs):
    beta = operator.options.get("beta", 1.0)
    return None if beta == 1.0 else f"XNNPACK has SOFTMAX with beta 1 only, not {beta:g}"


def _strided_slice(subgraph, operator, data, outputs):
    masks = ("ellipsis_mask", "new_axis_mask", "shrink_axis_mask")
    if any(operator.options.get(mask) for mask in masks):
        return "STRIDED_SLICE that adds or drops a dimension"
    strides = subgraph.tensors[operator.inputs[-1]]
    if strides.is_constant and any(strides.data.reshape(-1) != 1):
        return "STRIDED_SLICE with a stride other than 1"
    return None


def _slice(subgraph, operator, data, outputs):
    sizes = subgraph.tensors[operator.inputs[-1]]
    if sizes.is_constant and any(sizes.data.reshape(-1) <= 0):
        return "SLICE whose size is left open (-1)"
    return None


_CHECKS = {
    "ADD": _sum,
    "BATCH_MATMUL": _batch_matmul,
    "CONCATENATION": _concatenation,
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _convolution,
    "FULLY_CONNECTED": _fully_connected,
    "MUL": _product,
    "QUANTIZE": _quantize,
    "RESHAPE": _reshape,
    "SLICE": _slice,
    "SOFTMAX": _softmax,
    "SPLIT": _split,
    "STRIDED_SLICE": _strided_slice,
    "SUB": _sum,
}
