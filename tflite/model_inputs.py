"""How images become a model's input, for .tflite and .keras files alike."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from care_keras.data.preprocessing import normalize
from care_keras.litert import TensorInfo
from care_keras.models import PRESETS, Preprocessing
from care_keras.tflite_file import read_graph

INPUT_KINDS = ("float", "rgb_uint8")
# Largest pixel value: an integer type has to reach it to hold raw pixels.
_WHITE = 255


@dataclasses.dataclass(frozen=True)
class InputOverrides:
    """What the user says of the input, before all else; `None` is what is not said.

    Attributes:
        size: `(height, width)` in pixels.
        mean: Per RGB channel, in units of full scale (pixel / 255).
        std: Per RGB channel, in the same units.
        interpolation: `"bicubic"`, `"bilinear"` or `"nearest"`.
        crop_ratio: Crop size over resized size, in (0, 1].
    """

    size: tuple[int, int] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    interpolation: str | None = None
    crop_ratio: float | None = None

    def geometry(self) -> dict:
        """What was said of anything but the size and the values, as fields of `Preprocessing`."""
        fields = {"interpolation": self.interpolation, "crop_ratio": self.crop_ratio}
        return {name: value for name, value in fields.items() if value is not None}

    def values(self) -> dict:
        """What was said of the values, as fields of `Preprocessing`."""
        return {
            name: value
            for name, value in (("mean", self.mean), ("std", self.std))
            if value is not None
        }


@dataclasses.dataclass(frozen=True)
class ModelInput:
    """How images become the input of one model.

    Attributes:
        kind: `"float"`, normalized values (which a quantized input holds as
            codes), or `"rgb_uint8"`, raw pixels.
        preprocessing: Its record; `mean` and `std` are of no effect on raw pixels.
        labels: Names of the classes, or `None`.
    """

    kind: str
    preprocessing: Preprocessing
    labels: tuple[str, ...] | None = None

    def values(self, pixels: np.ndarray) -> np.ndarray:
        """What the model takes for uint8 pixels `(..., height, width, 3)`, as real values."""
        return pixels if self.kind == "rgb_uint8" else normalize(pixels, self.preprocessing)

    def encode(self, pixels: np.ndarray, tensor: TensorInfo) -> np.ndarray:
        """The same as the content of an input tensor, in its type.

        Raw pixels are the codes of a uint8 tensor, whatever scale it has: the
        scale then says how the network reads them.
        """
        if self.kind == "rgb_uint8" and tensor.dtype == np.uint8:
            return pixels
        return tensor.quantize(self.values(pixels))


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
            files are loaded for it; with a model at hand, see
            `keras_model_input`.
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
            from care_keras.models.loading import load_any

            inputs.append(keras_model_input(load_any(os.fspath(path)), path, overrides))
        else:
            inputs.append(_tflite_input(pathlib.Path(path), overrides))
    check_values_used(inputs, overrides)
    return inputs


def check_values_used(inputs: Sequence[ModelInput], overrides: InputOverrides) -> None:
    """Raises ValueError if `mean` or `std` is given and no model has a use for it."""
    if overrides.values() and all(one.kind == "rgb_uint8" for one in inputs):
        raise ValueError(
            "mean and std are of no use: raw pixels are the input. "
            f"Received: {' and '.join(overrides.values())} for a model of kind rgb_uint8"
        )


def is_keras(path: str | os.PathLike) -> bool:
    """Whether a model is Keras's, by its name."""
    return os.fspath(path) in PRESETS or pathlib.Path(path).suffix == ".keras"


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
    from care_keras.convert.job import ConversionJob, model_preprocessing

    overrides = overrides or InputOverrides()
    if getattr(model, "preprocessing", None) is None and len(overrides.values()) < 2:
        raise _values_missing(name, "the model does not say how its images are prepared")
    job = ConversionJob(
        model=os.fspath(name),
        output=pathlib.Path(),
        precision="float32",
        input_kind="float",
        size=overrides.size,
        mean=overrides.mean,
        std=overrides.std,
    )
    try:
        record = model_preprocessing(model, job, warnings=[])
    except ValueError as error:
        raise ValueError(f"{os.fspath(name)}: {error}") from error
    labels = getattr(model, "labels", None)
    return ModelInput(
        "float",
        dataclasses.replace(record, **overrides.geometry()),
        None if labels is None else tuple(labels),
    )


