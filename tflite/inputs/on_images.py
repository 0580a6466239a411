"""What LiteRT makes of images, for another runtime to be held against."""

import dataclasses
import os

import numpy as np

from care_keras.convert.images import read_pixels
from care_keras.data.sources import Source
from care_keras.litert.tensor import TensorInfo
from care_keras.tflite_file import read_graph
from tflite.child.litert_file import LiteRTFileApart
from tflite.inputs.records import ModelInput


@dataclasses.dataclass(frozen=True, eq=False)
class OnImages:
    """A file's inputs and outputs on the images of a source.

    Attributes:
        pixels: uint8 `(images, height, width, channels)`: the images that can be read.
        labels: Their classes, `None` if the source does not say them.
        inputs: The same as the file takes them, in its input's type.
        outputs: `(images, *output.shape)` in its output's type.
        input: The input, of the shape that it was opened with.
        output: The output.
    """

    pixels: np.ndarray
    labels: np.ndarray | None
    inputs: np.ndarray
    outputs: np.ndarray
    input: TensorInfo
    output: TensorInfo


def run_on_images(
    path: str | os.PathLike, model_input: ModelInput, source: Source, batch: int | None = None
) -> OnImages:
    """Reads images and runs a file of one input and one output on them, in LiteRT.

    Args:
        path: The file.
        model_input: How images are prepared for it.
        source: The images.
        batch: Images per inference, by default the file's. Each image fills a batch.

    Raises:
        ValueError: If no image can be read, or LiteRT cannot open or run the file.
    """
    record = model_input.preprocessing
    pixels, labels = read_pixels(source, record, f"reading {source.name}")
    graph = read_graph(path)
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise ValueError(
            "The model must have one input and one output. Received: "
            f"{len(graph.inputs)} inputs and {len(graph.outputs)} outputs in {os.fspath(path)}"
        )
    batch = batch or graph.inputs[0].shape[0]
    shape = (batch, record.height, record.width, record.channels)
    litert = LiteRTFileApart(graph, input_shapes={graph.inputs[0].index: shape})
    ((taken, input_info),) = litert.inputs.items()
    ((given, output_info),) = litert.outputs.items()
    inputs = model_input.encode(pixels, input_info)
    outputs = [litert.run({taken: np.broadcast_to(image, shape)})[given] for image in inputs]
    litert.close()
    return OnImages(pixels, labels, inputs, np.stack(outputs), input_info, output_info)
