"""What each operator of a .tflite graph costs: multiply-accumulates and bytes moved."""

import dataclasses
import math
from collections.abc import Collection

from care_keras.tflite_file.records import Operator, Subgraph, Tensor

# Operators whose work depends on what the file does not say, or on other subgraphs.
_NOT_COUNTED = (
    "CUSTOM",
    "CALL",
    "CALL_ONCE",
    "IF",
    "WHILE",
    "LSTM",
    "RNN",
    "SVDF",
    "BIDIRECTIONAL_SEQUENCE_LSTM",
    "BIDIRECTIONAL_SEQUENCE_RNN",
    "UNIDIRECTIONAL_SEQUENCE_LSTM",
    "UNIDIRECTIONAL_SEQUENCE_RNN",
)


@dataclasses.dataclass(frozen=True)
class OperatorCost:
    """The cost of one operator, for the shapes of its tensors.

    Attributes:
        macs: Multiply-accumulates of convolutions, dense layers and matrix
            products; 0 for all other operators, and `None` where they are not
            known.
        read_bytes: Activations read, likewise.
        written_bytes: Activations written, likewise.
        weight_bytes: Constants read.
    """

    macs: int | None
    read_bytes: int | None
    written_bytes: int | None
    weight_bytes: int


def operator_cost(
    subgraph: Subgraph, operator: Operator, unknown: Collection[int] = ()
) -> OperatorCost:
    """Counts one operator.

    Biases, activations and element-wise operators count no multiply-accumulate,
    by the convention of `care_keras.models.complexity`.

    Args:
        subgraph: Its graph.
        operator: The operator.
        unknown: Indices of tensors whose size is not known.
    """
    inputs, outputs = subgraph.input_tensors(operator), subgraph.output_tensors(operator)
    macs = _macs(subgraph, operator)
    if macs and any(tensor.index in unknown for tensor in [*inputs, *outputs]):
        macs = None
    return OperatorCost(
        macs=macs,
        read_bytes=_bytes([tensor for tensor in inputs if not tensor.is_constant], unknown),
        written_bytes=_bytes(outputs, unknown),
        weight_bytes=sum(tensor.content.size for tensor in inputs if tensor.is_constant),
    )


def _bytes(tensors, unknown):
    if any(tensor.index in unknown for tensor in tensors):
        return None
    return sum(tensor.size_bytes for tensor in tensors)


def _macs(subgraph, operator):
    count = _COUNTERS.get(operator.label)
    if count is None and (
        operator.name in _NOT_COUNTED or operator.name.startswith(("STABLEHLO", "UNKNOWN"))
    ):
        return None
    if count is None:
        return 0
    inputs = [subgraph.tensors[i] if i >= 0 else None for i in operator.inputs]
    outputs = subgraph.output_tensors(operator)
    try:
        return count(operator, inputs, outputs[0])
    # Too few tensors, or of a rank that the operator cannot have: no runtime would run it.
    except (IndexError, AttributeError):
        return None


def _conv_2d(operator, inputs, output: Tensor):
    # The filter is (out, height, width, in / groups).
    _, height, width, channels = _sizes(inputs[1], 4)
    return output.elements * height * width * channels


def _depthwise_conv_2d(operator, inputs, output):
    _, height, width, _ = _sizes(inputs[1], 4)
    return output.elements * height * width


def _fully_connected(operator, inputs, output):
    _, depth = _sizes(inputs[1], 2)
    return output.elements * depth


def _batch_matmul(operator, inputs, output):
    *_, rows, columns = _sizes(inputs[0])
    return output.elements * (rows if operator.options.get("adj_x") else columns)


def _conv_3d(operator, inputs, output):
    # The filter is (depth, height, width, in, out).
    return output.elements * math.prod(_sizes(inputs[1], 5)[:4])


def _transpose_conv(operator, inputs, output):
    # Every input element is spread over the filter (out, height, width, in).
    return inputs[2].elements * math.prod(_sizes(inputs[1], 4)[:3])


def _mediapipe_transpose_conv(operator, inputs, output):
    # Likewise, the input before the filter.
    return inputs[0].elements * math.prod(_sizes(inputs[1], 4)[:3])


def _conv_3d_transpose(operator, inputs, output):
    # The filter is (depth, height, width, out, in).
    return inputs[2].elements * math.prod(_sizes(inputs[1], 5)[:4])


def _sizes(tensor, rank=None):
    if len(tensor.shape) < 2 or rank not in (None, len(tensor.shape)):
        raise IndexError
    return tensor.shape


_COUNTERS = {
    "CONV_2D": _conv_2d,
    "DEPTHWISE_CONV_2D": _depthwise_conv_2d,
    "FULLY_CONNECTED": _fully_connected,
    "BATCH_MATMUL": _batch_matmul,
    "CONV_3D": _conv_3d,
    "TRANSPOSE_CONV": _transpose_conv,
    "CONV_3D_TRANSPOSE": _conv_3d_transpose,
    "CUSTOM:Convolution2DTransposeBias": _mediapipe_transpose_conv,
}
