"""Chains of float operators that are tables of codes, and others that are not."""

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from care_keras.tflite_file import audit_integer_only, read_graph
from care_keras.tflite_file.code_tables import code_tables
from care_keras.tflite_file.writer import Quantization, Writer

CODES = Quantization(np.asarray([0.1], np.float32), 3)


class Chain:
    """A file in the making, from int8 codes on."""

    def __init__(self, dtype=np.int8):
        self.writer = Writer("test")
        self.input = self.writer.tensor("input", (1, 4), dtype, CODES)
        self.count = 0

    def then(self, name, *inputs, dtype=np.float32):
        quantization = CODES if dtype != np.float32 else None
        self.count += 1
        output = self.writer.tensor(f"{self.count}", (1, 4), dtype, quantization)
        options = {"ADD": schema.AddOptionsT(), "GELU": schema.GeluOptionsT()}.get(name)
        return self.writer.operator(name, 1, list(inputs), output, options)

    def ending(self, **outputs):
        return read_graph(self.writer.finish({"input": self.input}, outputs))


def functions(*names, source=np.int8, target=np.int8):
    chain = Chain(source)
    x = chain.then("DEQUANTIZE", chain.input)
    for name in names:
        x = chain.then(name, x)
    return chain.ending(out=chain.then("QUANTIZE", x, dtype=target))


def errors(graph):
    return [one.rule for one in audit_integer_only(graph) if one.severity == "error"]


@pytest.mark.parametrize("names", [(), ("GELU",), ("EXP", "RSQRT"), ("HARD_SWISH",), ("LOG",)])
@pytest.mark.parametrize(("source", "target"), [(np.int8, np.int8), (np.uint8, np.int8)])
def test_a_function_of_codes_is_a_table_of_integers(names, source, target):
    graph = functions(*names, source=source, target=target)
    (table,) = code_tables(graph.main)
    assert table.functions == names and len(table.operators) == len(graph.operators)
    assert not errors(graph)
    (note,) = [one for one in audit_integer_only(graph) if one.rule == "code-tables"]
    assert note.severity == "info" and (", ".join(names) or "of other codes") in note.message


def with_a_second_reader():
    chain = Chain()
    number = chain.then("DEQUANTIZE", chain.input)
    first = chain.then("QUANTIZE", chain.then("GELU", number), dtype=np.int8)
    return chain.ending(first=first, second=chain.then("EXP", number))


def with_an_output_inside():
    chain = Chain()
    number = chain.then("GELU", chain.then("DEQUANTIZE", chain.input))
    return chain.ending(inside=number, out=chain.then("QUANTIZE", number, dtype=np.int8))


def of_two_tensors():
    chain = Chain()
    number = chain.then("DEQUANTIZE", chain.input)
    total = chain.then("ADD", number, number)
    return chain.ending(out=chain.then("QUANTIZE", total, dtype=np.int8))


def without_an_end():
    chain = Chain()
    return chain.ending(out=chain.then("GELU", chain.then("DEQUANTIZE", chain.input)))


def of_a_float_input():
    chain = Chain(np.float32)
    return chain.ending(out=chain.then("QUANTIZE", chain.input, dtype=np.int8))


def softmax():
    return functions("SOFTMAX")


def sixteen_bits():
    return functions("GELU", target=np.int16)


@pytest.mark.parametrize(
    "make",
    [
        with_a_second_reader,
        with_an_output_inside,
        of_two_tensors,
        without_an_end,
        of_a_float_input,
        softmax,
        sixteen_bits,
    ],
)
def test_what_is_computed_in_float_is_no_table(make):
    graph = make()
    assert not code_tables(graph.main)
    assert "integer-tensors" in errors(graph)
    assert not any(one.rule == "code-tables" for one in audit_integer_only(graph))
