"""Metadata that lets XNNPACK compute a float file in half precision.

Key and value are TensorFlow's, which its converter writes for
`_experimental_supported_accumulation_type` (tensorflow/compiler/mlir/lite/tools/
optimize/reduced_precision_metadata.h). LiteRT's XNNPACK delegate reads them since 2.1:
on a CPU that has half-precision arithmetic it then computes in it.
"""

from care_keras.tflite_file.metadata import with_metadata
from care_keras.tflite_file.reader import read_graph
from care_keras.tflite_file.records import Graph

KEY = "reduced_precision_support"
# Tensors and sums in half precision: with fp32 for the sums XNNPACK stays in float32.
FLOAT16 = b"fp16accfp16"
# What leads from one type to another computes nothing.
_CONVERSIONS = ("CAST", "DEQUANTIZE", "QUANTIZE")


def computes_in_floats(graph: Graph) -> bool:
    """Whether an operator of a file's main graph computes float32 numbers."""
    return any(
        tensor.dtype == "float32"
        for operator in graph.operators
        if operator.name not in _CONVERSIONS
        for tensor in graph.main.output_tensors(operator)
    )


def allows_float16(graph: Graph) -> bool:
    """Whether a file lets XNNPACK compute in half precision, sums included."""
    value = graph.metadata.get(KEY, b"")
    return value.startswith(b"fp16") and value.endswith(b"accfp16")


def allow_float16(content: bytes) -> bytes:
    """A .tflite file that says of itself that half precision is enough for it.

    Raises:
        ValueError: If the file is damaged, or too large to be written anew.
    """
    return _with_support(content, FLOAT16)


def forbid_float16(content: bytes) -> bytes:
    """A .tflite file that says nothing of half precision: the same one if it did not.

    Raises:
        ValueError: As `allow_float16`.
    """
    return _with_support(content, None)


def _with_support(content, value):
    if read_graph(content).metadata.get(KEY) == value:
        return content
    return with_metadata(content, {KEY: value})
