"""What makes a .tflite file slow or fragile, whatever its precision."""

from collections import Counter

from care_keras.tflite_file.code_tables import code_tables
from care_keras.tflite_file.finding import Finding
from care_keras.tflite_file.records import Graph
from care_keras.tflite_file.rules import RULES, Rule

_FLOAT = ("float32", "float16", "bfloat16", "float64")
_BORDERS = ("QUANTIZE", "DEQUANTIZE")
# What other runtimes, cores or numbers of threads compute otherwise than LiteRT on this machine.
PORTABILITY_RULES = (
    "batch-matmul-threads",
    "cast-of-codes",
    "batch-matmul-with-itself",
    "code-tables",
)

# No fault, but what a runtime may refuse.
PER_CHANNEL = RULES["per-channel-weights"]


def warnings(graph: Graph) -> list[Finding]:
    """Looks for everything that is known to cost speed or to break at run time."""
    return [
        finding
        for rule in WARNING_RULES
        for finding in rule.findings(graph, None if rule.severity == "info" else "warning")
    ]


def _float_islands(subgraph):
    activations = [tensor for tensor in subgraph.tensors if not tensor.is_constant]
    if not any(tensor.dtype == "int8" for tensor in activations):
        return
    in_tables = {
        index
        for table in code_tables(subgraph)
        for operator in table.operators
        for index in operator.outputs
    }
    floats = {tensor.index for tensor in activations if tensor.dtype in _FLOAT} - in_tables
    seen = set()
    for start in sorted(floats):
        # An island is what hangs together through float activations, up to its borders.
        waiting, operators = [start], {}
        while waiting:
            tensor = waiting.pop()
            if tensor in seen or tensor not in floats:
                continue
            seen.add(tensor)
            neighbours = [*subgraph.consumers.get(tensor, ()), subgraph.producers.get(tensor)]
            for operator in neighbours:
                if operator is not None and operator.name not in _BORDERS:
                    operators[operator.index] = operator
                    waiting += [*operator.inputs, *operator.outputs]
        if operators:
            first = operators[min(operators)]
            names = Counter(operators[index].label for index in sorted(operators))
            listed = ", ".join(f"{count} {name}" for name, count in names.items())
            yield (
                f"float island of {listed}",
                "give every tensor in it a range, or rewrite it with operators that TFLite has in "
                "int8",
                first,
                next(iter(subgraph.output_tensors(first)), None),
            )


def _int8_div(subgraph):
    found = RULES["no-div"].check(subgraph)
    return (item for item in found if item[3] is not None and item[3].dtype == "int8")


def _dynamic_shapes(subgraph):
    dynamic = [tensor for tensor in subgraph.tensors if tensor.is_dynamic]
    if dynamic:
        first = next((t for t in dynamic if t.index in subgraph.inputs), dynamic[0])
        shape = ", ".join("?" if size == -1 else str(size) for size in first.shape_signature)
        yield (
            f"{len(dynamic)} tensors of open size, as {first.name!r} ({shape})",
            "convert with a fixed batch and input size",
            None,
            first,
        )


WARNING_RULES = (
    Rule(
        "float-islands",
        "warning",
        "Between int8 operators, operators that compute in float cost a conversion at each border, "
        "cut XNNPACK's partitions, and cannot run where there are integers only.",
        _float_islands,
    ),
    Rule("int8-div", "warning", RULES["no-div"].reason, _int8_div),
    RULES["depthwise-taps"],
    RULES["builtin-operators"],
    RULES["batch-matmul-zero-point"],
    *(RULES[name] for name in PORTABILITY_RULES),
    RULES["requantize"],
    Rule(
        "dynamic-shapes",
        "warning",
        "Memory cannot be planned and delegates cannot prepare before such an input has been "
        "resized; figures here hold for the sizes that LiteRT gives them here.",
        _dynamic_shapes,
    ),
)
