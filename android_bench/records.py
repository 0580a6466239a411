"""The file of a run: one JSON object per line, on the disk before the next thing is done."""

import json
import os
import pathlib
from collections.abc import Iterable

from android_bench.record_shapes import misfit_of_records
from care_keras.files import parse_json
from care_keras.json_shape import misfit, text
from care_keras.locks import try_lock
from tflite.benchmark.machine import now

SCHEMA = "care_keras.android_bench/1"


class RecordFile:
    """A file that records are appended to, by one process at a time.

    Args:
        path: The file; made if it does not exist.

    Raises:
        ValueError: If another process appends to it.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = pathlib.Path(path)
        # Without a buffer: what did not fit on the disk would be written again as it is closed.
        self._stream = open(self.path, "a+b", buffering=0)  # noqa: SIM115
        self._lock()
        self._drop_cut_line()

    def append(self, kind: str, **fields) -> dict:
        """Writes a record; when this returns it survives a crash of this machine.

        Args:
            kind: What it is: `"run"`, `"device"`, `"cell"`, ...
            fields: Plain JSON types.

        Raises:
            OSError: If it cannot be written, as on a full disk; the file is as it was.
        """
        record = {"kind": kind, "date": now(), **fields}
        line = json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"
        rest = memoryview(line.encode("utf-8", "replace"))
        end = os.fstat(self._stream.fileno()).st_size
        try:
            while rest:
                rest = rest[self._stream.write(rest) :]
            os.fsync(self._stream.fileno())
        except OSError as error:
            self._stream.truncate(end)
            error.filename = os.fspath(self.path)
            raise
        return record

    def close(self) -> None:
        """Closes the file."""
        self._stream.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _lock(self):
        """Keeps other processes out until the file is closed, however this one ends."""
        if try_lock(self._stream, by_process=True) is False:
            self._stream.close()
            raise ValueError(
                f"Another process writes to the file: wait for its end. Received: {self.path}"
            )

    def _drop_cut_line(self):
        """What a crash left of a record would spoil the next one."""
        self._stream.seek(0)
        content = self._stream.read()
        end = content.rfind(b"\n") + 1
        if end != len(content):
            self._stream.truncate(end)


def read_records(path: str | os.PathLike) -> list[dict]:
    """All records of a run.

    A last line without an end is what a crash left, and passed over.

    Raises:
        ValueError: If there is no such file, or it is none of `run`'s.
    """
    path = pathlib.Path(path)
    try:
        lines = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ValueError(
            f"The records cannot be read. Received: {path} ({error.strerror})"
        ) from error
    records = []
    for number, line in enumerate(lines.split("\n")[:-1], 1):
        try:
            record = parse_json(line, strict=True)
        except ValueError:
            record = None
        if misfit(record, {"kind": text}):
            raise ValueError(f"Line {number} of {path} is no record. Received: {line[:80]!r}")
        records.append(record)
    head = records[0] if records else {}
    if head.get("schema") != SCHEMA or head["kind"] != "run":
        raise ValueError(f"The file is none of python -m android_bench run. Received: {path}")
    if found := misfit_of_records(records):
        raise ValueError(
            f"The records are not as python -m android_bench run writes them: {found}. "
            f"Received: {path}"
        )
    return records


def of_kind(records: Iterable[dict], kind: str) -> list[dict]:
    """Records of a kind, in their order."""
    return [record for record in records if record["kind"] == kind]


def phone_names(records: Iterable[dict]) -> dict[str, str]:
    """Maker and model of each phone by its serial number, which tells two alike apart."""
    phones = {
        record["serial"]: f"{record['device']['manufacturer']} {record['device']['model']}"
        for record in of_kind(records, "device")
    }
    names = list(phones.values())
    return {
        serial: f"{name} ({serial})" if names.count(name) > 1 else name
        for serial, name in phones.items()
    }


def job_key(record: dict) -> tuple:
    """What a `cell` record measured: phone, cell, round."""
    return (
        record["serial"],
        record["sha256"],
        record["delegate"],
        record["threads"],
        record["cores"],
        record["round"],
    )


def measured(records: Iterable[dict]) -> dict[tuple, dict]:
    """The last `cell` record of each job that was measured; failures that a later one mends go."""
    result: dict[tuple, dict] = {}
    for record in of_kind(records, "cell"):
        key = job_key(record)
        if record["status"] == "ok" or result.get(key, {}).get("status") != "ok":
            result[key] = record
    return result
