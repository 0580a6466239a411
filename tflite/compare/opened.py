"""A .tflite file and a Keras model, opened together."""

import dataclasses
import functools
import os

import keras
import numpy as np

from care_keras.console.native_output import captured_native_output
from care_keras.quantization import is_quantized
from care_keras.tflite_file import Graph, read_graph
from tflite.audit.xnnpack import Delegation, delegation
from tflite.compare.figures import Criterion
from tflite.compare.pairing import pair_up
from tflite.evaluate.opened import try_apart
from tflite.inputs.image_file import ImageFile
from tflite.inputs.model_inputs import (
    check_values_used,
    keras_image,
    keras_model_input,
    keras_outputs,
    load_keras,
    tflite_input,
)
from tflite.inputs.overrides import GEOMETRY, InputOverrides
from tflite.inputs.records import ModelInput, read_sidecar

# Images that are compared by default: at most this many pixels in all, within bounds.
_PIXELS, _IMAGES = 2_500_000, (50, 5000)
# Images at a time: 8 of 224x224, whose tensors take some 500 MB, and at most so many.
_CHUNK_PIXELS, _CHUNK_IMAGES = 8 * 224 * 224, 256
# Layers' noise against a quantized form is a code here and there; against a float model that of
# rounded weights, and of weights that quantization-aware training has moved (the worst seen: 19 dB,
# 1.8 codes in a layer, 5.2 in a channel); in float32 it is some 130 dB down.
_QUANTIZED_FORM = Criterion(30.0, 0.1, 0.5)
_BY_KIND = {
    "int8": Criterion(15.0, 1.0, 8.0),
    "dynamic": Criterion(15.0, 1.0, 8.0),
    "float16": Criterion(40.0, 1.0, 8.0),
    "float32": Criterion(60.0, 1.0, 8.0),
}
# Share of images with the same largest output: what rounding to int8 leaves of a trained network's
# (the bundled model's: 0.966), and what any other file has at least.
_LEAST_AGREEMENT, _LEAST_AGREEMENT_ROUNDED = 0.98, 0.9


