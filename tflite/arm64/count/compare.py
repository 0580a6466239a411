"""Two runs of counting, against each other."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from tflite.arm64.count.instructions import Counts
from tflite.arm64.count.records import Record

# What is held: a class may grow where another shrinks by more.
HELD: Mapping[str, Callable[[Counts], int]] = {
    "total": lambda counts: counts.total,
    "vector arithmetic": lambda counts: counts.arithmetic,
    "vector loads and stores": lambda counts: counts.memory,
}


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One figure of one file before and after.

    Attributes:
        name: Of the file, runtime and core.
        figure: A name of `HELD`.
        before: Instructions.
        after: Likewise.
    """

    name: str
    figure: str
    before: int
    after: int

    @property
    def growth(self) -> float:
        """By how much it grew, in shares: 0.01 is 1 %."""
        if self.before:
            return self.after / self.before - 1
        return float("inf") if self.after else 0.0


def compare(before: Sequence[Record], after: Sequence[Record]) -> list[Comparison]:
    """All figures that both runs have, in the order of the second.

    Raises:
        ValueError: If they have no file, runtime and core in common.
    """
    old = {record.name: record for record in before}
    found = [
        Comparison(record.name, figure, read(old[record.name].counts), read(record.counts))
        for record in after
        if record.name in old
        for figure, read in HELD.items()
    ]
    if not found:
        raise ValueError(
            "The two runs have no file, runtime and core in common. "
            f"Received: {'; '.join(old) or 'nothing'} before, "
            f"{'; '.join(record.name for record in after) or 'nothing'} after"
        )
    return found
