"""Reads a .tflite file into plain records; nothing in it is run."""

import os

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from care_keras.files import printable, read_bytes
from care_keras.tflite_file.options import decode_options, enum_name
from care_keras.tflite_file.records import (
    NO_NUMBERS,
    Graph,
    Operator,
    Signature,
    Subgraph,
    Tensor,
)
from care_keras.tflite_file.sparsity import read_sparsity
from care_keras.tflite_file.verifier import CorruptFileError, verify_model

_IDENTIFIER = b"TFL3"


def read_graph(model: str | os.PathLike | bytes) -> Graph:
    """Reads a .tflite file; nothing in it is run.

    Args:
        model: Path of the file, or its content.

    Raises:
        ValueError: If it is missing, is no TFLite model, or is truncated or
            corrupt.
    """
    if isinstance(model, bytes | bytearray | memoryview):
        data, source = bytes(model), f"{len(model)} bytes"
    else:
        data, source = read_bytes(model), os.fspath(model)
    if not data:
        raise ValueError(f"The file is empty. Received: {source}")
    if data[4:8] != _IDENTIFIER:
        raise ValueError(
            f"The file is no TFLite model: its bytes 4 to 7 are not 'TFL3'. Received: {source}"
        )
    try:
        return _Reader(data).graph(source)
    except CorruptFileError as error:
        raise ValueError(f"The file is truncated or corrupt: {error}. Received: {source}") from None


class _Reader:
    """Turns the tables of a verified file into records."""

    def __init__(self, data):
        self._data = data
        self._budget = verify_model(data)
        self._model = schema.Model.GetRootAs(data)
        model = self._model
        self._buffers = [self._buffer(model.Buffers(i)) for i in range(model.BuffersLength())]
        codes = (model.OperatorCodes(i) for i in range(model.OperatorCodesLength()))
        self._codes = [_operator_code(code) for code in codes]

    def graph(self, source):
        model = self._model
        if not model.SubgraphsLength():
            raise CorruptFileError("it holds no graph")
        subgraphs = tuple(
            self._subgraph(i, model.Subgraphs(i)) for i in range(model.SubgraphsLength())
        )
        return Graph(
            source=source,
            size_bytes=len(self._data),
            description=_text(model.Description()),
            subgraphs=subgraphs,
            signatures=tuple(
                _signature(model.SignatureDefs(i), subgraphs)
                for i in range(model.SignatureDefsLength())
            ),
            metadata=dict(self._metadata(model.Metadata(i)) for i in range(model.MetadataLength())),
        )

    def _buffer(self, buffer):
        """Bytes of a buffer, or `None` if it is empty."""
        if not buffer.DataIsNone() and buffer.DataLength():
            return buffer.DataAsNumpy()
        # Files over 2 GB keep their weights behind the flatbuffer.
        offset, size = buffer.Offset(), buffer.Size()
        if offset <= 1 or not size:
            return None
        if offset + size > len(self._data):
            raise CorruptFileError(f"a buffer at byte {offset} is longer than the file")
        return np.frombuffer(self._data, np.uint8, size, offset)

    def _metadata(self, entry):
        content = _item(self._buffers, entry.Buffer(), "buffer")
        return _text(entry.Name()), b"" if content is None else content.tobytes()

    def _subgraph(self, index, subgraph):
        tensors = tuple(
            self._tensor(i, subgraph.Tensors(i)) for i in range(subgraph.TensorsLength())
        )
        operators = tuple(
            self._operator(i, subgraph.Operators(i), len(tensors))
            for i in range(subgraph.OperatorsLength())
        )
        return Subgraph(
            index=index,
            name=_text(subgraph.Name()),
            tensors=tensors,
            operators=operators,
            inputs=_tensor_indices(subgraph.InputsAsNumpy(), len(tensors), lowest=0),
            outputs=_tensor_indices(subgraph.OutputsAsNumpy(), len(tensors), lowest=0),
        )

    def _tensor(self, index, tensor):
        if tensor.ExternalBuffer():
            raise CorruptFileError("it keeps constants in another file, which is not supported")
        quantization, sparsity = tensor.Quantization(), tensor.Sparsity()
        content = _item(self._buffers, tensor.Buffer(), "buffer")
        if sparsity and content is None:
            # All of it is 0.
            content = np.zeros(0, np.uint8)
        shape = _numbers(tensor.ShapeAsNumpy())
        if min(shape, default=0) < 0:
            raise CorruptFileError(f"tensor {index} has a negative size")
        dtype = enum_name(schema.TensorType, tensor.Type()).lower()
        if dtype.startswith("unknown"):
            raise CorruptFileError(f"tensor {index} has a type that is not known: {tensor.Type()}")
        result = Tensor(
            index=index,
            name=_text(tensor.Name()),
            dtype=dtype,
            shape=shape,
            shape_signature=_numbers(tensor.ShapeSignatureAsNumpy()) or shape,
            scales=_numbers(quantization.ScaleAsNumpy()) if quantization else (),
            zero_points=_numbers(quantization.ZeroPointAsNumpy()) if quantization else (),
            quantized_dimension=quantization.QuantizedDimension() if quantization else 0,
            is_variable=tensor.IsVariable(),
            sparsity=sparsity and read_sparsity(sparsity, self._budget),
            content=content,
        )
        dense = result.is_constant and not result.is_sparse and dtype not in NO_NUMBERS
        if dense and result.content.size != result.size_bytes:
            raise CorruptFileError(
                f"tensor {index} takes {result.size_bytes} bytes and has {result.content.size}"
            )
        return result

    def _operator(self, index, operator, tensors):
        name, version, custom_code = _item(self._codes, operator.OpcodeIndex(), "operator code")
        custom_options = operator.CustomOptionsAsNumpy()
        self._budget.charge(operator.CustomOptionsLength())
        return Operator(
            index=index,
            name=name,
            version=version,
            inputs=_tensor_indices(operator.InputsAsNumpy(), tensors, lowest=-1),
            outputs=_tensor_indices(operator.OutputsAsNumpy(), tensors, lowest=-1),
            options=decode_options(operator, self._budget),
            custom_code=custom_code,
            custom_options=b"" if isinstance(custom_options, int) else custom_options.tobytes(),
        )


