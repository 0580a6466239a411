"""Quantization-aware training: the quantized form of a model, taught by the model itself."""

import keras
import numpy as np

from care_keras.cli import UserError
from care_keras.data.preprocessing import normalize
from care_keras.deploy import DeployModel, fuse
from care_keras.emit.emitter import emit_tflite
from care_keras.litert import LiteRTModel
from care_keras.quantization import calibrate, int8_qat, is_quantized, quantize
from care_keras.training.batches import TrainingBatches

_CALIBRATION_IMAGES = 256
_CALIBRATION_BATCH = 32


class Teacher:
    """The float network as a float32 .tflite file: its logits for raw pixels.

    A file runs several times faster than the same Keras model, in every
    backend alike.

    Args:
        model: A deploy form.
        threads: Threads of the CPU kernels.
    """

    def __init__(self, model: DeployModel, threads: int = 2):
        record = model.preprocessing
        content = emit_tflite(model, (record.height, record.width), input_kind="rgb_uint8")
        self._model = LiteRTModel(content, num_threads=threads)

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        """float32 logits `(images, classes)` of uint8 pixels."""
        return self._model.predict(pixels)


def quantized_start(model: keras.Model, pixels: np.ndarray, seed: int, overrides=()):
    """What quantization-aware training starts from.

    Args:
        model: A `CAREClassifier`, a deploy form, or a quantized form.
        pixels: uint8 training images of the model's size; some calibrate it.
        seed: Seed of the draw of those.
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
    chosen = np.random.default_rng(seed).choice(
        len(pixels), min(_CALIBRATION_IMAGES, len(pixels)), replace=False
    )
    images = normalize(pixels[np.sort(chosen)], quantized.preprocessing)
    starts = range(0, len(images), _CALIBRATION_BATCH)
    batches = (images[start : start + _CALIBRATION_BATCH] for start in starts)
    calibrate(quantized, batches, config)
    return quantized, deployed


class DistillationBatches(TrainingBatches):
    """Batches of `(images, [labels | teacher's logits])` for `DistillationLoss`.

    Args:
        *args: Those of `TrainingBatches`.
        teacher: A `Teacher`, or `None` for zeros in place of its logits.
        classes: Number of classes.
        **kwargs: Those of `TrainingBatches`.
    """

    def __init__(self, *args, teacher, classes, **kwargs):
        super().__init__(*args, **kwargs)
        self._teacher = teacher
        self._classes = classes

    def targets(self, pixels, labels):
        logits = np.zeros((len(labels), self._classes), np.float32)
        if self._teacher is not None:
            logits = self._teacher.logits(pixels)
        return np.concatenate([labels[:, None].astype(np.float32), logits], axis=1)


class DistillationLoss(keras.losses.Loss):
    """`(1 - alpha) * cross-entropy(labels) + alpha * KL(teacher, student)`.

    Args:
        classes: Number of classes.
        alpha: Weight of the teacher.
        label_smoothing: Of the labels.

    `y_true` is `[label | teacher's logits]` of shape `(batch, 1 + classes)`, or
    the labels alone, `(batch, 1)`; `y_pred` are the student's logits.
    """

    def __init__(self, classes, alpha, label_smoothing, name="distillation_loss"):
        super().__init__(name=name)
        self.classes = classes
        self.alpha = alpha
        self.label_smoothing = label_smoothing

    def call(self, y_true, y_pred):
        labels = keras.ops.one_hot(keras.ops.cast(y_true[:, 0], "int32"), self.classes)
        loss = keras.losses.categorical_crossentropy(
            labels, y_pred, from_logits=True, label_smoothing=self.label_smoothing
        )
        if y_true.shape[-1] == 1:
            return loss
        teacher = keras.ops.log_softmax(y_true[:, 1:], axis=-1)
        student = keras.ops.log_softmax(y_pred, axis=-1)
        divergence = keras.ops.sum(keras.ops.exp(teacher) * (teacher - student), axis=-1)
        return (1.0 - self.alpha) * loss + self.alpha * divergence


def label_accuracy(y_true, y_pred):
    """Share of images whose largest logit is the label's, of `DistillationLoss`'s targets."""
    return keras.metrics.sparse_categorical_accuracy(y_true[:, :1], y_pred)
