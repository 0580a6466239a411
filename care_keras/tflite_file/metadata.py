"""Entries of metadata in a .tflite file that is written already."""

from collections.abc import Mapping

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

from care_keras.tflite_file.reader import read_graph
from care_keras.tflite_file.writer import AlignedBuffer, metadata_entry


def with_metadata(content: bytes, entries: Mapping[str, bytes]) -> bytes:
    """The same file with more metadata; an entry of a name that is there is replaced.

    Args:
        content: A .tflite file, of at most 2 GB, with nothing behind the
            flatbuffer.
        entries: By name.

    Raises:
        ValueError: If it is no TFLite model, or is corrupt.
    """
    read_graph(content)
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    model.buffers = [AlignedBuffer.of(buffer.data) for buffer in model.buffers]
    names = {name.encode() for name in entries}
    model.metadata = [one for one in model.metadata or [] if one.name not in names]
    model.metadata += [
        metadata_entry(name, value, model.buffers) for name, value in entries.items()
    ]
    builder = flatbuffers.Builder(len(content) + (1 << 16))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
