"""Quantization-aware training: the quantized form of a model, taught by the model itself."""

import dataclasses
import os

import keras
import numpy as np

from care_keras.console.cli import UserError
from care_keras.console.native_output import captured_native_output
from care_keras.convert.conversion import deploy_form, int8_form
from care_keras.data.preprocessing import normalize
from care_keras.emit.network import emit_tflite
from care_keras.litert.model import LiteRTModel
from care_keras.primitives.deploy_model import DeployModel
from care_keras.quantization import calibrate, int8_qat, is_quantized, quantize
from care_keras.training.teaching.logits import logits_form

_CALIBRATION_BATCH = 32


class Teacher:
    """The float network as a float32 .tflite file: its logits for raw pixels.

    A file runs several times faster than the same Keras model, in every
    backend alike.

    Args:
        model: A deploy form.
        threads: Threads of the CPU kernels; as many as there are cores if `None`.
    """

    def __init__(self, model: DeployModel, threads: int | None = None):
        record = model.preprocessing
        content = emit_tflite(model, (record.height, record.width), input_kind="rgb_uint8")
        with captured_native_output():
            self._model = LiteRTModel(content, num_threads=threads or os.cpu_count() or 1)

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        """float32 logits `(images, classes)` of pixels from 0 to 255, of any number type."""
        return self._model.predict(np.rint(pixels).clip(0, 255).astype(np.uint8))


@dataclasses.dataclass(frozen=True)
class QuantizedStart:
    """What quantization-aware training starts from.

    Attributes:
        model: The quantized form.
        student: The same without a softmax at its end, with the same layers:
            what is trained.
        teacher: The deploy form that gives the logits to learn, or `None` if
            the model was quantized already.
    """

    model: DeployModel
    student: DeployModel
    teacher: DeployModel | None


def quantized_start(model: keras.Model, pixels: np.ndarray, overrides=()) -> QuantizedStart:
    """Quantizes and calibrates what is to be trained for int8.

    Args:
        model: Any functional classifier with a `preprocessing` record, a deploy
            form, or a quantized form.
        pixels: uint8 training images of the model's size, which calibrate it.
        overrides: Of the `QuantizationConfig`.

    Raises:
        UserError: If the model is no classifier, has layers without an int8
            form, or `overrides` do not fit it.
    """
    try:
        if is_quantized(model):
            _refuse_overrides(overrides)
            return QuantizedStart(model, logits_form(model), None)
        deployed = _deployed(model)
        teacher = logits_form(deployed)
        quantized = _quantized(model, deployed, pixels, overrides)
        return QuantizedStart(quantized, logits_form(quantized), teacher)
    except ValueError as error:
        raise UserError(str(error)) from error


def quantized_for_training(model: keras.Model, pixels: np.ndarray, overrides=()) -> DeployModel:
    """The quantized form of a model of any outputs, calibrated; see `quantized_start`.

    Raises:
        UserError: If it has layers without an int8 form, or `overrides` do not fit it.
    """
    try:
        if is_quantized(model):
            _refuse_overrides(overrides)
            return model
        return _quantized(model, _deployed(model), pixels, overrides)
    except ValueError as error:
        raise UserError(str(error)) from error


def _refuse_overrides(overrides):
    if overrides:
        raise UserError("the model is quantized already: its layers have their precisions")


def _deployed(model):
    record = model.preprocessing
    return int8_form(deploy_form(model, record, "int8"), record)


def _quantized(model, deployed, pixels, overrides):
    config = int8_qat(overrides=overrides)
    quantized = quantize(deployed, config)
    quantized.labels = getattr(model, "labels", None)
    images = normalize(pixels, quantized.preprocessing)
    starts = range(0, len(images), _CALIBRATION_BATCH)
    batches = (images[start : start + _CALIBRATION_BATCH] for start in starts)
    calibrate(quantized, batches, config)
    return quantized


class DistillationLoss(keras.losses.Loss):
    """`(1 - alpha) * cross-entropy(labels) + alpha * KL(teacher, student)`.

    Args:
        classes: Number of classes.
        alpha: Weight of the teacher.
        label_smoothing: Of the labels.

    `y_true` is `[labels | teacher's logits]` of shape `(batch, 2 * classes)`, or
    the labels alone, one-hot or mixed, `(batch, classes)`; `y_pred` are the
    student's logits.
    """

    def __init__(self, classes, alpha, label_smoothing, name="distillation_loss"):
        super().__init__(name=name)
        self.classes = classes
        self.alpha = alpha
        self.label_smoothing = label_smoothing

    def call(self, y_true, y_pred) -> keras.KerasTensor:
        loss = keras.losses.categorical_crossentropy(
            y_true[:, : self.classes],
            y_pred,
            from_logits=True,
            label_smoothing=self.label_smoothing,
        )
        if y_true.shape[-1] == self.classes:
            return loss
        teacher = keras.ops.log_softmax(y_true[:, self.classes :], axis=-1)
        student = keras.ops.log_softmax(y_pred, axis=-1)
        divergence = keras.ops.sum(keras.ops.exp(teacher) * (teacher - student), axis=-1)
        return (1.0 - self.alpha) * loss + self.alpha * divergence


def label_accuracy(y_true, y_pred) -> keras.KerasTensor:
    """Share of images whose largest logit is the label's, of `DistillationLoss`'s targets."""
    return keras.metrics.categorical_accuracy(y_true[:, : y_pred.shape[-1]], y_pred)
