"""A .tflite file in the making: tensors, operators, and the bytes in the end.

Schema: TensorFlow's tensorflow/lite/schema/schema.fbs, as `ai-edge-litert`
ships it.
"""

import dataclasses
from collections.abc import Mapping

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from care_keras.files import first_line

_TYPES = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.float16): schema.TensorType.FLOAT16,
    np.dtype(np.int8): schema.TensorType.INT8,
    np.dtype(np.uint8): schema.TensorType.UINT8,
    np.dtype(np.int16): schema.TensorType.INT16,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.int64): schema.TensorType.INT64,
    np.dtype(np.bool_): schema.TensorType.BOOL,
}
# The alignment that runtimes map weights with.
_BUFFER_ALIGNMENT = 16


@dataclasses.dataclass(frozen=True)
class Quantization:
    """Affine quantization: `real = scale * (code - zero_point)`.

    Attributes:
        scales: float32 steps, one, or one for each channel.
        zero_point: Code of the real value 0.
        axis: Axis of the channels, where there is a step for each.
    """

    scales: np.ndarray
    zero_point: int = 0
    axis: int = 0

    @property
    def scale(self) -> np.float32:
        """The step of a tensor that has one."""
        return np.float32(self.scales.reshape(-1)[0])


@dataclasses.dataclass(frozen=True)
class TensorHandle:
    """A tensor of the file.

    Attributes:
        index: Its index in the subgraph.
        shape: Its shape.
        dtype: Its NumPy type.
        quantization: Its parameters, or `None`.
    """

    index: int
    shape: tuple[int, ...]
    dtype: np.dtype
    quantization: Quantization | None = None


class _AlignedBuffer(schema.BufferT):
    """A buffer whose bytes start at a multiple of 16; one that was read packs them anywhere."""

    def __init__(self, buffer: schema.BufferT):
        super().__init__()
        self.data = buffer.data

    def Pack(self, builder: flatbuffers.Builder) -> int:
        content = self.data.tobytes()
        builder.StartVector(1, len(content), _BUFFER_ALIGNMENT)
        builder.head -= len(content)
        builder.Bytes[builder.head : builder.head + len(content)] = content
        data = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, data)
        return schema.BufferEnd(builder)