@dataclasses.dataclass(frozen=True, eq=False)
class Pair:
    """A Keras model and a .tflite file that fit together.

    Attributes:
        keras_name: File or name of the Keras model.
        keras_model: The model.
        keras_input: How images are prepared for it.
        path: The .tflite file.
        file: What is in it.
        kind: `"float32"`, `"float16"` (weights), `"dynamic"` (int8 weights) or `"int8"`.
        file_input: How images are prepared for it.
        litert: The file, opened as apps open it.
        delegation: What XNNPACK does with it.
    """

    keras_name: str
    keras_model: keras.Model
    keras_input: ModelInput
    path: str
    file: Graph
    kind: str
    file_input: ModelInput
    litert: ImageFile
    delegation: Delegation

    @property
    def criterion(self) -> Criterion:
        """When a layer counts as wrong, unless the user says."""
        quantized = is_quantized(self.keras_model)
        if quantized and self.kind == "int8":
            return _QUANTIZED_FORM
        return _BY_KIND["int8" if quantized else self.kind]

    @property
    def min_agreement(self) -> float:
        """Share of images that must have the same largest output, unless the user says."""
        rounded = self.criterion is _BY_KIND["int8"] or self.criterion is _BY_KIND["dynamic"]
        return _LEAST_AGREEMENT_ROUNDED if rounded else _LEAST_AGREEMENT

    @property
    def affordable_images(self) -> int:
        """How many images are compared by default."""
        return min(max(_PIXELS // self._pixels, _IMAGES[0]), _IMAGES[1])

    @property
    def chunk_images(self) -> int:
        """How many images are run at a time: whole batches of the file."""
        images = min(max(1, _CHUNK_PIXELS // self._pixels), _CHUNK_IMAGES)
        return -(-images // self.litert.batch) * self.litert.batch

    @functools.cached_property
    def outputs(self) -> dict[int, str]:
        """The file's name for each of the Keras model's outputs, by its place among them."""
        names = keras_outputs(self.keras_model)
        return pair_up(names, list(self.litert.outputs), "outputs", self.keras_name, self.path)

    @functools.cached_property
    def inputs(self) -> dict[int, str]:
        """Likewise of the inputs: that of the images, and what is fed noise beside them."""
        tensors, image = self.keras_model.inputs, keras_image(self.keras_model, self.keras_name)
        places = [place for place in range(len(tensors)) if place != image]
        names = [tensors[place].name for place in places]
        others = pair_up(names, self.litert.others, "further inputs", self.keras_name, self.path)
        return {image: self.litert.image} | {places[i]: name for i, name in others.items()}

    def keras_values(self, pixels: np.ndarray, first: int) -> list[np.ndarray]:
        """What the Keras model's inputs take for some images, in their order.

        Args:
            pixels: uint8 `(images, height, width, 3)`.
            first: Number of the first of them, which decides the noise beside them.
        """
        encoded = self.litert.encode(pixels, first) if self.litert.others else {}
        values = []
        for place, tensor in enumerate(self.keras_model.inputs):
            name = self.inputs[place]
            if name == self.litert.image:
                values.append(self.keras_input.values(pixels).astype(np.float32))
            else:
                info, held = self.litert.inputs[name], encoded[name]
                real = info.dequantize(held) if info.scale else held
                values.append(real.astype(keras.backend.standardize_dtype(tensor.dtype)))
        return values

    @property
    def _pixels(self):
        record = self.file_input.preprocessing
        return record.height * record.width


def open_pair(
    keras_name: str,
    path: str | os.PathLike,
    overrides: InputOverrides | None = None,
    num_threads: int = 1,
) -> Pair:
    """Opens both.

    Args:
        keras_name: A .keras file or a bundled model's name.
        path: The .tflite file.
        overrides: What the user says of their inputs.
        num_threads: Threads of the CPU kernels.

    Raises:
        ValueError: If one cannot be opened, nothing says how images are prepared
            for it, or they do not fit together.
    """
    overrides, path = overrides or InputOverrides(), os.fspath(path)
    file = read_graph(path)
    custom = sorted({op.custom_code for op in file.operators if op.custom_code is not None})
    if custom:
        raise ValueError(
            f"The file has operators that TFLite lacks: {', '.join(custom)}. Received: {path}"
        )
    with captured_native_output():
        keras_model = load_keras(keras_name)
    keras_input, file_input = _inputs(keras_model, keras_name, path, overrides)
    try_apart(path, file_input)
    asked = delegation(path, file.main)
    litert = ImageFile(path, file_input, num_threads)
    pair = Pair(
        keras_name,
        keras_model,
        keras_input,
        path,
        file,
        file_kind(file),
        file_input,
        litert,
        asked,
    )
    for what, tensors, names, infos in (
        ("inputs", keras_model.inputs, pair.inputs, litert.inputs),
        ("outputs", keras_model.outputs, pair.outputs, litert.outputs),
    ):
        for place, name in names.items():
            _check_shape(pair, what, tuple(tensors[place].shape), name, infos[name].shape)
    return pair


def _check_shape(pair, what, wanted, name, given):
    batches = what == "outputs" or given[:1] == (pair.litert.batch,)
    if name != pair.litert.image and not (
        batches
        and len(wanted) == len(given)
        and all(want in (None, have) for want, have in zip(wanted[1:], given[1:], strict=True))
    ):
        which = f" ({name})" if max(len(pair.inputs), len(pair.outputs)) > 1 else ""
        raise ValueError(
            f"The models do not fit together: {what} of {shape_text(wanted[1:])} for an image in "
            f"{pair.keras_name}, of {shape_text(given[1:])} in {pair.path}{which}"
        )


def _inputs(model, keras_name, path, overrides):
    """How images are prepared for both: resized and cropped alike.

    What one does not say of mean and std, the other may.
    """
    described = read_sidecar(path)
    own = getattr(model, "preprocessing", None)
    for_keras = overrides
    if own is None and described is not None:
        record = described.of_model or described.preprocessing
        for_keras = dataclasses.replace(
            overrides, mean=overrides.mean or record.mean, std=overrides.std or record.std
        )
    try:
        file_input = tflite_input(path, overrides)
    except ValueError:
        if own is None or described is not None or overrides.normalization():
            raise
        file_input = tflite_input(path, dataclasses.replace(overrides, mean=own.mean, std=own.std))
    record = file_input.preprocessing
    if described is None and own is not None:
        geometry = {name: getattr(own, name) for name in GEOMETRY}
        record = dataclasses.replace(record, **(geometry | overrides.geometry()))
        file_input = dataclasses.replace(file_input, preprocessing=record)
    size = (record.height, record.width)
    keras_input = keras_model_input(model, keras_name, dataclasses.replace(for_keras, size=size))
    check_values_used([keras_input, file_input], overrides)
    return keras_input, file_input


def file_kind(file):
    """What a file computes with: `"float32"`, `"float16"`, `"dynamic"` or `"int8"`."""
    computed = [
        tensor
        for operator in file.operators
        if operator.name != "QUANTIZE"
        for tensor in file.main.output_tensors(operator)
    ]
    if any(tensor.scales and not tensor.dtype.startswith("float") for tensor in computed):
        return "int8"
    constants = {
        tensor.dtype for tensor in file.tensors if tensor.is_constant and tensor.elements > 64
    }
    if "int8" in constants:
        return "dynamic"
    return "float16" if "float16" in constants else "float32"


def shape_text(shape) -> str:
    """A shape for a message."""
    return "x".join("?" if size is None else str(size) for size in shape) or "one number"
