"""Holds a .tflite file against the Keras model, on images neither was fitted to."""

import dataclasses
import os

import keras
import numpy as np

from care_keras.console.progress import progress
from care_keras.data.preprocessing import normalize
from care_keras.data.record import Preprocessing
from care_keras.litert.model import LiteRTModel
from care_keras.metrics import finite_or_none, snr_db, top1_agreement, top_k
from care_keras.primitives.deploy_model import DeployModel

# Pixels of one batch of the Keras model: 32 images of 224x224; of one made of primitives, whose
# every intermediate tensor stays in memory until the batch is done, an eighth of that.
_BATCH_PIXELS = 32 * 224 * 224
_PRIMITIVES_BATCH_PIXELS = _BATCH_PIXELS // 8


@dataclasses.dataclass(frozen=True)
class CheckResult:
    """How one file does on held-out images.

    Attributes:
        name: What was run: `"keras"`, `"float32"`, `"int8"`.
        size_bytes: Size of the file.
        images: Images it was run on.
        top1: Share of labels it got right, or `None` without labels.
        agreement: Share of images where it picks the Keras model's class.
        snr_db: Of its outputs against the Keras model's, in dB.
        constant: Whether it gives one and the same output for all images.
    """

    name: str
    size_bytes: int
    images: int
    top1: float | None
    agreement: float
    snr_db: float
    constant: bool = False

    def to_dict(self) -> dict:
        """As plain JSON types; an infinite ratio, which JSON lacks, as `None`."""
        result = dataclasses.asdict(self)
        result["snr_db"] = finite_or_none(self.snr_db)
        return result


def keras_outputs(
    model: keras.Model, pixels: np.ndarray, preprocessing: Preprocessing
) -> np.ndarray:
    """What the Keras model returns for uint8 pixels: float32 `(images, classes)`."""
    # Few large batches: eager operations on small ones cost more to start than to run.
    budget = _PRIMITIVES_BATCH_PIXELS if isinstance(model, DeployModel) else _BATCH_PIXELS
    batch = max(1, budget // (pixels.shape[1] * pixels.shape[2]))
    outputs = []
    starts = range(0, len(pixels), batch)
    for start in progress(starts, "running the Keras model, batch"):
        inputs = normalize(pixels[start : start + batch], preprocessing)
        # Not `predict`: tracing a graph takes longer than these few batches do.
        outputs.append(keras.ops.convert_to_numpy(model(inputs, training=False)))
    return np.concatenate(outputs).astype(np.float32)


def check_file(
    name: str,
    path: str | os.PathLike,
    input_kind: str,
    preprocessing: Preprocessing,
    pixels: np.ndarray,
    labels: np.ndarray | None,
    reference: np.ndarray,
) -> CheckResult:
    """Opens a .tflite file anew, runs it on held-out images and compares.

    Args:
        name: Name of the row.
        path: The file.
        input_kind: `"float"` or `"rgb_uint8"`, what the file takes.
        preprocessing: The model's record.
        pixels: uint8 images of shape `(images, height, width, 3)`.
        labels: Their class indices, or `None`.
        reference: The Keras model's outputs for them.

    Raises:
        ValueError: If the file does not run, or gives values that are not
            finite.
    """
    model = LiteRTModel(path)
    batch = model.input.shape[0]
    outputs = []
    for start in progress(range(0, len(pixels), batch), f"running the {name} file, image"):
        part = pixels[start : start + batch]
        outputs.append(
            model.predict(part if input_kind == "rgb_uint8" else normalize(part, preprocessing))
        )
    outputs = np.concatenate(outputs).reshape(reference.shape)
    if not np.all(np.isfinite(outputs)):
        raise ValueError(f"The {name} file gives values that are not finite on real images")
    return CheckResult(
        name=name,
        size_bytes=os.path.getsize(path),
        images=len(pixels),
        top1=None if labels is None else top_k(outputs, labels, 1),
        agreement=top1_agreement(outputs, reference),
        snr_db=snr_db(outputs, reference),
        # Of a reference that differs by less than a code there is nothing else to give.
        constant=is_constant(outputs) and np.ptp(reference, axis=0).max() > model.output.scale,
    )


def is_constant(outputs: np.ndarray) -> bool:
    """Whether several images have one and the same output."""
    return len(outputs) > 1 and bool(np.all(outputs == outputs[:1]))
