"""What int8 means for an operation, as data.

Quantization, calibration, emission and reports read this table and know no
class of operation by itself.
"""

import dataclasses
import enum
from collections.abc import Callable

import numpy as np


class Output(enum.Enum):
    """How the output of an operation is quantized.

    Attributes:
        OWN: With a range of its own, which calibration finds.
        LIKE_INPUT: As its first input is: its numbers are some of that one's,
            or lie between them.
        INTEGER: Not at all, as it is int32: places, of which nothing is computed.
        NONE: Not at all: TFLite has no int8 kernel that is safe to use.
    """

    OWN = enum.auto()
    LIKE_INPUT = enum.auto()
    INTEGER = enum.auto()
    NONE = enum.auto()


@dataclasses.dataclass(frozen=True)
class Fixed:
    """The one quantization of its output that a kernel knows."""

    scale: float
    zero_point: int


@dataclasses.dataclass(frozen=True)
class CodeFunction:
    """A function of one number whose int8 kernel does not round as real arithmetic does.

    Attributes:
        exact: The function on float64 arrays of positive numbers.
        codes: What the kernel makes of every code: a function of scale and
            zero point of the input and of the output that gives int8
            `(256,)`, that of the code -128 first.
    """

    exact: Callable[[np.ndarray], np.ndarray]
    codes: Callable[[np.float32, int, np.float32, int], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Int8:
    """What int8 means for one operation.

    Attributes:
        output: How its output is quantized.
        interpolates: Whether an output that is quantized like the input lies
            between its codes, so that it is rounded anew.
        joins_inputs: Whether all inputs, and not the first alone, are
            quantized alike.
        precisions: What it can compute in besides float32; `"int32"` of what
            moves places.
        symmetric_inputs: Places of inputs whose code of 0 must be 0.
        relative: Whether relative errors count in its input and output, as
            of a divisor.
        left_out: Whether the quantized form goes without it.
        term_steps: Step of an input, at least and at most, in steps of the
            output; `None` if any will do.
        shares_float: Whether its input must be computed in float32 where it is.
        function: Of a kernel that works on integers in its own way.
    """

    output: Output | Fixed = Output.OWN
    interpolates: bool = False
    joins_inputs: bool = False
    precisions: tuple[str, ...] = ("int8",)
    symmetric_inputs: tuple[int, ...] = ()
    relative: bool = False
    left_out: bool = False
    term_steps: tuple[float, float] | None = None
    shares_float: bool = False
    function: CodeFunction | None = None
