"""Inputs and outputs of a .tflite file: what they hold, and what they are called.

It imports NumPy alone: workers use it where there is no more (see `tflite.child.serve`).
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from care_keras.tflite_file import Graph, Tensor


@dataclasses.dataclass(frozen=True)
class TensorInfo:
    """A tensor of a .tflite file.

    Attributes:
        name: Name in the file.
        shape: Shape it was opened with.
        dtype: NumPy type.
        scale: Quantization step, 0.0 for a float tensor or one with a step per channel.
        zero_point: Code of the real value 0.
        index: Position in the main graph, where it is of a file.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    scale: float
    zero_point: int
    index: int | None = dataclasses.field(default=None, compare=False)

    @classmethod
    def of_details(cls, details: Mapping) -> "TensorInfo":
        """From what LiteRT tells of a tensor."""
        scale, zero_point = details["quantization"]
        return cls(
            details["name"],
            tuple(int(size) for size in details["shape"]),
            np.dtype(details["dtype"]),
            float(scale),
            int(zero_point),
            int(details["index"]),
        )

    @classmethod
    def of_tensor(cls, tensor: "Tensor") -> "TensorInfo":
        """From what is read from the file itself, with its placeholders for open sizes."""
        quantized = len(tensor.scales) == 1
        return cls(
            tensor.name,
            tensor.shape,
            np.dtype(np.bytes_ if tensor.dtype == "string" else tensor.dtype),
            float(tensor.scales[0]) if quantized else 0.0,
            int(tensor.zero_points[0]) if quantized and tensor.zero_points else 0,
            tensor.index,
        )

    @property
    def is_classes(self) -> bool:
        """Whether it holds plain integers, as of classes that were picked, and no codes."""
        return self.dtype in (np.int32, np.int64) and not self.scale

    def quantize(self, values: np.ndarray) -> np.ndarray:
        """Real values as this tensor holds them (rounded and clipped codes if quantized)."""
        if not self.scale:
            return values.astype(self.dtype)
        limits = np.iinfo(self.dtype)
        with np.errstate(over="ignore"):  # What is beyond float32 is clipped as the rest is.
            codes = np.rint(values / self.scale) + self.zero_point
        return np.clip(codes, limits.min, limits.max).astype(self.dtype)

    def dequantize(self, codes: np.ndarray) -> np.ndarray:
        """What the tensor holds as float32 real values."""
        if not self.scale:
            return codes.astype(np.float32)
        return ((codes.astype(np.float32) - self.zero_point) * self.scale).astype(np.float32)

    def __str__(self) -> str:
        return f"{self.dtype.name} {'x'.join(map(str, self.shape)) or 'scalar'}"


def by_name(tensors: Iterable[TensorInfo], signature: Mapping[str, int]) -> dict[str, TensorInfo]:
    """Tensors by their names in a signature, or where it has none by their own.

    Args:
        tensors: Inputs or outputs, in the file's order, which is kept.
        signature: Indices by name.
    """
    tensors = list(tensors)
    short = [short_name(tensor.name) for tensor in tensors]
    whole = [tensor.name for tensor in tensors]
    named = {}
    for own, tensor in zip(short, tensors, strict=True):
        if not own or short.count(own) > 1:
            own = tensor.name
            if not own or whole.count(own) > 1:
                own = f"{own}:{tensor.index}"
        names = [name for name, index in signature.items() if index == tensor.index]
        named.update(dict.fromkeys(names or [own], tensor))
    return named


def asked_shapes(given: Mapping[str, list[int]], inputs: Mapping[str, str]) -> dict[str, list[int]]:
    """What --input_shape asks for, by the inputs' names.

    Args:
        given: Shapes by name, which may be the tensor's own as well; `""` is a lone input.
        inputs: Names of the tensors, by the inputs' names.

    Raises:
        ValueError: If there is no such input, or it is not said which.
    """
    if "" in given and len(inputs) > 1:
        raise ValueError(
            f"The model has {len(inputs)} inputs: say which with --input_shape=NAME=SHAPE. "
            f"Received: inputs {', '.join(inputs)}"
        )
    names = {short_name(own): name for name, own in inputs.items()}
    names |= {own: name for name, own in inputs.items()} | {name: name for name in inputs}
    names |= dict.fromkeys([""], next(iter(inputs), ""))
    unknown = given.keys() - names.keys()
    if unknown:
        raise ValueError(
            f"The model has no such input; it has {', '.join(inputs)}. "
            f"Received: --input_shape for {', '.join(sorted(unknown))}"
        )
    return {names[name]: shape for name, shape in given.items()}


def short_name(tensor: str) -> str:
    """`"serving_default_images:0"`, as TensorFlow's converter names it -> `"images"`."""
    return re.sub(r"^serving_default_|:\d+$", "", tensor)


def inputs_of(graph: "Graph") -> dict[str, TensorInfo]:
    """Inputs by the names that `LiteRTFile` has for them, read from the file itself."""
    signature = _signature(graph)
    tensors = map(TensorInfo.of_tensor, graph.inputs)
    return by_name(tensors, signature.inputs if signature else {})


def outputs_of(graph: "Graph") -> dict[str, TensorInfo]:
    """Outputs, likewise."""
    signature = _signature(graph)
    tensors = map(TensorInfo.of_tensor, graph.outputs)
    return by_name(tensors, signature.outputs if signature else {})


def _signature(graph):
    return next((one for one in graph.signatures if one.subgraph == graph.main.index), None)
