"""Published PyTorch checkpoints -> Keras; `python -m care_keras.weights` is its command."""

from care_keras.weights.checkpoint import load_checkpoint
from care_keras.weights.importer import (
    ImportSummary,
    import_checkpoint,
    import_weights,
)
from care_keras.weights.names import Entry, checkpoint_entries

__all__ = [
    "Entry",
    "ImportSummary",
    "checkpoint_entries",
    "import_checkpoint",
    "import_weights",
    "load_checkpoint",
]
