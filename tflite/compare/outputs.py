"""End to end: what a .tflite file answers, as phones run it, and what Keras does."""

import dataclasses
from collections.abc import Iterable

import keras
import numpy as np

from care_keras.litert.model import LiteRTModel
from care_keras.metrics import wilson_interval
from tflite.compare.figures import Criterion, Figures, Tally
from tflite.compare.tensors import FileFailsError
from tflite.inputs.records import ModelInput

# Images from which on tracing a Keras model pays, which takes half a minute for a quantized form.
_GRAPH_IMAGES = 1000


@dataclasses.dataclass(frozen=True)
class OutputComparison:
    """The outputs side by side.

    Attributes:
        images: Images that both were run on.
        agreement: Share of them with the same largest output, or `None` if
            there is but one output.
        agreement_interval: 95 % interval of it (Wilson's), or `None`.
        figures: The output tensor against Keras's outputs.
    """

    images: int
    agreement: float | None
    agreement_interval: tuple[float, float] | None
    figures: Figures


class KerasRunner:
    """Runs a Keras model on prepared inputs.

    Args:
        model: The model.
        images: How many images it is for, in all.
    """

    def __init__(self, model: keras.Model, images: int):
        self._model = model
        self._graph = images >= _GRAPH_IMAGES
        self._rows = 0

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """float32 outputs for float32 inputs."""
        if not self._graph:
            return self._array(self._model(inputs, training=False))
        # Always as many rows: another number would be traced anew.
        self._rows = max(self._rows, len(inputs))
        filling = np.repeat(inputs[-1:], self._rows - len(inputs), axis=0)
        outputs = self._model.predict_on_batch(np.concatenate([inputs, filling]))
        return self._array(outputs)[: len(inputs)]

    def _array(self, outputs):
        # A single output may come in a dict.
        outputs = keras.ops.convert_to_numpy(keras.tree.flatten(outputs)[0])
        return outputs.astype(np.float32)


def run_file(model: LiteRTModel, file_input: ModelInput, pixels: np.ndarray) -> np.ndarray:
    """The output tensor, in its own type, for uint8 pixels of any number of images.

    Raises:
        FileFailsError: If the file does not run on one.
    """
    batch, outputs = model.input.shape[0], []
    try:
        for start in range(0, len(pixels), batch):
            part = pixels[start : start + batch]
            filling = np.repeat(part[-1:], batch - len(part), axis=0)
            encoded = file_input.encode(np.concatenate([part, filling]), model.input)
            outputs.append(model.run(encoded)[: len(part)])
    except ValueError as error:
        raise FileFailsError(str(error)) from error
    return np.concatenate(outputs)


def compare_outputs(
    keras_model: keras.Model,
    keras_input: ModelInput,
    model: LiteRTModel,
    file_input: ModelInput,
    chunks: Iterable[np.ndarray],
    images: int,
    criterion: Criterion,
) -> OutputComparison:
    """Runs both on all images, some at a time.

    Args:
        keras_model: The Keras model.
        keras_input: How images are prepared for it.
        model: The opened file.
        file_input: How images are prepared for that.
        chunks: uint8 pixels `(some, height, width, 3)`; all chunks but the last
            of one size.
        images: How many they are in all.
        criterion: When the output is wrong; only its channels' figures use it.

    Raises:
        FileFailsError: If the file does not run on an image.
    """
    runner, tally, agreeing = KerasRunner(keras_model, images), Tally(model.output), 0
    for pixels in chunks:
        reference = runner(keras_input.values(pixels).astype(np.float32))
        outputs = run_file(model, file_input, pixels).reshape(reference.shape)
        tally.add(reference, outputs)
        same = np.argmax(outputs, axis=-1) == np.argmax(reference, axis=-1)
        # An image of many pixels with a class each counts by its share.
        agreeing += float(same.reshape(len(pixels), -1).mean(axis=1).sum())
    agreement = agreeing / images if reference.shape[-1] > 1 else None
    return OutputComparison(
        images,
        agreement,
        None if agreement is None else wilson_interval(agreement, images),
        tally.figures(criterion),
    )
