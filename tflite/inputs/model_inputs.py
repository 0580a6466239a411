"""How images become a model's input, for .tflite and .keras files alike."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from care_keras.console.progress import say
from care_keras.data.overrides import InputOverrides
from care_keras.data.record import IMAGE_CHANNELS, Preprocessing, check_channels, image_places
from care_keras.data.sidecar import sidecar_path
from care_keras.litert.tensor import inputs_of
from care_keras.models.presets import PRESETS
from care_keras.models.tasks import task_of
from care_keras.shapes import shape_text
from care_keras.tflite_file import Graph, Tensor, read_graph
from tflite.inputs.records import ModelInput, read_sidecar

# Largest pixel value: an integer type has to reach it to hold raw pixels.
_WHITE = 255
_AN_IMAGE = (
    "One of the model's inputs must take images (batch, height, width, 3), or 1 for grey ones: it "
    "needs another kind of data. Received: inputs {}"
)


def read_model_input(
    path: str | os.PathLike, overrides: InputOverrides | None = None
) -> ModelInput:
    """`read_model_inputs` of one model."""
    return read_model_inputs([path], overrides)[0]


def read_model_inputs(
    paths: Sequence[str | os.PathLike], overrides: InputOverrides | None = None
) -> list[ModelInput]:
    """Finds out how images are prepared for models.

    What `overrides` says holds for all of them; `mean` and `std` for those
    that take normalized values. Else the JSON beside a .tflite file says it,
    or the .keras model itself. A .tflite file without a JSON takes raw pixels
    if its input is of an integer type that holds them, as it is; otherwise its
    mean and std must be given.

    Args:
        paths: .tflite files, .keras files, or bundled models' names. .keras
            files are loaded for it; see `keras_model_input` for a loaded one.
        overrides: What the user says.

    Raises:
        ValueError: If a file cannot be read, takes no images, or nothing says
            how they are prepared; or if `mean` or `std` is given and all
            models take raw pixels.
    """
    overrides = overrides or InputOverrides()
    inputs = []
    for path in paths:
        if is_keras(path):
            inputs.append(keras_model_input(load_keras(path), path, overrides))
        else:
            inputs.append(tflite_input(path, overrides))
    check_values_used(inputs, overrides)
    return inputs


def check_values_used(inputs: Sequence[ModelInput], overrides: InputOverrides) -> None:
    """Raises ValueError if `mean` or `std` is given and no model has a use for it."""
    if overrides.normalization() and all(one.kind == "rgb_uint8" for one in inputs):
        raise ValueError(
            "mean and std are of no use: raw pixels are the input. "
            f"Received: {' and '.join(overrides.normalization())} for a model of kind rgb_uint8"
        )


def is_keras(path: str | os.PathLike) -> bool:
    """Whether a model is Keras's, by its name."""
    return os.fspath(path) in PRESETS or pathlib.Path(path).suffix == ".keras"


def tflite_input(path: str | os.PathLike, overrides: InputOverrides | None = None) -> ModelInput:
    """How images are prepared for a .tflite file; see `read_model_inputs`."""
    path, overrides = pathlib.Path(path), overrides or InputOverrides()
    tensor = image_tensor(read_graph(path))
    described = read_sidecar(path)
    height, width = _size(path, tensor.shape_signature or tensor.shape, described, overrides)
    if described is not None:
        kind, record, labels = described.kind, described.preprocessing, described.labels
    else:
        labels = None
        kind = "rgb_uint8" if _takes_raw_pixels(tensor, overrides) else "float"
        if kind == "float" and len(overrides.normalization()) < 2:
            json_name = sidecar_path(path).name
            raise _values_missing(
                path, f"there is no {json_name} that says how images are prepared"
            )
        # Values that are of no effect, or replaced below.
        record = Preprocessing.of_pixels(height, width, image_channels(tensor))
    _check_channels(path, tensor, record, overrides)
    if kind == "float" and not tensor.scales and not tensor.dtype.startswith("float"):
        raise ValueError(
            f"Normalized values do not fit an input of {tensor.dtype} without a scale. "
            f"Received: {path}"
        )
    record = dataclasses.replace(
        record,
        height=height,
        width=width,
        **overrides.geometry(),
        **(overrides.normalization() if kind == "float" else {}),
    )
    return ModelInput(kind, record, labels, task=None if described is None else described.task)


def load_keras(path: str | os.PathLike):
    """Loads a .keras file of any form, or a bundled model by its name.

    Raises:
        ValueError: If it cannot be loaded; see `care_keras.loading.load_any`.
    """
    from care_keras.loading import load_any

    return load_any(os.fspath(path))


