"""Which function writes an operator of the file on primitives, and what it is given."""

import dataclasses
import math
from collections.abc import Callable

import keras
import numpy as np

from care_keras.deploy.builder import Builder
from care_keras.deploy.keras_layers.activations import lower_activation
from care_keras.deploy.lift.values import Value, with_batch_at
from care_keras.deploy.lowering import Affine, NoPrimitiveError
from care_keras.tflite_file import Operator

# More than a shape, or the sizes that a tensor is split into.
_MOST_INTEGERS = 1 << 16

# By the operator's name in TFLite's schema; of a custom one by its label, `"CUSTOM:NAME"`.
LIFTS: dict[str, Callable] = {}


def lifts(*operators: str) -> Callable:
    """Registers how operators become primitives.

    The function takes a `Call` and returns a `Value`, or a list of one for
    each output; a `NoPrimitiveError` says what of the operator has no
    primitives.
    """

    def register(function):
        LIFTS.update(dict.fromkeys(operators, function))
        return function

    return register


_ACTIVATIONS = {
    "NONE": keras.activations.linear,
    "RELU": keras.activations.relu,
    "RELU6": keras.activations.relu6,
    "RELU_N1_TO_1": keras.activations.hard_tanh,
    "TANH": keras.activations.tanh,
}


@dataclasses.dataclass(frozen=True, eq=False)
class Call:
    """One operator of the file and what it reads.

    Attributes:
        build: Adds primitives.
        operator: Of the file.
        name: Of its first output, as Keras takes it.
        inputs: Values and constants; `None` for one that is left out.
        readers: The operators that read its first output; `None` if the model
            returns that.
        open_batch: Whether the file computes batches of any size.
        charge: Counts bytes of weights, which a file's size bounds.
    """

    build: Builder
    operator: Operator
    name: str
    inputs: tuple[Value | np.ndarray | None, ...]
    readers: tuple[Operator, ...] | None
    open_batch: bool
    charge: Callable[[int], None]

    def has(self, place: int) -> bool:
        """Whether it has an input."""
        return place < len(self.inputs) and self.inputs[place] is not None

    def input(self, place: int) -> Value | np.ndarray:
        """What it reads."""
        if not self.has(place):
            raise NoPrimitiveError(f"without input {place}")
        return self.inputs[place]

    def value(self, place: int = 0) -> Value:
        """An input that is computed."""
        x = self.input(place)
        if not isinstance(x, Value):
            raise NoPrimitiveError(f"with a constant for input {place}")
        return x

    def values(self) -> list[Value]:
        """All inputs, which are computed."""
        return [self.value(place) for place in range(len(self.inputs))]

    def constant(self, place: int) -> np.ndarray:
        """An input that is constant."""
        x = self.input(place)
        if isinstance(x, Value):
            raise NoPrimitiveError(f"with a computed input {place}")
        return x

    def weights(self, place: int, rank: int | None = None) -> np.ndarray:
        """A constant of numbers of the network, float64."""
        x = self.constant(place)
        # NumPy calls bfloat16 void.
        if x.dtype.kind not in "fV":
            raise NoPrimitiveError(f"with {x.dtype} for input {place}")
        if rank is not None and x.ndim != rank:
            raise NoPrimitiveError(f"with weights of {x.ndim} axes")
        self.charge(4 * x.size)
        with np.errstate(invalid="ignore"):  # Of a signalling NaN.
            values = x.astype(np.float64)
        if np.isnan(values).any():
            raise NoPrimitiveError(f"with NaN in input {place}")
        return values

    def integers(self, place: int) -> list[int | None]:
        """A constant of whole numbers: sizes, axes, places; `None` for a size that is open."""
        return integers(self.constant(place))

    def bias(self, place: int, channels: int) -> np.ndarray:
        """A bias; zeros if it is left out."""
        if not self.has(place):
            return np.zeros(channels)
        bias = self.weights(place).reshape(-1)
        if len(bias) != channels:
            raise NoPrimitiveError(f"with a bias of {len(bias)} for {channels} channels")
        return bias

    def option(self, name: str, default: object = 0) -> object:
        """An option by its name in TFLite's schema."""
        value = self.operator.options.get(name)
        return default if value is None else value

    def counts(self, *names: str) -> tuple[int, ...]:
        """Options that are sizes or steps, positive."""
        values = tuple(self.option(name, 1) for name in names)
        if not all(isinstance(value, int) and value > 0 for value in values):
            raise NoPrimitiveError(f"with {names} of {values}")
        return values

    def padding(self) -> str:
        """Keras's name of a convolution's padding."""
        return {"SAME": "same", "VALID": "valid"}[self.option("padding", "SAME")]

    def tensor(self, place: int = 0) -> keras.KerasTensor:
        """An input as a tensor, its batch wherever it is."""
        return self.build.tensor(self.value(place).tensor)

    def images(self, place: int = 0) -> Value:
        """An input of maps: its batch is the first of four axes."""
        x = self.value(place)
        if len(x.shape) != 4:
            raise NoPrimitiveError(f"on a tensor of shape {list(x.shape)}")
        return with_batch_at(self.build, x, 0, self.name)

    def last_axis(self, place: int = 0, axes: int = 1) -> Value:
        """An input whose last axes are not the batch's."""
        x = self.value(place)
        if len(x.shape) < axes:
            raise NoPrimitiveError(f"on a tensor of shape {list(x.shape)}")
        inside = x.axis is not None and x.axis >= len(x.shape) - axes
        return with_batch_at(self.build, x, None, self.name) if inside else x

    def like(self, x: Value, tensor) -> Value:
        """A value of new numbers whose batch is where that of `x` is."""
        return Value(tensor, x.axis)

    def finish(self, tensor: keras.KerasTensor | Affine, axis: int | None) -> Value:
        """What the operator has computed, with the activation that is fused into it.

        Args:
            tensor: From a primitive of its own.
            axis: The batch's of the result.
        """
        kind = self.option("fused_activation_function", "NONE")
        if kind not in _ACTIVATIONS:
            raise NoPrimitiveError(f"with {kind}")
        if kind != "NONE":
            tensor = self.build.tensor(tensor)
            tensor = lower_activation(self.build, _ACTIVATIONS[kind], tensor, self.name)
        return Value(tensor, axis)


def integers(array: np.ndarray) -> list[int | None]:
    """Whole numbers of a constant; `None` where one is open."""
    values = array.reshape(-1)[: _MOST_INTEGERS + 1].tolist()
    if len(values) > _MOST_INTEGERS or not all(
        value is None or isinstance(value, int) for value in values
    ):
        raise NoPrimitiveError("with numbers that are not whole")
    return values


def product(sizes) -> int:
    """How many numbers there are.

    Raises:
        NoPrimitiveError: If that is open.
    """
    if None in sizes:
        raise NoPrimitiveError("of a size that is known only when it runs")
    return math.prod(sizes)
