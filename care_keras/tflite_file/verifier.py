"""Checks that a flatbuffer holds a TFLite model, before anything of it is read.

The Python flatbuffers reader trusts the offsets that it finds: on a truncated
or corrupt file it raises whatever comes, reads from the buffer's end, or loops
over a length of billions. Here every offset and length that the reader of
`reader.py` follows is checked once; after that reading cannot leave the buffer.
"""

from typing import NamedTuple

# Bytes that may be visited per byte of the file. Tables may be shared, so a small file could make
# a reader visit the same part without end; real files share next to nothing.
_VISITS_PER_BYTE = 16


class CorruptFileError(ValueError):
    """An offset or a length in the file is impossible."""


class _Scalar(NamedTuple):
    """A number inside its table."""

    size: int


class _Vector(NamedTuple):
    """A vector of numbers, or a string (whose items are bytes)."""

    item_size: int


class _Tables(NamedTuple):
    """A vector of tables."""

    table: str


class _Table(NamedTuple):
    """One table."""

    table: str


_STRING = _Vector(1)
# A table of a kind known only later: its frame is checked, not its fields.
_ANY_TABLE = _Table("")

# The fields that are read, by their position in TFLite's schema (version 3): a vtable's slots.
FIELDS = {
    "": {},
    "Model": {
        0: _Scalar(4),  # version
        1: _Tables("OperatorCode"),  # operator_codes
        2: _Tables("SubGraph"),  # subgraphs
        3: _STRING,  # description
        4: _Tables("Buffer"),  # buffers
        6: _Tables("Metadata"),  # metadata
        7: _Tables("SignatureDef"),  # signature_defs
    },
    "OperatorCode": {
        0: _Scalar(1),  # deprecated_builtin_code
        1: _STRING,  # custom_code
        2: _Scalar(4),  # version
        3: _Scalar(4),  # builtin_code
    },
    "SubGraph": {
        0: _Tables("Tensor"),  # tensors
        1: _Vector(4),  # inputs
        2: _Vector(4),  # outputs
        3: _Tables("Operator"),  # operators
        4: _STRING,  # name
    },
    "Tensor": {
        0: _Vector(4),  # shape
        1: _Scalar(1),  # type
        2: _Scalar(4),  # buffer
        3: _STRING,  # name
        4: _Table("QuantizationParameters"),  # quantization
        5: _Scalar(1),  # is_variable
        6: _Table("SparsityParameters"),  # sparsity
        7: _Vector(4),  # shape_signature
        10: _Scalar(4),  # external_buffer
    },
    "QuantizationParameters": {
        2: _Vector(4),  # scale
        3: _Vector(8),  # zero_point
        6: _Scalar(4),  # quantized_dimension
    },
    "SparsityParameters": {
        0: _Vector(4),  # traversal_order
        1: _Vector(4),  # block_map
        2: _Tables("DimensionMetadata"),  # dim_metadata
    },
    "DimensionMetadata": {
        0: _Scalar(1),  # format
        1: _Scalar(4),  # dense_size
        2: _Scalar(1),  # array_segments_type
        3: _ANY_TABLE,  # array_segments
        4: _Scalar(1),  # array_indices_type
        5: _ANY_TABLE,  # array_indices
    },
    "Operator": {
        0: _Scalar(4),  # opcode_index
        1: _Vector(4),  # inputs
        2: _Vector(4),  # outputs
        3: _Scalar(1),  # builtin_options_type
        4: _ANY_TABLE,  # builtin_options
        5: _Vector(1),  # custom_options
        11: _Scalar(1),  # builtin_options_2_type
        12: _ANY_TABLE,  # builtin_options_2
    },
    "Buffer": {
        0: _Vector(1),  # data
        1: _Scalar(8),  # offset
        2: _Scalar(8),  # size
    },
    "Metadata": {
        0: _STRING,  # name
        1: _Scalar(4),  # buffer
    },
    "SignatureDef": {
        0: _Tables("TensorMap"),  # inputs
        1: _Tables("TensorMap"),  # outputs
        2: _STRING,  # signature_key
        4: _Scalar(4),  # subgraph_index
    },
    "TensorMap": {
        0: _STRING,  # name
        1: _Scalar(4),  # tensor_index
    },
}


class Budget:
    """How many bytes of a file may still be visited."""

    def __init__(self, size: int):
        self._left = size * _VISITS_PER_BYTE

    def charge(self, size: int) -> None:
        """Counts `size` bytes as visited.

        Raises:
            CorruptFileError: If more was visited than a file of this size can mean.
        """
        self._left -= size
        if self._left < 0:
            raise CorruptFileError("its tables refer to one another without end")


def verify_model(data: bytes) -> Budget:
    """Checks every offset and length of a model.

    Args:
        data: The whole file.

    Returns:
        What is left of the budget, for what is decoded later (options of
        operators).

    Raises:
        CorruptFileError: If one leads out of the file; the message says where.
    """
    budget = Budget(len(data))
    _Verifier(data, budget).table(_uint(data, 0, 4), "Model")
    return budget


def _uint(data, position, size):
    if position + size > len(data):
        raise CorruptFileError(f"it ends before byte {position + size}")
    return int.from_bytes(data[position : position + size], "little")


class _Verifier:
    def __init__(self, data, budget):
        self._data = data
        self._budget = budget

    def table(self, position, name):
        """A table: its vtable, and all fields of it that are read."""
        data = self._data
        back = _uint(data, position, 4)
        vtable = position - (back - 2**32 if back >= 2**31 else back)
        if vtable < 0:
            raise CorruptFileError(f"the table at byte {position} has no vtable")
        vtable_size, table_size = _uint(data, vtable, 2), _uint(data, vtable + 2, 2)
        end = position + table_size
        if vtable_size < 4 or vtable_size % 2 or table_size < 4 or end > len(data):
            raise CorruptFileError(f"the table at byte {position} has an impossible size")
        self._budget.charge(vtable_size + table_size)
        slots = (vtable_size - 4) // 2
        offsets = [_uint(data, vtable + 4 + 2 * slot, 2) for slot in range(slots)]
        if any(0 < offset < 4 or offset >= table_size for offset in offsets):
            raise CorruptFileError(f"a field of the table at byte {position} lies outside of it")
        for slot, kind in FIELDS[name].items():
            if slot < slots and offsets[slot]:
                self._field(position + offsets[slot], end, kind)

    def _field(self, position, end, kind):
        size = kind.size if isinstance(kind, _Scalar) else 4
        if position + size > end:
            raise CorruptFileError(f"the field at byte {position} does not fit into its table")
        if isinstance(kind, _Scalar):
            return
        target = position + _uint(self._data, position, 4)
        if isinstance(kind, _Table):
            self.table(target, kind.table)
            return
        item_size = kind.item_size if isinstance(kind, _Vector) else 4
        length = _uint(self._data, target, 4)
        start = target + 4
        if start + length * item_size > len(self._data):
            raise CorruptFileError(f"the vector at byte {target} is longer than the file")
        self._budget.charge(4 + length * item_size)
        if isinstance(kind, _Tables):
            for item in range(start, start + 4 * length, 4):
                self.table(item + _uint(self._data, item, 4), kind.table)
