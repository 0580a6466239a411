"""Operators that other runtimes, or more threads, compute otherwise: a file for each."""

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from care_keras.tflite_file import read_graph
from care_keras.tflite_file.rules import RULES
from care_keras.tflite_file.writer import Quantization, Writer


def quantized(scale=0.05, zero_point=0):
    return Quantization(np.asarray([scale], np.float32), zero_point)


class Product:
    """A file in the making that ends with `left x right`."""

    def __init__(self):
        self.writer = Writer("test")
        self.inputs = {}

    def input(self, name, shape, dtype=np.int8, **codes):
        kind = None if dtype == np.float32 else quantized(**codes)
        self.inputs[name] = self.writer.tensor(name, shape, dtype, kind)
        return self.inputs[name]

    def transposed(self, x, order=(0, 2, 1)):
        permutation = self.writer.constant("order", np.asarray(order, np.int32))
        shape = tuple(x.shape[axis] for axis in order)
        output = self.writer.tensor("transposed", shape, x.dtype, x.quantization)
        options = schema.TransposeOptionsT()
        return self.writer.operator("TRANSPOSE", 2, [x, permutation], output, options)

    def reshaped(self, x, shape):
        sizes = self.writer.constant("shape", np.asarray(shape, np.int32))
        output = self.writer.tensor("reshaped", shape, x.dtype, x.quantization)
        options = schema.ReshapeOptionsT()
        return self.writer.operator("RESHAPE", 1, [x, sizes], output, options)

    def findings(self, left, right, adj_x=False, adj_y=False, outputs=()):
        options = schema.BatchMatMulOptionsT()
        options.adjX, options.adjY = adj_x, adj_y
        shape = (1, left.shape[2 if adj_x else 1], right.shape[1 if adj_y else 2])
        kind = None if left.dtype == np.float32 else quantized(0.5, -4)
        product = self.writer.tensor("product", shape, left.dtype, kind)
        self.writer.operator("BATCH_MATMUL", 2, [left, right], product, options)
        made = dict(zip("yz", (product, *outputs), strict=False))
        graph = read_graph(self.writer.finish(self.inputs, made))
        return [
            finding
            for name in ("batch-matmul-threads", "batch-matmul-with-itself")
            for finding in RULES[name].findings(graph)
        ]


def columns(width, dtype=np.int8, **codes):
    file = Product()
    left = file.input("left", (1, 32, 196), dtype)
    return file.findings(left, file.input("right", (1, 196, width), dtype, **codes))


@pytest.mark.parametrize("width", (17, 24, 32, 64))
def test_columns_that_several_threads_pack_wrongly(width):
    (finding,) = columns(width)
    assert finding.rule == "batch-matmul-threads" and finding.tensor == "right"
    assert finding.message == f"int8 BATCH_MATMUL of {width} columns with adj_y False"


def test_a_transpose_that_xnnpack_undoes():
    file = Product()
    left, right = file.input("left", (1, 32, 196)), file.input("right", (1, 196, 32))
    (finding,) = file.findings(left, file.transposed(right), adj_y=True)
    assert finding.message == "int8 BATCH_MATMUL of 32 columns right after a TRANSPOSE of them"


def test_what_all_compute_alike_is_not_named():
    assert not columns(16)
    assert not columns(32, zero_point=3)  # XNNPACK leaves it to LiteRT's own kernel.
    assert not columns(32, np.float32)
    file = Product()
    left, right = file.input("left", (1, 32, 196)), file.input("right", (1, 32, 196))
    assert not file.findings(left, right, adj_y=True)
    file = Product()
    left, right = file.input("left", (1, 196, 32)), file.input("right", (1, 196, 32))
    assert not file.findings(left, right, adj_x=True)
    file = Product()
    constant = np.zeros((1, 196, 32), np.int8)
    right = file.writer.constant("weights", constant, quantized())
    assert not file.findings(file.input("left", (1, 32, 196)), right)


def test_a_transpose_with_something_behind_it_is_not_named():
    file = Product()
    left, right = file.input("left", (1, 32, 196)), file.input("right", (1, 196, 32))
    rows = file.reshaped(file.transposed(right), (1, 32, 196))
    assert not file.findings(left, rows, adj_y=True)
    # XNNPACK cannot undo a TRANSPOSE that something else reads, nor one of other axes.
    file = Product()
    left, right = file.input("left", (1, 32, 196)), file.input("right", (1, 196, 32))
    swapped = file.transposed(right)
    assert not file.findings(
        left, swapped, adj_y=True, outputs=[file.reshaped(swapped, (1, 196, 32))]
    )
    file = Product()
    left, right = file.input("left", (1, 32, 196)), file.input("right", (32, 1, 196))
    assert not file.findings(left, file.transposed(right, (1, 0, 2)), adj_y=True)


def test_a_product_of_a_tensor_with_itself():
    file = Product()
    x = file.input("x", (1, 1, 64))
    (finding,) = file.findings(x, x, adj_y=True)
    assert (finding.rule, finding.tensor) == ("batch-matmul-with-itself", "x")


def cast(scale, source, target):
    writer = Writer("test")
    codes = None if scale is None else quantized(scale)
    x, y = (
        writer.tensor(name, (1, 8), dtype, codes if dtype == np.int8 else None)
        for name, dtype in (("x", source), ("y", target))
    )
    writer.operator("CAST", 3, [x], y, schema.CastOptionsT())
    return RULES["cast-of-codes"].findings(read_graph(writer.finish({"x": x}, {"y": y})))


def test_casts_of_codes_and_of_numbers():
    assert [finding.tensor for finding in cast(0.5, np.int8, np.int32)] == ["x"]
    assert [finding.tensor for finding in cast(0.5, np.int32, np.int8)] == ["y"]
    # Where a code is the number, or there are none, all agree.
    assert not cast(1.0, np.int8, np.int32)
    assert not cast(None, np.int8, np.int32)
    assert not cast(None, np.int32, np.float32)
