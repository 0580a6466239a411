"""How layers become primitives: who lowers which, and what a lowering returns."""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np

# Class of a layer, or name of a class of Keras's own that it does not make public, as those of
# `keras.ops` -> what writes it on primitives.
LOWERINGS: dict[type | str, Callable] = {}

# What a subclass of a layer of Keras may have of its own without computing something else.
_HARMLESS = {"__init__", "build", "compute_output_shape", "compute_output_spec", "compute_mask"}
_HARMLESS |= {"get_config", "from_config", "get_build_config", "build_from_config"}


class NoPrimitiveError(Exception):
    """A lowering cannot write this configuration of its layer; its text says what of it."""


def lowers(
    *kinds: type | str,
    takes_affine: bool = False,
    takes_keywords: bool = False,
    takes_integers: bool = False,
) -> Callable:
    """Registers how operations of some classes, and of their subclasses, become primitives.

    A class of Keras's own that is not public goes by its name: `"Relu"` of
    `keras.ops.relu`. A subclass of a layer of Keras is none of these if it
    overrides what the layer computes.

    The function takes `(build, layer, inputs, rewrites)`: a `Builder`, the
    layer or operation, its symbolic input, and the `Rewrites` to make; it
    returns the symbolic output, or a structure of them. Of several inputs it
    gets a list, of an operation of `keras.ops` with the numbers among them.
    A primitive lowers to itself without any.

    A function that is marked `takes_affine` may get, and any may return, an
    `Affine` instead of a tensor. One that is marked `takes_keywords` gets the
    inputs of a call with keywords, as of masks, as a dict by the names of the
    parameters of `call`; to any other such a call is foreign. One that is
    marked `takes_integers` moves places, as `ArgMax` gives them, as it moves
    numbers.

    Example:
    ```python
    @lowers(keras.layers.ELU)
    def lower_elu(build, layer, x, rewrites):
        return build.add(primitives.Elu, x, layer.name)
    ```
    """

    def register(function):
        function.takes_affine = takes_affine
        function.takes_keywords = takes_keywords
        function.takes_integers = takes_integers
        LOWERINGS.update(dict.fromkeys(kinds, function))
        return function

    return register


def find_lowering(operation: keras.Operation) -> Callable | None:
    """What lowers an operation's class or its nearest base, or `None`.

    Raises:
        NoPrimitiveError: If the class overrides what that base computes.
    """
    kind = type(operation)
    for base in kind.__mro__:
        if base in LOWERINGS:
            _check_same_function(kind, base)
            return LOWERINGS[base]
    return LOWERINGS.get(kind.__name__) if is_of_keras(operation) else None


def is_of_keras(operation: keras.Operation, name: str | None = None) -> bool:
    """Whether a class is Keras's own, and has that name if one is given."""
    return _is_of_keras(type(operation)) and name in (None, type(operation).__name__)


def _is_of_keras(kind):
    return kind.__module__.split(".")[0] == "keras"


def _check_same_function(kind, base):
    """Refuses a class that computes something else than a layer of Keras that it is made from."""
    if not _is_of_keras(base):
        return
    for own in kind.__mro__[: kind.__mro__.index(base)]:
        changed = [
            name
            for name in vars(own)
            if callable(getattr(base, name, None)) and name not in _HARMLESS
            if name == "__call__" or not name.startswith("__")
        ]
        if changed and not _is_of_keras(own):
            raise NoPrimitiveError(f"{own.__name__} has a {changed[0]!r} of its own")


@dataclasses.dataclass(frozen=True, eq=False)
class Affine:
    """`scale * tensor + offset` for each channel, still to be computed or folded.

    Attributes:
        tensor: Its last axis are the channels.
        scale: float64 `(channels,)`.
        offset: Likewise.
        name: Of what it comes from.
    """

    tensor: keras.KerasTensor
    scale: np.ndarray
    offset: np.ndarray
    name: str

    def __post_init__(self):
        sizes = self.tensor.shape[1:]
        if sizes[-1] is None or (len(sizes) != 3 and sizes.count(None) > 1):
            raise NoPrimitiveError("more than one size of its input is open")

    def then(self, scale, offset, name) -> "Affine":
        """`scale * self + offset`."""
        return Affine(self.tensor, self.scale * scale, self.offset * scale + offset, name)


def as_affine(x: "keras.KerasTensor | Affine") -> Affine:
    """An affine map; of a tensor the one that changes nothing."""
    if isinstance(x, Affine):
        return x
    channels = x.shape[-1]
    return Affine(x, np.ones(channels), np.zeros(channels), "identity")


def shape_of(x: "keras.KerasTensor | Affine") -> tuple:
    """The shape of a tensor, or of what an affine map gives."""
    return (x.tensor if isinstance(x, Affine) else x).shape


def per_channel(channels: int | None, *factors: np.ndarray) -> list[np.ndarray] | None:
    """Arrays that are one number, or one for each channel, as `(channels,)`; `None` of others."""
    fit = channels is not None and all(
        x.size in (1, channels) and x.size == (x.shape or (1,))[-1] for x in factors
    )
    return [x.reshape(-1) * np.ones(channels) for x in factors] if fit else None


# What a lowering returns.
Lowered = keras.KerasTensor | Affine | list


def check_channels_last(layer) -> None:
    """Refuses the layout of GPUs.

    Raises:
        NoPrimitiveError: If channels come first.
    """
    if layer.data_format not in (None, "channels_last"):
        raise NoPrimitiveError("data_format='channels_first', and TFLite has channels last")
