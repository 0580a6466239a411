"""Entries of metadata in a .tflite file that is written already."""

from collections.abc import Mapping

from care_keras.tflite_file.reader import read_graph
from care_keras.tflite_file.writer import add_metadata, pack, unpack


def with_metadata(content: bytes, entries: Mapping[str, bytes | None]) -> bytes:
    """The same file with other metadata.

    Args:
        content: A .tflite file. What lies behind its flatbuffer, as labels do, is
            left out.
        entries: By name; `None` takes one away.

    Raises:
        ValueError: If it is no TFLite model, is damaged, or is too large to be
            written anew.
    """
    read_graph(content)
    model = unpack(content)
    if any(buffer.offset > 1 for buffer in model.buffers):
        raise ValueError(
            "A file whose weights lie behind its tables cannot be written anew. "
            f"Received: {len(content)} bytes"
        )
    names = {name.encode() for name in entries}
    model.metadata = [one for one in model.metadata or [] if one.name not in names]
    for name, value in entries.items():
        if value is not None:
            add_metadata(model, name, value)
    return pack(model)
