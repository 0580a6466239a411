"""A Keras model to the bytes of a .tflite file.

CARE models go through their deploy form and are written by `care_keras.emit`,
in every backend. TensorFlow's converter takes other models, `"dynamic"`, and
the deploy form of a CARE model that has layers of another kind besides, such as
a head of the user's own.
"""

import dataclasses
from collections.abc import Iterable

import keras
import numpy as np

from care_keras.convert.by_tensorflow import convert_by_tensorflow
from care_keras.data.record import Preprocessing
from care_keras.deploy import Rewrites, fuse
from care_keras.emit.network import emit_tflite
from care_keras.graph import functional_form
from care_keras.layers import CAREBlock
from care_keras.primitives.deploy_model import DeployModel
from care_keras.quantization import QuantizationConfig, calibrate, is_quantized, quantize
from care_keras.quantization.quantize import describe_operations, without_int8

PRECISIONS = ("float32", "float16", "dynamic", "int8")
INPUT_KINDS = ("float", "rgb_uint8")
# Pixels of one batch of calibration: 8 images of 224x224, whose tensors take some 500 MB.
_CALIBRATION_BATCH_PIXELS = 8 * 224 * 224


@dataclasses.dataclass(frozen=True)
class ConvertedModel:
    """A .tflite file.

    Attributes:
        content: Its bytes.
        preprocessing: How images are prepared for it, where its input kind is
            `"float"`.
        quantized_form: What an int8 file of a CARE model was written from, or
            `None`.
    """

    content: bytes
    preprocessing: Preprocessing
    quantized_form: DeployModel | None = None


def convert_model(
    model: keras.Model,
    preprocessing: Preprocessing,
    precision: str = "float32",
    input_kind: str = "float",
    batch: int = 1,
    calibration: Iterable[np.ndarray] | None = None,
    quantization: QuantizationConfig | None = None,
) -> ConvertedModel:
    """Converts a model to TFLite.

    Args:
        model: From `(batch, height, width, 3)` images, normalized as
            `preprocessing` says, to one tensor.
        preprocessing: The model's record; its size is the file's input size.
        precision: `"float32"`; `"float16"`, weights stored in half precision;
            `"dynamic"`, int8 weights and float activations; or `"int8"`.
        input_kind: `"float"`, normalized float32 images, or `"rgb_uint8"`, raw
            pixels.
        batch: Images per inference.
        calibration: Of int8: uint8 images `(height, width, 3)` of the input's
            size that set the ranges of the activations. A quantized form has
            its ranges, and needs none.
        quantization: Of int8 of a CARE model: how it is quantized; `int8_ptq()`
            by default.

    Returns:
        The file. Its input and output are float32, but uint8 pixels with
        `"rgb_uint8"`, and int8 with `"int8"`: codes of pixels, 0 to 255, for a
        CARE model.

    Raises:
        ValueError: If an argument is out of its range, or the model cannot
            take images of that size or cannot be expressed in TFLite; of int8,
            if a CARE model has layers without an int8 form.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"`precision` must be one of {PRECISIONS}. Received: {precision!r}")
    if input_kind not in INPUT_KINDS:
        raise ValueError(f"`input_kind` must be one of {INPUT_KINDS}. Received: {input_kind!r}")
    if is_quantized(model) and precision != "int8":
        raise ValueError(
            f"A quantized form converts to int8 only. Received: precision={precision!r}"
        )
    if precision == "int8" and calibration is None and not is_quantized(model):
        raise ValueError("int8 needs images that set its ranges. Received: calibration=None")
    if not is_care(model):
        content = convert_by_tensorflow(
            model, preprocessing, precision, input_kind, batch, calibration
        )
        return ConvertedModel(content, preprocessing)
    deployed = deploy_form(model, preprocessing, precision)
    size = (preprocessing.height, preprocessing.width)
    if precision == "dynamic" or (precision != "int8" and deployed.foreign_operations):
        content = convert_by_tensorflow(deployed, preprocessing, precision, input_kind, batch, None)
        return ConvertedModel(content, preprocessing)
    if precision == "int8":
        if not is_quantized(deployed):
            check_int8(deployed)
            deployed = quantize(deployed, quantization)
            calibrate(deployed, _batches(calibration), quantization)
        content = emit_tflite(deployed, size, batch, input_kind)
        return ConvertedModel(content, deployed.preprocessing, deployed)
    return ConvertedModel(
        emit_tflite(deployed, size, batch, input_kind, weights=precision), preprocessing
    )


def default_rewrites(precision: str) -> Rewrites:
    """The rewrites of `fuse` that pay in a file of this precision."""
    return Rewrites(few_taps=precision in ("float32", "float16"))


def is_care(model: keras.Model) -> bool:
    """Whether a model has a deploy form, or is one."""
    if isinstance(model, DeployModel):
        return True
    # By its layers, not its graph: a model of another kind may have arguments of no config.
    return functional_form(model) is not None and _has_block(model)


def _has_block(model):
    return any(
        isinstance(layer, CAREBlock) or (isinstance(layer, keras.Model) and _has_block(layer))
        for layer in model.layers
    )


def check_int8(deployed: DeployModel) -> None:
    """Says what keeps a CARE model from int8, before minutes of work.

    Raises:
        ValueError: If it has layers without an int8 form; all are named.
    """
    lacking = without_int8(deployed)
    if lacking:
        raise ValueError(
            "Beside CARE's own layers there are some that int8 has no form of yet; "
            "--precision=float32, float16 and dynamic take them. "
            f"Received: {describe_operations(lacking)}"
        )


def deploy_form(
    model: keras.Model, preprocessing: Preprocessing, precision: str = "float32"
) -> keras.Model:
    """The deploy form of a CARE model; another model, or a deploy form, as it is.

    `convert_model` makes it by itself; who converts a model more than once
    makes it before.
    """
    if isinstance(model, DeployModel) or not is_care(model):
        return model
    deployed = fuse(model, default_rewrites(precision))
    deployed.preprocessing = preprocessing
    return deployed


def _batches(images):
    """Single images as float batches that fit into memory."""
    batch = []
    for image in images:
        batch.append(image)
        if len(batch) * image.shape[0] * image.shape[1] >= _CALIBRATION_BATCH_PIXELS:
            yield np.stack(batch).astype(np.float32)
            batch = []
    if batch:
        yield np.stack(batch).astype(np.float32)
