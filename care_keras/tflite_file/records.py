"""Plain records of what a .tflite file holds: tensors, operators, graphs, signatures."""

import dataclasses
import functools
import math
from collections.abc import Mapping

import ml_dtypes
import numpy as np

from care_keras.tflite_file.sparsity import Sparsity, densify

_BITS = {"int4": 4, "uint4": 4, "int2": 2, "bool": 8}
# Types whose values are no numbers.
NO_NUMBERS = ("string", "resource", "variant")
_EXTENDED_TYPES = {
    "bfloat16": ml_dtypes.bfloat16,
    "float8_e4m3fn": ml_dtypes.float8_e4m3fn,
    "float8_e5m2": ml_dtypes.float8_e5m2,
}


@dataclasses.dataclass(frozen=True, eq=False)
class Tensor:
    """One tensor of a graph.

    Attributes:
        index: Position in its subgraph.
        name: Name in the file.
        dtype: TFLite's type in lower case: `"float32"`, `"int8"`, `"string"`.
        shape: Sizes in the file; a size that is open has a placeholder, mostly 1.
        shape_signature: The same with -1 where a size is open.
        scales: Quantization steps: none, one, or one per channel.
        zero_points: Codes of the real value 0, likewise.
        quantized_dimension: The axis of the channels, for several scales.
        is_variable: Whether it keeps its value from one inference to the next.
        sparsity: Where the numbers of a constant are that is stored without zeros, or `None`.
        content: Stored bytes of a constant, uint8, or `None`.
    """

    index: int
    name: str
    dtype: str
    shape: tuple[int, ...]
    shape_signature: tuple[int, ...]
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    quantized_dimension: int
    is_variable: bool
    sparsity: Sparsity | None
    content: np.ndarray | None = dataclasses.field(repr=False)

    @property
    def is_sparse(self) -> bool:
        """Whether its constant is stored without zeros."""
        return self.sparsity is not None

    @property
    def is_constant(self) -> bool:
        """Whether the file holds its value."""
        return self.content is not None

    @property
    def is_dynamic(self) -> bool:
        """Whether a size is known only when the model runs."""
        return -1 in self.shape_signature

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """Bytes that it takes in memory; 0 for types that are no numbers."""
        if self.dtype in NO_NUMBERS:
            return 0
        return -(-self.elements * _bits(self.dtype) // 8)

    @property
    def data(self) -> np.ndarray:
        """The value of a constant, of `shape`; types of less than 8 bits as int8 or uint8.

        Of one that is stored without zeros it takes the memory of all of them: a small
        file may ask for any amount.

        Raises:
            ValueError: If it has none, or one that is no plain array of numbers, or a
                sparse one does not fit its shape.
        """
        narrow = _bits(self.dtype) < 8 if self.dtype not in NO_NUMBERS else True
        if self.content is None or self.dtype in NO_NUMBERS or (self.is_sparse and narrow):
            raise ValueError(
                "Only a constant of numbers has data. "
                f"Received: tensor {self.index} {self.name!r} ({self.dtype})"
            )
        if self.is_sparse:
            return densify(self.content, _numpy_type(self.dtype), self.shape, self.sparsity)
        if narrow:
            return _unpack(self.content, self.dtype, self.elements).reshape(self.shape)
        return self.content.view(_numpy_type(self.dtype)).reshape(self.shape)


@dataclasses.dataclass(frozen=True, eq=False)
class Operator:
    """One operator of a graph.

    Attributes:
        index: Position in its subgraph, which is the order of execution.
        name: `"CONV_2D"`; `"CUSTOM"` for one that is not TFLite's own;
            `"UNKNOWN_n"` for one newer than the schema it is read with.
        version: Version of the operator's definition.
        inputs: Indices of tensors; -1 for an optional one that is left out.
        outputs: Likewise.
        options: Names as in TFLite's schema: `{"padding": "SAME", "stride_w": 2, ...}`.
        custom_code: Name of a custom operator, or `None`.
        custom_options: Its options, uninterpreted.
    """

    index: int
    name: str
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, object]
    custom_code: str | None
    custom_options: bytes = dataclasses.field(repr=False)

    @property
    def label(self) -> str:
        """Name for people, which tells custom operators apart."""
        return self.name if self.custom_code is None else f"{self.name}:{self.custom_code}"