class Writer:
    """Collects tensors and operators of one subgraph.

    Args:
        description: What wrote the file.
    """

    def __init__(self, description: str):
        self._description = description
        self._buffers = [schema.BufferT()]
        self._tensors = []
        self._operators = []
        self._codes = {}
        self._constants = {}

    def tensor(self, name, shape, dtype, quantization=None, data=None) -> TensorHandle:
        """Adds a tensor; with `data` it is a constant."""
        dtype = np.dtype(dtype)
        tensor = schema.TensorT()
        tensor.name = name.encode()
        tensor.shape = np.asarray(shape, np.int32)
        tensor.type = _TYPES[dtype]
        tensor.buffer = 0
        tensor.quantization = _packed(quantization)
        if data is not None:
            self._buffers.append(_buffer(np.ascontiguousarray(data, dtype)))
            tensor.buffer = len(self._buffers) - 1
        self._tensors.append(tensor)
        return TensorHandle(len(self._tensors) - 1, tuple(shape), dtype, quantization)

    def constant(self, name, data, quantization=None) -> TensorHandle:
        """Adds a constant; one that is there already, integers of no name, is used again."""
        if quantization is None and data.dtype == np.int32:
            key = (data.shape, data.tobytes())
            if key not in self._constants:
                self._constants[key] = self.tensor(name, data.shape, data.dtype, None, data)
            return self._constants[key]
        return self.tensor(name, data.shape, data.dtype, quantization, data)

    def operator(self, name, version, inputs, output, options=None) -> TensorHandle:
        """Adds an operator.

        Args:
            name: Of `BuiltinOperator`: `"CONV_2D"`.
            version: Version of the operator that the types need.
            inputs: Handles.
            output: Handle.
            options: A `...OptionsT` of the schema.

        Returns:
            `output`.
        """
        operator = schema.OperatorT()
        key = (getattr(schema.BuiltinOperator, name), version)
        operator.opcodeIndex = self._codes.setdefault(key, len(self._codes))
        operator.inputs = np.asarray([handle.index for handle in inputs], np.int32)
        operator.outputs = np.asarray([output.index], np.int32)
        if options is not None:
            kind = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
            operator.builtinOptions = options
        self._operators.append(operator)
        return output

    def finish(self, inputs, outputs, metadata: Mapping[str, bytes] | None = None) -> bytes:
        """The file.

        Args:
            inputs: Dict of signature names to handles.
            outputs: Likewise.
            metadata: Contents of the file's metadata by their names.
        """
        self._leave_out_unused(inputs, outputs)
        model = schema.ModelT()
        model.version = 3
        model.description = self._description
        model.operatorCodes = [_operator_code(*key) for key in self._codes]
        subgraph = schema.SubGraphT()
        subgraph.name = "main"
        subgraph.tensors = self._tensors
        subgraph.operators = self._operators
        subgraph.inputs = self._places(inputs)
        subgraph.outputs = self._places(outputs)
        model.subgraphs = [subgraph]
        signature = schema.SignatureDefT()
        signature.signatureKey = "serving_default"
        signature.subgraphIndex = 0
        signature.inputs = self._tensor_maps(inputs)
        signature.outputs = self._tensor_maps(outputs)
        model.signatureDefs = [signature]
        model.metadata = []
        model.buffers = self._buffers
        for name, content in (metadata or {}).items():
            add_metadata(model, name, content)
        return pack(model)

    def _leave_out_unused(self, inputs, outputs):
        """Removes operators whose outputs nothing reads, and tensors that are in none."""
        read = {handle.index for handle in outputs.values()}
        kept = []
        for operator in reversed(self._operators):
            if read & set(operator.outputs.tolist()):
                kept.append(operator)
                read |= set(operator.inputs.tolist())
        self._operators = kept[::-1]
        used = sorted(read | {handle.index for handle in inputs.values()})
        self._place = {index: place for place, index in enumerate(used)}
        self._tensors = [self._tensors[index] for index in used]
        for operator in self._operators:
            for name in ("inputs", "outputs"):
                places = [self._place[index] for index in getattr(operator, name).tolist()]
                setattr(operator, name, np.asarray(places, np.int32))

    def _places(self, handles):
        return np.asarray([self._place[handle.index] for handle in handles.values()], np.int32)

    def _tensor_maps(self, handles):
        maps = []
        for name, handle in handles.items():
            entry = schema.TensorMapT()
            entry.name = name
            entry.tensorIndex = self._place[handle.index]
            maps.append(entry)
        return maps


def _buffer(data):
    buffer = schema.BufferT()
    buffer.data = data
    return buffer


def add_metadata(model: schema.ModelT, name: str, content: bytes) -> None:
    """Adds a named content to a model's metadata."""
    entry = schema.MetadataT()
    entry.name = name
    model.buffers.append(_buffer(np.frombuffer(content, np.uint8)))
    entry.buffer = len(model.buffers) - 1
    model.metadata.append(entry)


def unpack(content: bytes) -> schema.ModelT:
    """A file's tables, to be changed and packed again.

    Raises:
        ValueError: If one is damaged, of those too that `read_graph` does not read.
    """
    try:
        return schema.ModelT.InitFromPackedBuf(content, 0)
    # The reader of flatbuffers follows whatever a damaged offset leads to.
    except Exception as error:
        raise ValueError(
            f"The file is truncated or corrupt: {first_line(error)}. Received: {len(content)} bytes"
        ) from error


def pack(model: schema.ModelT) -> bytes:
    """The file of a model, each buffer aligned."""
    model.buffers = [x if x.data is None else _AlignedBuffer(x) for x in model.buffers]
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _packed(quantization):
    if quantization is None:
        return None
    packed = schema.QuantizationParametersT()
    packed.scale = np.asarray(quantization.scales, np.float32).reshape(-1)
    packed.zeroPoint = np.full(packed.scale.shape, quantization.zero_point, np.int64)
    packed.quantizedDimension = quantization.axis
    return packed


def _operator_code(builtin, version):
    code = schema.OperatorCodeT()
    # Runtimes of before 2020 read the byte, later ones the larger of both.
    code.deprecatedBuiltinCode = min(builtin, 127)
    code.builtinCode = builtin
    code.version = version
    return code