def read_sidecar(model_path: str | os.PathLike) -> ModelInput | None:
    """What the JSON beside a .tflite file says of its input, `None` if there is none.

    Of what `care_keras.convert` writes it needs `input.kind` and
    `preprocessing` with `height` and `width`; `labels` may be left out.

    Raises:
        ValueError: If the JSON is not such a description.
    """
    path = pathlib.Path(model_path).with_suffix(".json")
    try:
        text = path.read_text()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"The description cannot be read. Received: {path} ({error})") from error
    try:
        content = json.loads(text)
        fields = {field.name for field in dataclasses.fields(Preprocessing)}
        record = {key: value for key, value in content["preprocessing"].items() if key in fields}
        kind, labels = content["input"]["kind"], content.get("labels")
        if kind not in INPUT_KINDS:
            raise ValueError(f"the input's kind is {kind!r}")
        if labels is not None and not (
            isinstance(labels, list) and all(isinstance(label, str) for label in labels)
        ):
            raise TypeError("the labels are no list of texts")
        return ModelInput(kind, Preprocessing(**record), None if labels is None else tuple(labels))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(
            f"Not a description written by care_keras.convert. Received: {path} ({error!r})"
        ) from error


def _tflite_input(path: pathlib.Path, overrides: InputOverrides) -> ModelInput:
    tensor = _image_tensor(path)
    described = read_sidecar(path)
    height, width = _size(path, tensor.shape_signature or tensor.shape, described, overrides)
    if described is not None:
        kind, record, labels = described.kind, described.preprocessing, described.labels
    else:
        labels = None
        kind = "rgb_uint8" if _takes_raw_pixels(tensor, overrides) else "float"
        if kind == "float" and len(overrides.values()) < 2:
            json_name = path.with_suffix(".json").name
            raise _values_missing(
                path, f"there is no {json_name} that says how images are prepared"
            )
        record = Preprocessing(height, width)
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
        **(overrides.values() if kind == "float" else {}),
    )
    return ModelInput(kind, record, labels)


def _image_tensor(path):
    """The one input of a .tflite file, `(batch, height, width, 3)`."""
    graph = read_graph(path)
    if len(graph.inputs) != 1:
        raise ValueError(
            f"The model must have one input. Received: {len(graph.inputs)} inputs in {path}"
        )
    tensor = graph.inputs[0]
    shape = tensor.shape_signature or tensor.shape
    if len(shape) != 4 or shape[-1] not in (3, -1):
        text = "x".join("?" if size < 0 else str(size) for size in shape) or "a scalar"
        raise ValueError(
            "The model must take RGB images (batch, height, width, 3). "
            f"Received: an input of {text} in {path}"
        )
    if not tensor.dtype.startswith(("float", "int", "uint")):
        raise ValueError(f"The input must hold numbers. Received: {tensor.dtype} in {path}")
    return tensor


def _size(path, shape, described, overrides):
    """Height and width of the images: what was said, else the file's."""
    fixed = tuple(size if size > 0 else None for size in shape[1:3])
    told = described and (described.preprocessing.height, described.preprocessing.width)
    size = overrides.size or told or fixed
    if None in size:
        raise ValueError(f"The model takes any size: choose one with --size. Received: {path}")
    if any(have not in (None, want) for want, have in zip(size, fixed, strict=True)):
        text = "x".join("?" if have is None else str(have) for have in fixed)
        source = "--size" if overrides.size else f"{path.with_suffix('.json').name} beside it"
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
    return tensor.dtype == "uint8" and not overrides.values()


def _values_missing(name, reason):
    return ValueError(
        f"{reason[0].upper()}{reason[1:]}: give --mean and --std "
        "(in units of full scale: 0,0,0 and 1,1,1 for values from 0 to 1). "
        f"Received: {os.fspath(name)}"
    )