@dataclasses.dataclass(frozen=True, eq=False)
class Subgraph:
    """One graph of a file; the first is the model, others are bodies of control flow.

    Attributes:
        index: Position in the file.
        name: Name in the file.
        tensors: Its tensors.
        operators: Its operators in order of execution.
        inputs: Indices of tensors.
        outputs: Likewise.
    """

    index: int
    name: str
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def input_tensors(self, operator: Operator) -> list[Tensor]:
        """Tensors that an operator reads, left-out ones left out."""
        return [self.tensors[index] for index in operator.inputs if index >= 0]

    def output_tensors(self, operator: Operator) -> list[Tensor]:
        """Tensors that it writes."""
        return [self.tensors[index] for index in operator.outputs if index >= 0]

    @functools.cached_property
    def producers(self) -> Mapping[int, Operator]:
        """The operator that writes each tensor, by the tensor's index."""
        return {index: operator for operator in self.operators for index in operator.outputs}

    @functools.cached_property
    def consumers(self) -> Mapping[int, tuple[Operator, ...]]:
        """The operators that read each tensor, by the tensor's index."""
        readers: dict[int, tuple[Operator, ...]] = {}
        for operator in self.operators:
            for index in dict.fromkeys(operator.inputs):
                readers[index] = (*readers.get(index, ()), operator)
        return readers

    @functools.cached_property
    def constants(self) -> frozenset[int]:
        """Tensors that the file holds, and those that operators make of them alone.

        Runtimes compute the latter before the first inference, if at all: a kernel may read the
        weights as they are stored.
        """
        known = {tensor.index for tensor in self.tensors if tensor.is_constant}
        for operator in self.operators:
            read = [index for index in operator.inputs if index >= 0]
            if read and known.issuperset(read):
                known.update(operator.outputs)
        return frozenset(known)


@dataclasses.dataclass(frozen=True)
class Signature:
    """Names of an entry point's inputs and outputs.

    Attributes:
        key: Name of the entry point.
        subgraph: Index of its subgraph.
        inputs: Indices of tensors by name.
        outputs: Likewise.
    """

    key: str
    subgraph: int
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]


@dataclasses.dataclass(frozen=True, eq=False)
class Graph:
    """What a .tflite file holds.

    Attributes:
        source: Path it was read from, or the number of bytes.
        size_bytes: Size of the file.
        description: What the converter wrote of itself.
        subgraphs: The graphs; the first is the model.
        signatures: Entry points with names.
        metadata: Named byte strings.
    """

    source: str
    size_bytes: int
    description: str
    subgraphs: tuple[Subgraph, ...]
    signatures: tuple[Signature, ...]
    metadata: Mapping[str, bytes]

    @property
    def main(self) -> Subgraph:
        """The model itself."""
        return self.subgraphs[0]

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Tensors of the model itself."""
        return self.main.tensors

    @property
    def operators(self) -> tuple[Operator, ...]:
        """Operators of the model itself."""
        return self.main.operators

    @property
    def inputs(self) -> list[Tensor]:
        """Inputs of the model itself."""
        return [self.tensors[index] for index in self.main.inputs]

    @property
    def outputs(self) -> list[Tensor]:
        """Outputs of the model itself."""
        return [self.tensors[index] for index in self.main.outputs]


def _bits(dtype):
    return _BITS.get(dtype) or 8 * _numpy_type(dtype).itemsize


def _numpy_type(dtype):
    return np.dtype(_EXTENDED_TYPES.get(dtype, dtype))


def _unpack(content, dtype, elements):
    """Codes of less than 8 bits, the first in the lowest bits, one per byte."""
    bits = _bits(dtype)
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    codes = (content[:, None] >> shifts & (2**bits - 1)).reshape(-1)[:elements]
    if dtype.startswith("u"):
        return codes
    # The highest of the bits is the sign.
    return ((codes.astype(np.int8) ^ (1 << bits - 1)) - (1 << bits - 1)).astype(np.int8)
