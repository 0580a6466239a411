"""Metadata and labels behind a file, read by MediaPipe's own module where it is installed."""

import io
import re
import zipfile

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from care_keras.tflite_file.metadata import with_metadata
from care_keras.tflite_file.reader import read_graph
from care_keras.tflite_file.task_metadata import (
    DETECTOR_OPTIONS,
    ENTRY,
    LABELS_FILE,
    ImageTask,
    Output,
    detector_options,
    task_metadata,
    with_associated_files,
)
from care_keras.tflite_file.writer import Writer
from tests.needed import need_package

LABELS = ("cat", "dog", "Österreich", "a b")


def small_file():
    """`x + 1`, and a constant that is no multiple of 16 bytes."""
    writer = Writer("test")
    x = writer.tensor("x", (1, 3), np.float32)
    one = writer.constant("one", np.ones(3, np.float32))
    y = writer.tensor("y", (1, 3), np.float32)
    return writer.finish(
        {"x": x}, {"y": writer.operator("ADD", 1, [x, one], y)}, {"before": b"here"}
    )


def classifier(channels=3, **values):
    described = {
        "name": "net",
        "description": "a net",
        "mean": (0.0,) * channels,
        "std": (1.0,) * channels,
        "outputs": (Output("scores", "logits", is_labelled=True),),
    }
    return ImageTask(**(described | values))


def outputs(content):
    runtime = Interpreter(model_content=content)
    runtime.allocate_tensors()
    runtime.set_tensor(
        runtime.get_input_details()[0]["index"], np.arange(3, dtype=np.float32)[None]
    )
    runtime.invoke()
    return runtime.get_tensor(runtime.get_output_details()[0]["index"]).tolist()


def test_the_network_stays_and_entries_are_replaced():
    content = small_file()
    more = with_metadata(with_metadata(content, {"new": b"first"}), {"new": b"second"})
    assert read_graph(more).metadata == {"before": b"here", "new": b"second"}
    assert outputs(more) == outputs(content) == [[1.0, 2.0, 3.0]]
    constants = [
        t.content.tobytes() for t in read_graph(more).subgraphs[0].tensors if t.content is not None
    ]
    assert constants == [np.ones(3, np.float32).tobytes()]
    # Buffers are read where they lie: their bytes start at multiples of 16.
    assert more.index(constants[0]) % 16 == 0


def test_labels_lie_behind_the_file():
    content = small_file()
    text = "".join(f"{one}\n" for one in LABELS)
    written = with_associated_files(content, {LABELS_FILE: text})
    assert written == with_associated_files(content, {LABELS_FILE: text})
    assert written.startswith(content) and outputs(written) == outputs(content)
    assert read_graph(written).metadata == {"before": b"here"}
    with zipfile.ZipFile(io.BytesIO(written)) as archive:
        assert archive.namelist() == [LABELS_FILE]
        assert archive.read(LABELS_FILE).decode().splitlines() == list(LABELS)


def test_a_damaged_table_that_the_reader_leaves_alone():
    content = small_file()
    found = set()
    for place in range(8, len(content) - 4, 4):
        damaged = content[:place] + b"\xff\xff\x00\x00" + content[place + 4 :]
        try:
            with_metadata(damaged, {"x": b"y"})
        except ValueError as error:
            found.add(str(error).partition(":")[0])
            assert re.search(r"Received: \d+ bytes$", str(error)) and "\n" not in str(error)
    assert "The file is truncated or corrupt" in found


def test_content_that_is_no_model():
    with pytest.raises(ValueError, match="no TFLite model"):
        with_metadata(b"not a model at all", {"x": b"y"})


@pytest.mark.parametrize("channels", [3, 1])
def test_mediapipe_reads_what_was_meant(channels):
    need_package("mediapipe", "mediapipe")
    from mediapipe.tasks.metadata import metadata_schema_py_generated as schema

    mean, std = [127.5, 100.0, 90.0][:channels], [50.0, 60.0, 70.0][:channels]
    table = task_metadata(classifier(channels, mean=mean, std=std))
    assert table[4:8] == b"M001"
    read = schema.ModelMetadataT.InitFromObj(schema.ModelMetadata.GetRootAs(table))
    assert (read.name, read.description, read.minParserVersion) == (b"net", b"a net", b"1.0.0")
    (subgraph,) = read.subgraphMetadata
    (image,), (scores,) = subgraph.inputTensorMetadata, subgraph.outputTensorMetadata
    kinds = schema.ContentProperties
    assert image.content.contentPropertiesType == kinds.ImageProperties
    colors = schema.ColorSpaceType
    expected = colors.RGB if channels == 3 else colors.GRAYSCALE
    assert image.content.contentProperties.colorSpace == expected
    (unit,) = image.processUnits
    assert unit.optionsType == schema.ProcessUnitOptions.NormalizationOptions
    np.testing.assert_allclose(unit.options.mean, mean)
    np.testing.assert_allclose(unit.options.std, std)
    np.testing.assert_allclose(image.stats.min, -np.divide(mean, std), rtol=1e-6)
    np.testing.assert_allclose(image.stats.max, (255 - np.asarray(mean)) / std, rtol=1e-6)
    assert scores.content.contentPropertiesType == kinds.FeatureProperties
    (labels,) = scores.associatedFiles
    assert labels.name == LABELS_FILE.encode()
    assert labels.type == schema.AssociatedFileType.TENSOR_AXIS_LABELS


def test_mediapipe_reads_anchors_as_they_were_meant():
    need_package("mediapipe", "mediapipe")
    from mediapipe.tasks.metadata import metadata_schema_py_generated as schema
    from mediapipe.tasks.metadata import (
        object_detector_metadata_schema_py_generated as detector,
    )

    # Centre y, centre x, height, width; 0 is the fields' default, which must be read as well.
    anchors = np.array([[0.25, 0.5, 0.125, 0.75], [0.0, 1.0, 0.5, 0.25]])
    custom = {DETECTOR_OPTIONS: detector_options(anchors, 3, (10.0, 11.0, 5.0, 6.0))}
    table = task_metadata(classifier(custom=custom))
    read = schema.ModelMetadataT.InitFromObj(schema.ModelMetadata.GetRootAs(table))
    assert read.minParserVersion == b"1.5.0"
    (options,) = read.subgraphMetadata[0].customMetadata
    assert options.name == DETECTOR_OPTIONS.encode()
    data = bytes(options.data)
    # Tables of tables are read where they lie.
    assert data[4:8] == b"V001" and table.index(data) % 16 == 0
    found = detector.ObjectDetectorOptionsT.InitFromObj(
        detector.ObjectDetectorOptions.GetRootAs(data)
    )
    fixed = found.ssdAnchorsOptions.fixedAnchorsSchema.anchors
    rows = [(one.yCenter, one.xCenter, one.height, one.width) for one in fixed]
    np.testing.assert_array_equal(rows, anchors)
    decoding = found.tensorsDecodingOptions
    assert (decoding.numClasses, decoding.numBoxes, decoding.numCoords) == (3, 2, 4)
    assert (decoding.yScale, decoding.xScale) == (10.0, 11.0)
    assert (decoding.hScale, decoding.wScale) == (5.0, 6.0)
    assert decoding.applyExponentialOnBoxSize and not decoding.sigmoidScore


def test_the_entry_is_what_readers_look_for():
    described = with_metadata(small_file(), {ENTRY: task_metadata(classifier())})
    assert read_graph(described).metadata["TFLITE_METADATA"][4:8] == b"M001"