def keras_model_input(
    model, name: str | os.PathLike, overrides: InputOverrides | None = None
) -> ModelInput:
    """How images are prepared for a loaded Keras model.

    Args:
        model: The `keras.Model`.
        name: Its name in messages.
        overrides: What the user says.

    Raises:
        ValueError: If it takes no images, not of that size, or nothing says how
            they are prepared.
    """
    # The converter's rules for sizes and records are these models' rules here.
    from care_keras.convert.preprocessing import model_preprocessing, says_its_preprocessing

    overrides = overrides or InputOverrides()
    place = keras_image(model, name) if len(model.inputs) > 1 else 0
    if not says_its_preprocessing(model, place) and len(overrides.normalization()) < 2:
        raise _values_missing(name, "the model does not say how its images are prepared")
    lines: list[str] = []
    try:
        record = model_preprocessing(model, overrides, warnings=lines, place=place)
    except ValueError as error:
        raise ValueError(f"{os.fspath(name)}: {error}") from error
    for line in lines:
        say(f"{os.fspath(name)}: {line}")
    labels = getattr(model, "labels", None)
    return ModelInput(
        "float",
        record,
        None if labels is None else tuple(labels),
        task=task_of(model),
    )


def keras_image(model, name: str | os.PathLike) -> int:
    """The place of the input that takes images among a Keras model's, the first of several.

    Raises:
        ValueError: If there is none.
    """
    places = image_places([tuple(tensor.shape) for tensor in model.inputs])
    if not places:
        listed = ", ".join(f"{one.name} {one.dtype} {one.shape}" for one in model.inputs)
        raise ValueError(_AN_IMAGE.format(f"{listed} in {os.fspath(name)}"))
    return places[0]


def keras_outputs(model) -> list[str]:
    """Names of a Keras model's outputs, in the order that `keras.tree.flatten` has them in.

    The keys of a model that returns a dict, as the file of it has them, else the layers'.
    """
    from care_keras.graph import functional_form

    form = functional_form(model)
    if form is None:
        return [f"output_{place}" for place in range(len(model.outputs))]
    if isinstance(form.output, dict) and len(form.output) == len(form.outputs):
        return sorted(form.output)
    return list(form.output_names)


def image_tensor(graph: Graph) -> Tensor:
    """The input of a .tflite file that takes images, `(batch, height, width, 3)` or 1 channel.

    Of several the first is taken, RGB before grey; the others count as further
    inputs.

    Raises:
        ValueError: If there is none.
    """
    places = image_places([_open_shape(tensor) for tensor in graph.inputs])
    takers = [graph.inputs[place] for place in places]
    if len(graph.inputs) == 1:
        (tensor,) = graph.inputs
        if not takers:
            raise ValueError(
                "The model must take images (batch, height, width, 3), or 1 for grey ones. "
                f"Received: an input of {_text(tensor)} in {graph.source}"
            )
        if not tensor.dtype.startswith(("float", "int", "uint")):
            raise ValueError(
                f"The input must hold numbers. Received: {tensor.dtype} in {graph.source}"
            )
    if not takers:
        names = {info.index: name for name, info in inputs_of(graph).items()}
        listed = (f"{names[one.index]} {one.dtype} {_text(one)}" for one in graph.inputs)
        raise ValueError(_AN_IMAGE.format(f"{', '.join(listed)} in {graph.source}"))
    return takers[0]


def image_channels(tensor: Tensor) -> int:
    """Channels of an input that takes images: RGB where the file leaves them open."""
    return _open_shape(tensor)[-1]


def _open_shape(tensor):
    """The shape of an input, images of any number of channels as RGB."""
    shape = tuple(tensor.shape_signature or tensor.shape)
    return (*shape[:-1], IMAGE_CHANNELS[0]) if len(shape) == 4 and shape[-1] == -1 else shape


def _check_channels(path, tensor, record, overrides):
    """Raises ValueError if what is said is of other images than the file takes."""
    channels = image_channels(tensor)
    if record.channels != channels:
        raise ValueError(
            f"The model takes images of {channels} channels, {sidecar_path(path).name} beside it "
            f"speaks of {record.channels}. Received: {path}"
        )
    check_channels(channels, overrides.mean, overrides.std)


def _text(tensor):
    return shape_text(tensor.shape_signature or tensor.shape)


def _size(path, shape, described, overrides):
    """Height and width of the images: what was said, else the file's."""
    fixed = tuple(size if size > 0 else None for size in shape[1:3])
    told = described and (described.preprocessing.height, described.preprocessing.width)
    size = overrides.size or told or fixed
    if None in size:
        raise ValueError(f"The model takes any size: choose one with --size. Received: {path}")
    if any(have not in (None, want) for want, have in zip(size, fixed, strict=True)):
        text = shape_text(fixed)
        source = "--size" if overrides.size else f"{sidecar_path(path).name} beside it"
        raise ValueError(
            f"The model takes images of {text} pixels only. "
            f"Received: {size[0]}x{size[1]} by {source}, for {path}"
        )
    return size


def _takes_raw_pixels(tensor, overrides):
    """Whether an input that nothing describes takes pixels as they are."""
    if tensor.dtype.startswith("float"):
        return False
    if not tensor.scales:
        return np.iinfo(tensor.dtype).max >= _WHITE
    return tensor.dtype == "uint8" and not overrides.normalization()


def _values_missing(name, reason):
    return ValueError(
        f"{reason[0].upper()}{reason[1:]}: give --mean and --std "
        "(in units of full scale: 0,0,0 and 1,1,1 for values from 0 to 1, 0,0,0 and "
        "1/255,1/255,1/255 for those of pixels; one value of grey images). "
        f"Received: {os.fspath(name)}"
    )
