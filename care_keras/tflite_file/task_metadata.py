"""Metadata that MediaPipe Tasks and Android's ML binding read: what pixels and scores mean.

A table of its own inside the .tflite file, and the names of the classes as a
file appended to it, as a zip archive is. Its schema is metadata_schema.fbs of
TensorFlow Lite Support, 1.0.0, whose places of fields are the numbers below.
"""

import dataclasses
import io
import zipfile
from collections.abc import Mapping, Sequence

import flatbuffers
import numpy as np

# The entry of a file's metadata that the table is.
ENTRY = "TFLITE_METADATA"
LABELS_FILE = "labels.txt"
_IDENTIFIER = b"M001"
_MIN_PARSER_VERSION = "1.0.0"
# Of `ColorSpaceType`, by the number of channels.
_COLOR_SPACES = {3: 1, 1: 2}
# Of the unions `ContentProperties` and `ProcessUnitOptions`.
_FEATURE, _IMAGE, _NORMALIZATION = 1, 2, 1
_TENSOR_AXIS_LABELS = 2
# The time of files in the archive, so that a conversion gives the same bytes again.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


@dataclasses.dataclass(frozen=True)
class ImageClassifier:
    """What a file of one image and one score for each class is.

    Attributes:
        name: Of the model.
        description: What it is, in a line.
        labels: Names of the classes.
        mean: Of `(pixel - mean) / std`, one value for each channel, in units of
            pixels from 0 to 255: 0 where the file takes pixels.
        std: Likewise: 1 where the file takes pixels.
        scores: What an output is, in a line.
    """

    name: str
    description: str
    labels: Sequence[str]
    mean: Sequence[float]
    std: Sequence[float]
    scores: str


def classifier_metadata(classifier: ImageClassifier) -> bytes:
    """The metadata table of an image classifier.

    Args:
        classifier: What the file is.

    Returns:
        A flatbuffer `ModelMetadata`; the classes' names go into `labels.txt`
        (`with_associated_files`).
    """
    write = _Tables()
    mean, std = np.asarray(classifier.mean, np.float32), np.asarray(classifier.std, np.float32)
    lowest, highest = (0 - mean) / std, (255 - mean) / std
    image = write.table(
        {
            0: write.text("image"),
            1: write.text("RGB" if len(mean) == 3 else "grey"),
            3: write.table(
                {0: write.byte(_IMAGE), 1: write.table({0: write.byte(_COLOR_SPACES[len(mean)])})}
            ),
            4: write.vector(
                [
                    write.table(
                        {
                            0: write.byte(_NORMALIZATION),
                            1: write.table({0: write.floats(mean), 1: write.floats(std)}),
                        }
                    )
                ]
            ),
            5: write.table({0: write.floats(highest), 1: write.floats(lowest)}),
        }
    )
    labels = write.table(
        {
            0: write.text(LABELS_FILE),
            1: write.text("Names of the classes, one a line."),
            2: write.byte(_TENSOR_AXIS_LABELS),
        }
    )
    scores = write.table(
        {
            0: write.text("scores"),
            1: write.text(classifier.scores),
            3: write.table({0: write.byte(_FEATURE), 1: write.table({})}),
            6: write.vector([labels]),
        }
    )
    subgraph = write.table({2: write.vector([image]), 3: write.vector([scores])})
    return write.finish(
        write.table(
            {
                0: write.text(classifier.name),
                1: write.text(classifier.description),
                3: write.vector([subgraph]),
                7: write.text(_MIN_PARSER_VERSION),
            }
        )
    )


def with_associated_files(content: bytes, files: Mapping[str, str]) -> bytes:
    """A .tflite file with others behind it, which readers find as in a zip archive.

    Args:
        content: The file.
        files: Texts by name.
    """
    archive = io.BytesIO(content)
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_STORED) as opened:
        for name, text in files.items():
            opened.writestr(zipfile.ZipInfo(name, _NO_TIME), text)
    return archive.getvalue()


@dataclasses.dataclass(frozen=True)
class _Field:
    """A value of a table: a number, or where what it refers to stands."""

    value: int
    is_number: bool = False


class _Tables:
    """Writes tables whose fields are given by their places in the schema."""

    def __init__(self):
        self._builder = flatbuffers.Builder(1024)

    def byte(self, value):
        return _Field(value, is_number=True)

    def text(self, value):
        return _Field(self._builder.CreateString(value))

    def floats(self, values):
        return _Field(self._builder.CreateNumpyVector(values.astype(np.float32)))

    def vector(self, tables):
        self._builder.StartVector(4, len(tables), 4)
        for table in reversed(tables):
            self._builder.PrependUOffsetTRelative(table.value)
        return _Field(self._builder.EndVector())

    def table(self, fields):
        builder = self._builder
        builder.StartObject(max(fields, default=-1) + 1)
        for place, field in fields.items():
            if field.is_number:
                builder.PrependUint8Slot(place, field.value, 0)
            else:
                builder.PrependUOffsetTRelativeSlot(place, field.value, 0)
        return _Field(builder.EndObject())

    def finish(self, table):
        self._builder.Finish(table.value, _IDENTIFIER)
        return bytes(self._builder.Output())
