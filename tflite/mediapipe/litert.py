"""What LiteRT makes of images, for MediaPipe to be held against."""

import dataclasses
import pathlib

import numpy as np

from care_keras.convert.images import read_pixels
from care_keras.data.sources import Source
from care_keras.litert.tensor import TensorInfo
from care_keras.tflite_file import read_graph
from tflite.child.litert_file import LiteRTFileApart
from tflite.inputs.records import ModelInput


@dataclasses.dataclass(frozen=True, eq=False)
class OnImages:
    """A file's outputs on the images of a source.

    Attributes:
        path: The file.
        model_input: How images are prepared for it.
        pixels: uint8 `(images, height, width, 3)`: the images that can be read.
        labels: Their classes, `None` if the source does not say those of the model.
        values: float32 `(images, ...)` of each output, by its name.
        tensors: The outputs.
    """

    path: pathlib.Path
    model_input: ModelInput
    pixels: np.ndarray
    labels: np.ndarray | None
    values: dict[str, np.ndarray]
    tensors: dict[str, TensorInfo]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images."""
        return self.pixels.shape[1:3]


def run_on_images(path: pathlib.Path, model_input: ModelInput, source: Source) -> OnImages:
    """Reads images and runs a file of one input on them, one at a time, as MediaPipe does.

    Args:
        path: The file.
        model_input: How images are prepared for it.
        source: The images.

    Raises:
        ValueError: If no image can be read, the file takes none of three channels alone, or
            LiteRT cannot open or run it.
    """
    record = model_input.preprocessing
    if record.channels != 3:
        raise ValueError(f"MediaPipe takes RGB images. Received: a model of grey ones, {path}")
    pixels, labels = read_pixels(source, record, f"reading {source.name}")
    graph = read_graph(path)
    if len(graph.inputs) != 1:
        raise ValueError(
            f"MediaPipe takes files of one input. Received: {len(graph.inputs)} inputs in {path}"
        )
    shape = (1, record.height, record.width, record.channels)
    litert = LiteRTFileApart(graph, input_shapes={graph.inputs[0].index: shape})
    ((taken, input_info),) = litert.inputs.items()
    found = [litert.run({taken: image[None]}) for image in model_input.encode(pixels, input_info)]
    tensors = dict(litert.outputs)
    litert.close()
    values = {
        name: tensor.dequantize(np.concatenate([one[name] for one in found]))
        for name, tensor in tensors.items()
    }
    known = labels if model_input.labels == source.class_names else None
    return OnImages(path, model_input, pixels, known, values, tensors)
