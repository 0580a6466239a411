"""The base of all primitives."""

from collections.abc import Iterable
from typing import ClassVar

import keras

from care_keras.primitives.int8 import Int8, Output


class Primitive(keras.layers.Layer):
    """One operation of TFLite as a layer; `int8` says what int8 means for it.

    By default the output has the shape of the input. A class that takes its
    place in the quantized form names it: `class QuantizedConv2D(Conv2D,
    quantizes=Conv2D)`.

    Attributes:
        int8: Its row in the table of operations.
    """

    int8: ClassVar[Int8] = Int8()

    def __init_subclass__(cls, quantizes: type | None = None, **kwargs):
        super().__init_subclass__(**kwargs)
        if quantizes is not None:
            quantizes._quantized = cls

    @classmethod
    def quantized(cls) -> type["Primitive"]:
        """The class that takes its place in the quantized form: itself unless one says so."""
        # A subclass computes something else, so that it inherits no such class.
        return vars(cls).get("_quantized", cls)

    @property
    def keeps_values(self) -> bool:
        """Whether its output is quantized as its input is."""
        return self.int8.output is Output.LIKE_INPUT

    @property
    def takes_integers(self) -> bool:
        """Whether it moves int32 places as it moves numbers."""
        return "int32" in self.int8.precisions

    def check_integers(self, dtypes: Iterable[object]) -> None:
        """Refuses inputs of these types: int32 places are moved, and nothing is computed of them.

        Raises:
            ValueError: If one is int32, and this is no move.
        """
        if not self.takes_integers and any(str(dtype) == "int32" for dtype in dtypes):
            raise ValueError(
                "Places, as ArgMax gives them, can be reshaped, permuted and cut out, and "
                f"nothing else is computed of them. Received: {self.name!r} ({type(self).__name__})"
            )

    def compute_output_shape(self, input_shape) -> tuple:
        return input_shape
