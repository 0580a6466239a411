"""Quantization-aware training: the quantized form of a model, taught by the model itself."""

import os

import keras
import numpy as np

from care_keras.console.cli import UserError
from care_keras.data.preprocessing import normalize
from care_keras.deploy import fuse
from care_keras.emit.network import emit_tflite
from care_keras.litert.model import LiteRTModel
from care_keras.primitives.deploy_model import DeployModel
from care_keras.quantization import calibrate, int8_qat, is_quantized, quantize

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
        self._model = LiteRTModel(content, num_threads=threads or os.cpu_count() or 1)

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        """float32 logits `(images, classes)` of pixels from 0 to 255, of any number type."""
        return self._model.predict(np.rint(pixels).clip(0, 255).astype(np.uint8))


def quantized_start(model: keras.Model, pixels: np.ndarray, overrides=()) -> DeployModel:
    """What quantization-aware training starts from.

    Args:
        model: A `CAREClassifier`, a deploy form, or a quantized form.
        pixels: uint8 training images of the model's size, which calibrate it.
        overrides: Of the `QuantizationConfig`.

    Returns:
        `(quantized form, deploy form)`; the deploy form is `None` if `model` is
        quantized already.

    Raises:
        UserError: If the model does not give logits, or `overrides` do not fit it.
    """
    if is_quantized(model):
        if overrides:
            raise UserError("the model is quantized already: its layers have their precisions")
        return model, None
    deployed = model if isinstance(model, DeployModel) else fuse(model)
    if deployed.classifier_activation != "linear":
        raise UserError(
            "--qat needs a model that gives logits, built with classifier_activation=None, "
            f"not {deployed.classifier_activation!r}"
        )
    config = int8_qat(overrides=overrides)
    try:
        quantized = quantize(deployed, config)
    except ValueError as error:
        raise UserError(str(error)) from error
    images = normalize(pixels, quantized.preprocessing)
    starts = range(0, len(images), _CALIBRATION_BATCH)
    batches = (images[start : start + _CALIBRATION_BATCH] for start in starts)
    calibrate(quantized, batches, config)
    return quantized, deployed


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
