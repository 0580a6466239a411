"""One operation of a .tflite file, and who knows how to compute it."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import NoReturn

import numpy as np

from care_keras.reference.fixed_point import round_half_away
from care_keras.tflite_file.records import Tensor

# Name of an operation -> function of an `Operation` that returns what computes it: a function of
# the arrays of its computed inputs, in their order, that returns the output's array.
KERNELS: dict[str, Callable] = {}

# Ends of the codes, by the name of their type.
CODE_LIMITS = {"int8": (-128, 127), "uint8": (0, 255)}
# What a fused activation lets through, as real numbers.
ACTIVATIONS = {
    "NONE": (None, None),
    "RELU": (0.0, None),
    "RELU6": (0.0, 6.0),
    "RELU_N1_TO_1": (-1.0, 1.0),
}


def kernel(*names: str) -> Callable:
    """Registers a function for operations of these names."""

    def register(function):
        KERNELS.update(dict.fromkeys(names, function))
        return function

    return register


@dataclasses.dataclass(frozen=True, eq=False)
class Operation:
    """An operation with the tensors it works on.

    Attributes:
        name: `"CONV_2D"`.
        options: As `care_keras.tflite_file` reads them.
        inputs: Tensors; `None` for one that is left out.
        outputs: Tensors.
    """

    name: str
    options: Mapping[str, object]
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]

    @property
    def output(self) -> Tensor:
        """The first output."""
        return self.outputs[0]

    def refuse(self, reason: str) -> NoReturn:
        """Ends with a line that names the operation.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            f"{self.name} cannot be computed in integers as LiteRT does it: {reason}. "
            f"Received: the operation of {self.output.name!r}"
        )

    def constant(self, index: int) -> np.ndarray:
        """The value of an input that must be a constant."""
        tensor = self.inputs[index]
        if not tensor.is_constant:
            self.refuse(f"its input {index} is no constant")
        return tensor.data

    def operands(self, arrays: tuple[np.ndarray, ...]) -> list[np.ndarray]:
        """All inputs: those that are computed, as they are given, and the constants."""
        given = iter(arrays)
        return [x.data if x.is_constant else next(given) for x in self.inputs]

    def scale(self, tensor: Tensor) -> np.float32:
        """The step of an 8-bit tensor that has one."""
        self._check_codes(tensor)
        return np.float32(tensor.scales[0])

    def zero_point(self, tensor: Tensor) -> int:
        """The code of 0 in such a tensor."""
        self._check_codes(tensor)
        return tensor.zero_points[0]

    def _check_codes(self, tensor):
        if tensor.dtype not in CODE_LIMITS or len(tensor.scales) != 1 != len(tensor.zero_points):
            self.refuse(
                f"{tensor.name!r} ({tensor.dtype}, {len(tensor.scales)} steps) is no 8-bit tensor "
                "with one step"
            )

    def check_int8(self, *tensors: Tensor) -> None:
        """Refuses tensors that hold something else."""
        for tensor in tensors:
            if tensor.dtype != "int8":
                self.refuse(f"{tensor.name!r} holds {tensor.dtype}, not int8")

    def check_same_codes(self) -> None:
        """Refuses to move codes between tensors where they mean different numbers."""
        computed = [tensor for tensor in self.inputs if not _holds_numbers_of_the_graph(tensor)]
        kinds = {(x.dtype, x.scales, x.zero_points) for x in (*computed, *self.outputs)}
        if len(kinds) != 1:
            self.refuse("its tensors differ in type, step or zero point")

    def output_limits(self) -> tuple[int, int]:
        """The lowest and the highest code that the fused activation leaves.

        XNNPACK's `xnn_qs8_quantize` (src/xnnpack/requantization.h).
        """
        scale, zero_point = self.scale(self.output), np.float32(self.zero_point(self.output))
        ends = CODE_LIMITS[self.output.dtype]
        return self._limits(
            lambda value: int(np.rint(np.clip(np.float32(value) / scale + zero_point, *ends)))
        )

    def output_limits_of_litert(self) -> tuple[int, int]:
        """The same where LiteRT's own kernel computes it, which rounds halves away from 0.

        `CalculateActivationRangeQuantized` (tflite/kernels/kernel_util.cc).
        """
        scale, zero_point = self.scale(self.output), self.zero_point(self.output)
        low, high = CODE_LIMITS[self.output.dtype]

        def code(value):
            steps = int(round_half_away(np.float32(value) / scale))
            return min(max(zero_point + steps, low), high)

        return self._limits(code)

    def _limits(self, code):
        name = self.options.get("fused_activation_function", "NONE")
        if name not in ACTIVATIONS:
            self.refuse(f"its activation {name} is not known")
        ends = CODE_LIMITS[self.output.dtype]
        low, high = (
            end if value is None else code(value)
            for end, value in zip(ends, ACTIVATIONS[name], strict=True)
        )
        if low >= high:
            self.refuse(f"its activation {name} leaves one code")
        return low, high


def _holds_numbers_of_the_graph(tensor):
    """Whether a tensor says how codes are moved: a shape, axes, a permutation."""
    return tensor is None or tensor.dtype in ("int32", "int64")
