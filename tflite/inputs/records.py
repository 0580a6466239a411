"""Records of how images become a model's input, and the JSON that holds one."""

import dataclasses
import os

import numpy as np

from care_keras.data.preprocessing import normalize
from care_keras.data.record import Preprocessing
from care_keras.data.sidecar import sidecar_path
from care_keras.files import parse_json
from care_keras.litert.tensor import TensorInfo
from care_keras.models.tasks import task_of


@dataclasses.dataclass(frozen=True)
class ModelInput:
    """How images become the input of one model.

    Attributes:
        kind: `"float"`, normalized values (which a quantized input holds as
            codes), or `"rgb_uint8"`, raw pixels.
        preprocessing: Its record; `mean` and `std` are of no effect on raw pixels.
        labels: Names of the classes, or `None`.
        of_model: Of a file, the record of the model that it was made of,
            `None` if its JSON does not say it.
        task: What the outputs are for, see `task_of`; `None` if nothing says it.
    """

    kind: str
    preprocessing: Preprocessing
    labels: tuple[str, ...] | None = None
    of_model: Preprocessing | None = None
    task: dict | None = None

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


def read_sidecar(model_path: str | os.PathLike) -> ModelInput | None:
    """What the JSON beside a .tflite file says of its input, `None` if there is none.

    Of what `care_keras.convert` writes it needs `input.kind` and
    `preprocessing` with `height` and `width`; `labels` may be left out. Where the
    preprocessing is null, as of a model that was converted with arrays of its own,
    nothing is said of images.

    Raises:
        ValueError: If the JSON is not such a description.
    """
    path = sidecar_path(model_path)
    try:
        text = path.read_text()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"The description cannot be read. Received: {path} ({error})") from error
    try:
        content = parse_json(text)
        if content["preprocessing"] is None:
            return None
        record = _record(content["preprocessing"])
        of_model = content.get("model_preprocessing")
        kind, labels = content["input"]["kind"], content.get("labels")
        if kind not in ("float", "rgb_uint8"):
            raise ValueError(f"the input's kind is {kind!r}")
        if labels is not None and not (
            isinstance(labels, list) and all(isinstance(label, str) for label in labels)
        ):
            raise TypeError("the labels are no list of texts")
        return ModelInput(
            kind,
            record,
            None if labels is None else tuple(labels),
            None if of_model is None else _record(of_model),
            task_of(content),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(
            "Not a description written by care_keras.convert. "
            f"Received: {path} ({_short(repr(error))})"
        ) from error


def _short(text):
    return text if len(text) <= 200 else f"{text[:197]}..."


def _record(described):
    fields = {field.name for field in dataclasses.fields(Preprocessing)}
    return Preprocessing(**{key: value for key, value in described.items() if key in fields})
