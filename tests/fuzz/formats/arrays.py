"""Archives of arrays: checkpoints of a training, and examples to calibrate with."""

import io
import tempfile

import numpy as np

from care_keras.convert.examples import InputSpec, read_arrays
from care_keras.training.run.checkpoint import (
    Checkpoint,
    CheckpointFolder,
    Position,
    read_checkpoint,
)
from tests.fuzz.formats import Format
from tests.fuzz.mutate import arrays

_SPECS = [InputSpec("images", (4, 4, 3), "float32", None), InputSpec("age", (1,), "float32", None)]


def _checkpoints():
    state = {
        "model/00000/kernel": np.ones((3, 4), np.float32),
        "optimizer/00000/iteration": np.asarray(7),
        "random/torch": np.arange(9, dtype=np.uint8),
    }
    checkpoint = Checkpoint(Position(1, 2), state, {"best": {"epoch": 1, "accuracy": 0.5}})
    with tempfile.TemporaryDirectory() as folder:
        return {"checkpoint": CheckpointFolder(folder).write(checkpoint).read_bytes()}


def _examples():
    several, packed = io.BytesIO(), io.BytesIO()
    images = np.zeros((2, 4, 4, 3), np.float32)
    np.savez(several, images=images, age=np.ones((2, 1)))
    np.savez_compressed(packed, images=images.astype(np.uint8), other=np.arange(3))
    return {"several": several.getvalue(), "packed": packed.getvalue()}


def _read_checkpoint(path):
    found = read_checkpoint(path)
    assert isinstance(found.position.epoch, int) and isinstance(found.notes, dict), found


def _read_examples(path):
    for array in read_arrays(str(path), _SPECS).values():
        assert array.dtype.kind in "fiub" and len(array)


FORMATS = {
    "checkpoints": Format(
        ".npz", _checkpoints, arrays.mutate_npz, _read_checkpoint, names_file=False
    ),
    "examples": Format(".npz", _examples, arrays.mutate_npz, _read_examples),
}
