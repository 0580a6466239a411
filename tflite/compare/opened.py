"""A .tflite file and a Keras model, opened together."""

import dataclasses
import functools
import math
import os
from collections.abc import Sequence

import keras
import numpy as np

from care_keras.console.native_output import captured_native_output
from care_keras.convert.examples import InputSpec, read_arrays
from care_keras.data.overrides import GEOMETRY, InputOverrides
from care_keras.data.record import image_places
from care_keras.litert.tensor import inputs_of
from care_keras.quantization import is_quantized
from care_keras.shapes import shape_text
from care_keras.tflite_file import Graph, read_graph
from tflite.audit.xnnpack import Delegation, delegation
from tflite.compare.figures import Criterion
from tflite.compare.pairing import pair_up
from tflite.evaluate.opened import try_apart
from tflite.inputs.example_file import ExampleFile
from tflite.inputs.image_file import ImageFile
from tflite.inputs.model_inputs import (
    check_values_used,
    keras_image,
    keras_model_input,
    keras_outputs,
    load_keras,
    tflite_input,
)
from tflite.inputs.records import ModelInput, read_sidecar

# Examples that are compared by default: at most this many numbers in all, within bounds.
_NUMBERS, _EXAMPLES = 3 * 2_500_000, (50, 5000)
# At a time: 8 images of 224x224, whose tensors take some 500 MB, and at most so many.
_CHUNK_NUMBERS, _CHUNK_EXAMPLES = 8 * 224 * 224 * 3, 256
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
        keras_input: How images are prepared for it; `None` of arrays.
        path: The .tflite file.
        file: What is in it.
        kind: `"float32"`, `"float16"` (weights), `"dynamic"` (int8 weights) or `"int8"`.
        file_input: How images are prepared for it; `None` of arrays.
        litert: The file, opened as apps open it.
        delegation: What XNNPACK does with it.
    """

    keras_name: str
    keras_model: keras.Model
    keras_input: ModelInput | None
    path: str
    file: Graph
    kind: str
    file_input: ModelInput | None
    litert: ExampleFile
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
    def affordable_examples(self) -> int:
        """How many are compared by default."""
        return min(max(_NUMBERS // self._numbers, _EXAMPLES[0]), _EXAMPLES[1])

    @property
    def chunk_examples(self) -> int:
        """How many are run at a time: whole batches of the file."""
        examples = min(max(1, _CHUNK_NUMBERS // self._numbers), _CHUNK_EXAMPLES)
        return -(-examples // self.litert.batch) * self.litert.batch

    @functools.cached_property
    def outputs(self) -> dict[int, str]:
        """The file's name for each of the Keras model's outputs, by its place among them."""
        names = keras_outputs(self.keras_model)
        return pair_up(
            names, list(self.litert.outputs), "outputs", self.keras_name, self.path, some=True
        )

    @functools.cached_property
    def inputs(self) -> dict[int, str]:
        """Likewise of the inputs, in the Keras model's order."""
        if not isinstance(self.litert, ImageFile):
            return _pair_inputs(
                self.keras_model, self.keras_name, list(self.litert.inputs), self.path
            )
        tensors, image = self.keras_model.inputs, keras_image(self.keras_model, self.keras_name)
        places = [place for place in range(len(tensors)) if place != image]
        names = [tensors[place].name for place in places]
        others = pair_up(names, self.litert.others, "further inputs", self.keras_name, self.path)
        named = {image: self.litert.image} | {places[i]: name for i, name in others.items()}
        return dict(sorted(named.items()))

    @property
    def noise_inputs(self) -> tuple[str, ...]:
        """Names of the file's inputs that are fed noise, beside images."""
        return self.litert.others if isinstance(self.litert, ImageFile) else ()

    def in_keras_types(self, values: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Numbers for the Keras model's inputs, in their order, in the inputs' types."""
        pairs = zip(values, self.keras_model.inputs, strict=True)
        return [one.astype(keras.backend.standardize_dtype(x.dtype)) for one, x in pairs]

    @property
    def _numbers(self):
        return sum(math.prod(info.shape[1:]) for info in self.litert.inputs.values())


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
    keras_model, file = _read(keras_name, path)
    if not image_places([tuple(x.shape) for x in keras_model.inputs]):
        listed = ", ".join(f"{x.name!r} {tuple(x.shape)[1:]}" for x in keras_model.inputs)
        raise ValueError(
            "The Keras model takes no images: compare it on arrays, --data=FILE.npz with one "
            f"(examples, ...) named after each input. Received: {keras_name}, which takes {listed}"
        )
    keras_input, file_input = _inputs(keras_model, keras_name, path, overrides)
    try_apart(path, file_input)
    litert = ImageFile(path, file_input, num_threads)
    return _paired(keras_name, keras_model, file, litert, keras_input, file_input)


def open_pair_of_arrays(
    keras_name: str, path: str | os.PathLike, data: str, num_threads: int = 1
) -> tuple[Pair, dict[str, np.ndarray]]:
    """Opens both, and arrays of what their inputs take.

    Args:
        keras_name: A .keras file or a bundled model's name.
        path: The .tflite file.
        data: An .npz file of an array `(examples, ...)` for each of the Keras model's
            inputs, by its name, that hold what the model takes.
        num_threads: Threads of the CPU kernels.

    Returns:
        The pair, and the arrays in the order of the Keras model's inputs.

    Raises:
        ValueError: If one cannot be opened, or they do not fit together.
    """
    path = os.fspath(path)
    keras_model, file = _read(keras_name, path)
    infos = inputs_of(file)
    names = _pair_inputs(keras_model, keras_name, list(infos), path)
    specs = []
    for place, tensor in enumerate(keras_model.inputs):
        have = file.tensors[infos[names[place]].index]
        if -1 in have.shape_signature[1:]:
            raise ValueError(
                "The file leaves sizes of an input open: arrays are for inputs of fixed sizes. "
                f"Received: {names[place]} in {path}"
            )
        dtype = keras.backend.standardize_dtype(tensor.dtype)
        specs.append(InputSpec(tensor.name, tuple(have.shape[1:]), dtype, None))
    arrays = read_arrays(data, specs)
    lacking = [str(spec) for spec in specs if spec.name not in arrays]
    if lacking:
        raise ValueError(
            "Every input needs an array, named after it. "
            f"Received: no array for {', '.join(lacking)} in {data}"
        )
    _check_same_numbers(path, data)
    batch = infos[names[0]].shape[0] if infos[names[0]].shape else 1
    pair = _paired(keras_name, keras_model, file, ExampleFile(file, batch, num_threads))
    return pair, {spec.name: arrays[spec.name] for spec in specs}


def _read(keras_name, path):
    """The Keras model, and what is in the file."""
    file = read_graph(path)
    custom = sorted({op.custom_code for op in file.operators if op.custom_code is not None})
    if custom:
        raise ValueError(
            f"The file has operators that TFLite lacks: {', '.join(custom)}. Received: {path}"
        )
    with captured_native_output():
        return load_keras(keras_name), file


def _paired(keras_name, keras_model, file, litert, keras_input=None, file_input=None):
    """The pair, if both are alike in their inputs and outputs."""
    pair = Pair(
        keras_name,
        keras_model,
        keras_input,
        file.source,
        file,
        file_kind(file),
        file_input,
        litert,
        delegation(file.source, file.main),
    )
    for what, tensors, names, infos in (
        ("inputs", keras_model.inputs, pair.inputs, litert.inputs),
        ("outputs", keras_model.outputs, pair.outputs, litert.outputs),
    ):
        for place, name in names.items():
            _check_shape(pair, what, tuple(tensors[place].shape), name, infos[name].shape)
    return pair


def _pair_inputs(keras_model, keras_name, file_names, path):
    names = [tensor.name for tensor in keras_model.inputs]
    return pair_up(names, file_names, "inputs", keras_name, path)


def _check_same_numbers(path, data):
    """Raises ValueError if the file takes pixels where the Keras model takes something else."""
    described = read_sidecar(path)
    if described is None or described.kind != "rgb_uint8":
        return
    record = described.of_model or described.preprocessing
    pixels = record.taking_pixels()
    if (record.mean, record.std) != (pixels.mean, pixels.std):
        raise ValueError(
            "The file takes pixels and the Keras model normalized values: compare them on images, "
            f"--data=DIR. Received: {data} for {path}"
        )


def _check_shape(pair, what, wanted, name, given):
    batches = what == "outputs" or given[:1] == (pair.litert.batch,)
    is_image = isinstance(pair.litert, ImageFile) and name == pair.litert.image
    if not is_image and not (
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
