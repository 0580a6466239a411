"""Checkpoints that survive a kill at any moment."""

import dataclasses
import json
import os
import pathlib
import re
import zipfile

import numpy as np

from care_keras.console.cli import UserError
from care_keras.files import atomic_path, first_line, open_npz, parse_json, remove_leftovers
from care_keras.json_shape import anything, each, misfit, text, whole

_HEADER = "header"
_SHAPE = {
    "position": lambda value: misfit(value, [whole]) is None and len(value) == 2,
    "notes": each(anything),
    "arrays": [text],
}
_NAME = re.compile(r"epoch(\d+)-step(\d+)\.npz")


@dataclasses.dataclass(frozen=True, order=True)
class Position:
    """Where a run stands: so many whole epochs, and so many steps of the next one, are done."""

    epoch: int = 0
    step: int = 0


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What one file holds.

    Attributes:
        position: Of the run when it was written.
        arrays: Names and values of all state.
        notes: Whatever else the run has to remember, as JSON has it.
    """

    position: Position
    arrays: dict[str, np.ndarray]
    notes: dict


class CheckpointFolder:
    """The newest checkpoints of a run.

    One file is the whole state and cannot disagree with another. It replaces
    nothing: the one before it is removed only once it is there.

    Args:
        path: The folder; made on the first write.
        keep: How many checkpoints are kept.
    """

    def __init__(self, path: str | os.PathLike, keep: int = 2):
        self.path = pathlib.Path(path)
        self.keep = keep

    def write(self, checkpoint: Checkpoint) -> pathlib.Path:
        """Writes a checkpoint atomically, then removes those no longer kept.

        Raises:
            OSError: If it cannot be written; all earlier ones are still there.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        position = checkpoint.position
        path = self.path / f"epoch{position.epoch:04}-step{position.step:06}.npz"
        header = {
            "position": dataclasses.astuple(position),
            "notes": checkpoint.notes,
            # A damaged table of contents can lose some of them.
            "arrays": list(checkpoint.arrays),
        }
        header = np.frombuffer(json.dumps(header).encode(), np.uint8)
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            np.savez(stream, **{_HEADER: header}, **checkpoint.arrays)
        for old in self.paths()[self.keep :]:
            old.unlink(missing_ok=True)
        return path

    def paths(self) -> list[pathlib.Path]:
        """The checkpoints that are there, the newest first."""
        if not self.path.is_dir():
            return []
        found = {path: _NAME.fullmatch(path.name) for path in self.path.iterdir()}
        positions = {path: tuple(map(int, m.groups())) for path, m in found.items() if m}
        return sorted(positions, key=positions.get, reverse=True)

    def newest(self, say=print) -> Checkpoint | None:
        """The newest checkpoint that can be read; `None` if none was ever written.

        Args:
            say: Gets a line about each that cannot be read.

        Raises:
            UserError: If there are checkpoints and none can be read.
        """
        paths = self.paths()
        for path in paths:
            try:
                return read_checkpoint(path)
            except ValueError as error:
                say(f"{path} cannot be read ({error}): going on from the one before it")
        if paths:
            raise UserError(
                f"{self.path} holds no checkpoint that can be read: "
                "delete it to start from the beginning"
            )
        return None

    def remove_leftovers(self) -> None:
        """Removes what a kill in the middle of a write has left behind."""
        remove_leftovers(self.path / "epoch*.npz")


def read_checkpoint(path: str | os.PathLike) -> Checkpoint:
    """Reads one checkpoint, and checks every byte of it by its checksum.

    Raises:
        ValueError: If it cannot be read; the message says why, in a few words.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            # As NumPy writes them: what is packed could take any amount of memory.
            if any(one.compress_type != zipfile.ZIP_STORED for one in archive.infolist()):
                raise ValueError("it is packed")
            damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"the checksum of {damaged.removesuffix('.npy')} is wrong")
        with open_npz(path) as file:
            arrays = {name: file[name] for name in file.files}
        header = parse_json(arrays.pop(_HEADER).tobytes())
        if wrong := misfit(header, _SHAPE):
            raise ValueError(f"its header lacks {wrong}")
        if list(arrays) != header["arrays"]:
            raise ValueError("arrays are missing")
        return Checkpoint(Position(*header["position"]), arrays, header["notes"])
    # A changed byte in the archive's own records is met by zipfile in a dozen ways.
    except Exception as error:
        raise ValueError(first_line(error)) from error
