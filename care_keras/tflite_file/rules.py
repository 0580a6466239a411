"""Single checks of a .tflite graph, each with the reason why it matters.

A rule is a function from one subgraph of a file to findings. `RULES` has them
all by name; the audits choose among them.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator

from care_keras.tflite_file.code_tables import code_tables
from care_keras.tflite_file.finding import Finding, Severity
from care_keras.tflite_file.records import Graph, Operator, Subgraph, Tensor

# Taps of XNNPACK's largest depthwise convolution kernel.
MAX_DEPTHWISE_TAPS = 25
# Columns of the right side that XNNPACK packs at a time on ARM64.
_PACKED_COLUMNS = 16
# What is computed without floating point: codes, sums, places and truths, and variables of them.
_INTEGERS = frozenset(f"{sign}int{bits}" for sign in ("", "u") for bits in (4, 8, 16, 32, 64)) | {
    "bool",
    "resource",
}
_CODES = ("int8", "uint8", "int16")


@dataclasses.dataclass(frozen=True)
class Rule:
    """A check of one subgraph.

    Attributes:
        name: `"no-div"`.
        severity: Of what it finds, in an audit that asks for it.
        reason: Why it matters: the fact, and where it is from.
        check: Finds `(message, advice, operator, tensor)`.
    """

    name: str
    severity: Severity
    reason: str
    check: Callable[[Subgraph], Iterator[tuple[str, str, Operator | None, Tensor | None]]]

    def findings(self, graph: Graph, severity: Severity | None = None) -> list[Finding]:
        """All it finds in a file, in all its subgraphs.

        Args:
            graph: The file.
            severity: In place of the rule's own.
        """
        return [
            Finding(
                rule=self.name,
                severity=severity or self.severity,
                message=message,
                advice=advice,
                operator=operator and operator.index,
                operator_name=operator and operator.label,
                tensor=tensor and tensor.name,
                subgraph=subgraph.index,
            )
            for subgraph in graph.subgraphs
            for message, advice, operator, tensor in self.check(subgraph)
        ]


RULES: dict[str, Rule] = {}


def _rule(name: str, severity: Severity, reason: str):
    def register(check):
        RULES[name] = Rule(name, severity, reason, check)
        return check

    return register


@_rule(
    "integer-tensors",
    "error",
    "A tensor of another type is a float island: hardware that has integers only cannot run it, "
    "and on a CPU each border of it costs a conversion. A converter leaves one wherever it has no "
    "range for a tensor, without a word.",
)
def _integer_tensors(subgraph):
    for tensor in subgraph.tensors:
        if tensor.dtype in _INTEGERS:
            continue
        operator = subgraph.producers.get(tensor.index)
        if operator is not None:
            where = f"{operator.label} writes"
            advice = "give every tensor that it touches a range, or rewrite it with operators that"
            advice += " TFLite has in int8"
        elif tensor.index in subgraph.inputs:
            where, advice = "the input is", "let the file take int8, or uint8 pixels"
        elif tensor.index in subgraph.consumers:
            operator = subgraph.consumers[tensor.index][0]
            where, advice = f"{operator.label} reads", "quantize what uses it"
        else:
            where, advice = "nothing uses", "leave it out of the file"
        yield f"{where} {tensor.dtype} {tensor.name!r}", advice, operator, tensor


@_rule(
    "no-dequantize",
    "error",
    "DEQUANTIZE is where an integer graph turns to float.",
)
def _no_dequantize(subgraph):
    for operator in _named(subgraph, "DEQUANTIZE"):
        source = subgraph.input_tensors(operator)[:1]
        name = f" of {source[0].name!r}" if source else ""
        yield (
            f"DEQUANTIZE{name}",
            "give what it feeds a range, so that it stays in int8",
            operator,
            next(iter(source), None),
        )


@_rule(
    "no-float-quantize",
    "error",
    "QUANTIZE of a float tensor is the end of a float island; between integer types it computes "
    "in integers.",
)
def _no_float_quantize(subgraph):
    for operator, source, target in _quantize(subgraph):
        if source.dtype in _INTEGERS and target.dtype in _INTEGERS:
            continue
        yield (
            f"QUANTIZE from {source.dtype} to {target.dtype}",
            "give what feeds it a range, so that it is int8 already",
            operator,
            target,
        )


@_rule(
    "requantize",
    "info",
    "QUANTIZE from int8 to int8 exists where two ranges meet. Its kernels round a scale to 8 bits: "
    "the result was seen up to 28 of 256 codes away from ideal rounding (LiteRT 2.3.0), so a "
    "simulation must use the same formula, or the graph none of it.",
)
def _requantize(subgraph):
    found = [item for item in _quantize(subgraph) if item[1].dtype == item[2].dtype == "int8"]
    if found:
        operator, _, target = found[0]
        yield (
            f"QUANTIZE from int8 to int8, {_times(len(found))}",
            "let the tensors that meet share one range where that costs no accuracy",
            operator,
            target,
        )


@_rule(
    "no-div",
    "warning",
    "int8 DIV aborts at run time where a divisor's code equals its zero point (seen in LiteRT 2.0, "
    "2.1 and 2.3), and runtimes up to 2.14 have no int8 DIV at all.",
)
def _no_div(subgraph):
    for operator in _named(subgraph, "DIV"):
        yield (
            "DIV",
            "multiply by the inverse: a squared RSQRT, or EXP of a negative LOG",
            operator,
            next(iter(subgraph.output_tensors(operator)), None),
        )


@_rule(
    "builtin-operators",
    "error",
    "Flex operators need TensorFlow's own kernels beside the runtime, other custom ones a library "
    "of theirs, or a delegate that knows them: a runtime or a version of it may lack it.",
)
def _builtin_operators(subgraph):
    for operator in subgraph.operators:
        if operator.custom_code is None:
            continue
        flex = operator.custom_code.startswith("Flex")
        yield (
            f"{'Flex' if flex else 'custom'} operator {operator.custom_code}",
            "convert with builtin operators only, and rewrite what that refuses",
            operator,
            None,
        )


@_rule(
    "no-float-elu",
    "error",
    "TensorFlow's converter never quantizes ELU, NEG and SQUARE: it leaves DEQUANTIZE, the "
    "operator, QUANTIZE, even when asked for int8 only. The int8 kernel of ELU exists and gives "
    "the same codes; a file whose ELU was rewritten to it differs in no output.",
)
def _no_float_elu(subgraph):
    for operator in _named(subgraph, "ELU"):
        tensors = subgraph.input_tensors(operator) + subgraph.output_tensors(operator)
        for tensor in tensors:
            if tensor.dtype != "int8":
                yield (
                    f"ELU in {tensor.dtype}",
                    "let it read and write int8: the kernel exists",
                    operator,
                    tensor,
                )
                break


@_rule(
    "depthwise-taps",
    "warning",
    "XNNPACK's depthwise kernels go up to 25 taps; wider ones fall back to a slow general path, in "
    "float32 and int8, on ARM as on x86. A 7x7 on 28x28x32 took 2.8 to 3.1 ms in int8 and 0.6 to "
    "1.0 ms in float32, a 5x5 0.044 ms (LiteRT 2.3.0, one AVX2 thread).",
)
def _depthwise_taps(subgraph):
    for operator in _named(subgraph, "DEPTHWISE_CONV_2D"):
        inputs = subgraph.input_tensors(operator)
        if len(inputs) < 2 or len(inputs[1].shape) != 4:
            continue
        _, height, width, _ = inputs[1].shape
        if height * width > MAX_DEPTHWISE_TAPS:
            yield (
                f"DEPTHWISE_CONV_2D of {height}x{width} = {height * width} taps",
                f"write it as a sum of kernels of at most {MAX_DEPTHWISE_TAPS} taps, which is "
                "exact: a 7x7 is three dilated 3x7",
                operator,
                inputs[1],
            )


@_rule(
    "batch-matmul-zero-point",
    "warning",
    "XNNPACK takes an int8 BATCH_MATMUL only if the zero point of its right side is 0; any other "
    "runs outside of it and splits the graph.",
)
def _batch_matmul_zero_point(subgraph):
    for operator, _, right in _products(subgraph):
        if right.dtype == "int8" and any(right.zero_points):
            yield (
                f"BATCH_MATMUL with zero point {right.zero_points[0]} on its right side",
                "give that tensor a symmetric range",
                operator,
                right,
            )


@_rule(
    "batch-matmul-threads",
    "error",
    "With two or more threads XNNPACK on ARM64 packs the right side of an int8 BATCH_MATMUL "
    "wrongly if it reads more than 16 columns of it (adj_y False, or a TRANSPOSE that it undoes): "
    "most output codes are wrong, by up to 255. Seen under emulation in LiteRT 2.0.3 to 2.3.0 on "
    "Cortex-A53 and on cores with i8mm, in 2.0.3 and 2.1.0 on Cortex-A76 too; right in 1.2 and "
    "1.4, with one thread, and on x86. A TRANSPOSE is undone from 2.1.0 on.",
)
def _batch_matmul_threads(subgraph):
    for operator, left, right in _products(subgraph):
        # XNNPACK takes no other; and a constant is packed before threads come into it.
        if operator.options.get("adj_x") or right.is_constant:
            continue
        if left.dtype != "int8" or right.dtype != "int8":
            continue
        if any(right.zero_points) or len(right.shape) < 2:
            continue
        transposed = bool(operator.options.get("adj_y"))
        columns = right.shape[-2 if transposed else -1]
        undone = transposed and _is_swap_for_one(subgraph, right)
        if columns > _PACKED_COLUMNS and (undone or not transposed):
            how = "right after a TRANSPOSE of them" if undone else "with adj_y False"
            yield (
                f"int8 BATCH_MATMUL of {columns} columns {how}",
                "set adj_y and let a TRANSPOSE stand somewhere before, with another operator "
                "between the two",
                operator,
                right,
            )


@_rule(
    "cast-of-codes",
    "error",
    "LiteRT's CPU kernel of CAST copies codes; Qualcomm's NPU, OpenVINO and tf2onnx cast the real "
    "value that a code stands for, and give other numbers.",
)
def _cast_of_codes(subgraph):
    for operator in _named(subgraph, "CAST"):
        for tensor in subgraph.input_tensors(operator) + subgraph.output_tensors(operator):
            # Scale 1 and zero point 0: code and real value are the same.
            if tensor.dtype in _CODES and tensor.scales not in ((), (1.0,)):
                yield (
                    f"CAST of the codes of {tensor.name!r}",
                    "use an operator with an int8 kernel (RSQRT, GELU, ...) in place of a table",
                    operator,
                    tensor,
                )
                break


@_rule(
    "batch-matmul-with-itself",
    "error",
    "LiteRT's GPU compiler ends the process on a BATCH_MATMUL of a tensor with itself (LiteRT "
    "2.3.0, model.cc: `!IsInput(consumer, value)`).",
)
def _batch_matmul_with_itself(subgraph):
    for operator, left, right in _products(subgraph):
        if left.index == right.index:
            yield (
                f"BATCH_MATMUL of {left.name!r} with itself",
                "give it a copy for its right side: a RESHAPE",
                operator,
                left,
            )


@_rule(
    "code-tables",
    "info",
    "XNNPACK computes DEQUANTIZE, functions of one number and QUANTIZE as one table of 256 codes "
    "(LiteRT 1.4 to 2.3.0). TFLite 2.14, a CPU without XNNPACK and other hardware compute it in "
    "float: slower, and an NPU may leave it to the CPU.",
)
def _code_tables(subgraph):
    tables = code_tables(subgraph)
    if tables:
        names = Counter(", ".join(one.functions) or "of other codes" for one in tables)
        listed = ", ".join(f"{count} {name}" for name, count in names.items())
        yield (
            f"tables of codes spelled out in float, DEQUANTIZE to QUANTIZE: {listed}",
            "convert with --target=portable for anything but XNNPACK",
            tables[0].operators[0],
            None,
        )


@_rule(
    "per-channel-weights",
    "info",
    "Steps for each channel of the weights are what TFLite's int8 specification has; NPUs of "
    "MediaTek are reported to refuse them (LiteRT issue 7603).",
)
def _per_channel_weights(subgraph):
    found = [
        tensor
        for tensor in subgraph.tensors
        if tensor.is_constant and tensor.dtype in _CODES and len(tensor.scales) > 1
    ]
    if found:
        yield (
            f"{len(found)} constants with a step for each channel",
            "convert with --per_tensor_weights where a runtime refuses them",
            None,
            found[0],
        )


def _products(subgraph):
    """`(operator, left side, right side)` of each BATCH_MATMUL."""
    for operator in _named(subgraph, "BATCH_MATMUL"):
        inputs = subgraph.input_tensors(operator)
        if len(inputs) == 2:
            yield operator, *inputs


def _is_swap_for_one(subgraph, tensor):
    """Whether a TRANSPOSE of the last two axes gives a tensor, and one operator reads it."""
    producer = subgraph.producers.get(tensor.index)
    if producer is None or producer.name != "TRANSPOSE" or len(producer.inputs) < 2:
        return False
    if producer.inputs[1] < 0 or len(subgraph.consumers[tensor.index]) > 1:
        return False
    order, rank = subgraph.tensors[producer.inputs[1]], len(tensor.shape)
    # Another constant may be of any size, or of strings.
    if not order.is_constant or (order.dtype, order.elements) != ("int32", rank):
        return False
    return order.data.reshape(-1).tolist() == [*range(rank - 2), rank - 1, rank - 2]


def _named(subgraph, name):
    return (operator for operator in subgraph.operators if operator.name == name)


def _quantize(subgraph):
    """`(operator, what it reads, what it writes)` of each QUANTIZE."""
    for operator in _named(subgraph, "QUANTIZE"):
        sources, targets = subgraph.input_tensors(operator), subgraph.output_tensors(operator)
        if sources and targets:
            yield operator, sources[0], targets[0]


def _times(count):
    return "once" if count == 1 else f"{count} times"
