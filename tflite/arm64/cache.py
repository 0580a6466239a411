"""A folder of parts, each of which is there whole or not at all."""

import contextlib
import json
import os
import pathlib
import shutil
import tempfile
import time
from collections.abc import Iterator

from care_keras.files import parse_json, write_atomically
from care_keras.locks import try_lock

_COMPLETE = "complete.json"
_PARTIAL = ".partial-"


class Cache:
    """Parts by name, each a folder with a record in it that was written last.

    Attributes:
        folder: Where they are; made when the first part is.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = pathlib.Path(folder).absolute()

    def find(self, name: str, key: str) -> pathlib.Path | None:
        """The folder of a part, if it is complete and was made with the same `key`."""
        record = self.record(name)
        return self.folder / name if record is not None and record.get("key") == key else None

    def record(self, name: str) -> dict | None:
        """What was recorded of a part, `None` if it is not complete."""
        try:
            record = parse_json((self.folder / name / _COMPLETE).read_text())
        except (OSError, ValueError):
            return None
        return record if isinstance(record, dict) else None

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the folder against another process that sets it up; removes what one left.

        Raises:
            ValueError: If the folder cannot be written to.
        """
        with contextlib.ExitStack() as stack:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                stream = stack.enter_context(open(self.folder / ".lock", "w"))
            except OSError as error:
                raise ValueError(
                    "The cache folder cannot be written to. "
                    f"Received: {self.folder} ({error.strerror})"
                ) from error
            while try_lock(stream) is False:
                time.sleep(0.2)
            for left in self.folder.glob(f"{_PARTIAL}*"):
                shutil.rmtree(left, ignore_errors=True)
            yield

    @contextlib.contextmanager
    def make(self, name: str, key: str) -> Iterator[tuple[pathlib.Path, dict]]:
        """Yields a new folder to fill and a record to add to; both become the part on success.

        Whatever ends the block early, nothing is left and the part is as it was.

        Raises:
            ValueError: If something cannot be written, as on a full disk.
        """
        record = {"key": key}
        with self._one_line():
            partial = pathlib.Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=self.folder))
        try:
            filling = partial / name
            with self._one_line():
                filling.mkdir()
                yield filling, record
                write_atomically(filling / _COMPLETE, json.dumps(record, indent=1) + "\n")
                place = self.folder / name
                if place.exists():
                    place.rename(partial / "old")
                filling.rename(place)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    @contextlib.contextmanager
    def _one_line(self):
        """Makes what the disk refuses, such as one more byte, an error for people."""
        try:
            yield
        except OSError as error:
            raise ValueError(
                "The cache folder cannot be written to. "
                f"Received: {self.folder} ({error.strerror or error})"
            ) from error
