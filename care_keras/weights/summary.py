"""What was taken from a checkpoint."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class ImportSummary:
    """What an import did.

    Attributes:
        arrays: Number of arrays taken from the checkpoint.
        parameters: Trainable entries in them.
        statistics: BatchNorm's moving statistics in them.
        new_heads: Whether the heads were left as they were initialised.
    """

    arrays: int
    parameters: int
    statistics: int
    new_heads: bool
