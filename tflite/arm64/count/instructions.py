"""Numbers of executed instructions by class."""

import dataclasses
from collections.abc import Mapping

# In the order of `instruction_classes.h`.
CLASSES = (
    "dot",
    "matrix",
    "fmla",
    "multiply_long",
    "other_vector",
    "vector_load",
    "vector_store",
    "scalable",
    "scalar",
)
_ARITHMETIC = CLASSES[:5]
_MEMORY = ("vector_load", "vector_store")


@dataclasses.dataclass(frozen=True)
class Counts:
    """Executed instructions.

    Attributes:
        by_class: How many of each of `CLASSES`.
    """

    by_class: Mapping[str, int]

    @classmethod
    def of_line(cls, line: str) -> "Counts":
        """Reads what the plugin writes: a number for each class."""
        return cls(dict(zip(CLASSES, map(int, line.split()), strict=True)))

    @property
    def arithmetic(self) -> int:
        """Those that compute in the vector unit, scalable vectors (SVE, SME) apart."""
        return sum(self.by_class[name] for name in _ARITHMETIC)

    @property
    def memory(self) -> int:
        """Loads and stores of vector registers."""
        return sum(self.by_class[name] for name in _MEMORY)

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.by_class.values())

    def __add__(self, other: "Counts") -> "Counts":
        return Counts({name: self.by_class[name] + other.by_class[name] for name in CLASSES})

    def __sub__(self, other: "Counts") -> "Counts":
        return Counts({name: self.by_class[name] - other.by_class[name] for name in CLASSES})