def _operator_code(code):
    """`(name, version, custom code)` of an entry of the table of operator codes."""
    # Codes above 127 came later, in a field of their own; the larger one holds.
    number = max(code.DeprecatedBuiltinCode(), code.BuiltinCode())
    custom = number == schema.BuiltinOperator.CUSTOM
    return (
        enum_name(schema.BuiltinOperator, number),
        code.Version(),
        _text(code.CustomCode()) if custom else None,
    )


def _signature(signature, subgraphs):
    tensors = len(_item(subgraphs, signature.SubgraphIndex(), "subgraph").tensors)

    def names(count, entry):
        entries = [entry(i) for i in range(count)]
        indices = _tensor_indices([item.TensorIndex() for item in entries], tensors, lowest=0)
        return dict(zip((_text(item.Name()) for item in entries), indices, strict=True))

    return Signature(
        key=_text(signature.SignatureKey()),
        subgraph=signature.SubgraphIndex(),
        inputs=names(signature.InputsLength(), signature.Inputs),
        outputs=names(signature.OutputsLength(), signature.Outputs),
    )


def _item(items, index, name):
    if index >= len(items):
        raise CorruptFileError(f"it names {name} {index} of {len(items)}")
    return items[index]


def _tensor_indices(values, tensors, lowest):
    indices = _numbers(values)
    for index in indices:
        if not lowest <= index < tensors:
            raise CorruptFileError(f"it names tensor {index} of {tensors}")
    return indices


def _numbers(values):
    """A vector as a tuple; the reader of flatbuffers has 0 for one that is not there."""
    if isinstance(values, np.ndarray):
        values = values.tolist()
    return () if isinstance(values, int) else tuple(values)


def _text(value):
    return printable((value or b"").decode(errors="replace"))
