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
# The one that has custom metadata.
_CUSTOM_PARSER_VERSION = "1.5.0"
DETECTOR_OPTIONS, SEGMENTER_OPTIONS = "DETECTOR_METADATA", "SEGMENTER_METADATA"
_OPTIONS_IDENTIFIER = b"V001"
# Of the segmenter's `Activation`.
_SOFTMAX = 2
# Of `ColorSpaceType`, by the number of channels.
_COLOR_SPACES = {3: 1, 1: 2}
# Of the unions `ContentProperties` and `ProcessUnitOptions`.
_FEATURE, _IMAGE, _BOX, _NORMALIZATION = 1, 2, 3, 1
# Of `BoundingBoxType`: MediaPipe takes no other, and decodes centres and sizes all the same.
_BOUNDARIES = 1
_TENSOR_AXIS_LABELS = 2
# The time of files in the archive, so that a conversion gives the same bytes again.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


@dataclasses.dataclass(frozen=True)
class Output:
    """An output.

    Attributes:
        name: Of it.
        description: What it is, in a line.
        is_labelled: Whether its last axis are the classes of `labels.txt`.
        is_boxes: Whether its last axis are y, x, height and width of boxes.
    """

    name: str
    description: str
    is_labelled: bool = False
    is_boxes: bool = False


@dataclasses.dataclass(frozen=True)
class ImageTask:
    """What a file of one image and any outputs is.

    Attributes:
        name: Of the model.
        description: What it is, in a line.
        mean: Of `(pixel - mean) / std`, one value for each channel, in units of
            pixels from 0 to 255: 0 where the file takes pixels.
        std: Likewise: 1 where the file takes pixels.
        outputs: In their order.
        custom: What MediaPipe's tasks read besides, by name.
    """

    name: str
    description: str
    mean: Sequence[float]
    std: Sequence[float]
    outputs: Sequence[Output]
    custom: Mapping[str, bytes] = dataclasses.field(default_factory=dict)


def task_metadata(task: ImageTask) -> bytes:
    """The metadata table of a file, a flatbuffer `ModelMetadata`.

    Args:
        task: What the file is.
    """
    write = _Tables()
    mean, std = np.asarray(task.mean, np.float32), np.asarray(task.std, np.float32)
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
    outputs = write.vector([_output(write, one) for one in task.outputs])
    subgraph = {2: write.vector([image]), 3: outputs}
    if task.custom:
        custom = [
            write.table({0: write.text(name), 1: write.bytes(data)})
            for name, data in task.custom.items()
        ]
        subgraph[9] = write.vector(custom)
    return write.finish(
        write.table(
            {
                0: write.text(task.name),
                1: write.text(task.description),
                3: write.vector([write.table(subgraph)]),
                7: write.text(_CUSTOM_PARSER_VERSION if task.custom else _MIN_PARSER_VERSION),
            }
        )
    )


def _output(write, output):
    fields = {
        0: write.text(output.name),
        1: write.text(output.description),
        3: write.table(_box_properties(write) if output.is_boxes else _feature(write)),
    }
    if output.is_labelled:
        labels = write.table(
            {
                0: write.text(LABELS_FILE),
                1: write.text("Names of the classes, one a line."),
                2: write.byte(_TENSOR_AXIS_LABELS),
            }
        )
        fields[6] = write.vector([labels])
    return write.table(fields)


def _feature(write):
    return {0: write.byte(_FEATURE), 1: write.table({})}


def _box_properties(write):
    # The schema's order is x, y, width, height.
    order = write.ints([1, 0, 3, 2])
    return {0: write.byte(_BOX), 1: write.table({0: order, 1: write.byte(_BOUNDARIES)})}


def detector_options(anchors: np.ndarray, classes: int, scales: Sequence[float]) -> bytes:
    """How MediaPipe's ObjectDetector decodes boxes: `DETECTOR_METADATA`.

    The schema is MediaPipe's object_detector_metadata_schema.fbs, 1.0.0.

    Args:
        anchors: `(anchors, 4)`: centre y, centre x, height, width, from 0 to 1 of the image.
        classes: Number of classes.
        scales: What the offsets y, x and the sizes height, width are divided by.
    """
    write = _Tables()
    fixed = [
        write.table({place: write.float(anchor[axis]) for place, axis in enumerate((1, 0, 3, 2))})
        for anchor in np.asarray(anchors, float)
    ]
    schema = write.table({0: write.vector(fixed)})
    y, x, height, width = scales
    decoding = {
        0: write.int(classes),
        1: write.int(len(anchors)),
        # A box is four numbers, and there are no keypoints, of two numbers each.
        2: write.int(4),
        5: write.int(2),
        6: write.float(x),
        7: write.float(y),
        8: write.float(width),
        9: write.float(height),
        # Sizes are logarithms; scores are no logits any more.
        10: write.byte(1),
    }
    return write.finish(
        write.table({1: write.table({0: schema}), 2: write.table(decoding)}), _OPTIONS_IDENTIFIER
    )


def segmenter_options() -> bytes:
    """What MediaPipe's ImageSegmenter makes of logits, a softmax: `SEGMENTER_METADATA`.

    The schema is MediaPipe's image_segmenter_metadata_schema.fbs, 1.0.0.
    """
    write = _Tables()
    return write.finish(write.table({0: write.byte(_SOFTMAX)}), _OPTIONS_IDENTIFIER)


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
    """A value of a table: a number and how it is written, or where what it refers to stands."""

    value: float
    kind: str = "reference"


class _Tables:
    """Writes tables whose fields are given by their places in the schema."""

    def __init__(self):
        self._builder = flatbuffers.Builder(1024)

    def byte(self, value):
        return _Field(value, "Uint8")

    def int(self, value):
        return _Field(value, "Int32")

    def float(self, value):
        return _Field(float(value), "Float32")

    def text(self, value):
        return _Field(self._builder.CreateString(value))

    def bytes(self, value):
        # Aligned as the schema asks.
        self._builder.StartVector(1, len(value), 16)
        for byte in reversed(value):
            self._builder.PrependUint8(byte)
        return _Field(self._builder.EndVector())

    def floats(self, values):
        return _Field(self._builder.CreateNumpyVector(values.astype(np.float32)))

    def ints(self, values):
        return _Field(self._builder.CreateNumpyVector(np.asarray(values, np.uint32)))

    def vector(self, tables):
        self._builder.StartVector(4, len(tables), 4)
        for table in reversed(tables):
            self._builder.PrependUOffsetTRelative(table.value)
        return _Field(self._builder.EndVector())

    def table(self, fields):
        builder = self._builder
        builder.StartObject(max(fields, default=-1) + 1)
        for place, field in fields.items():
            if field.kind == "reference":
                builder.PrependUOffsetTRelativeSlot(place, field.value, 0)
            else:
                getattr(builder, f"Prepend{field.kind}Slot")(place, field.value, 0)
        return _Field(builder.EndObject())

    def finish(self, table, identifier=_IDENTIFIER):
        self._builder.Finish(table.value, identifier)
        return bytes(self._builder.Output())
