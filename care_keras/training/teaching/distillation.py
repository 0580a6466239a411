"""Distillation of a float model: the label head learns the labels, the other one a teacher's.

`keras.distillation.Distiller` wants teacher and student alike in inputs and
outputs and gives one output to both losses; here the teacher has its own
preprocessing, and one of the student's two heads.
"""

import keras
from keras import ops

from care_keras.console.cli import UserError
from care_keras.convert.preprocessing import model_preprocessing
from care_keras.data.overrides import InputOverrides
from care_keras.data.record import Preprocessing
from care_keras.loading import load_any
from care_keras.models import CAREClassifier
from care_keras.training.config import DISTILLATION_KINDS


class KerasTeacher:
    """A Keras model as a teacher: its logits for the inputs of a student.

    Args:
        model: Any image classifier with one output, logits or probabilities.
        own: How images are prepared for it.
        student: How they are prepared for the student.
    """

    def __init__(self, model: keras.Model, own: Preprocessing, student: Preprocessing):
        # Frozen, so that no backend records what it computes.
        model.trainable = False
        self.model = model
        self.size = (own.height, own.width)
        self.interpolation = own.interpolation
        # Undoes the student's normalization and does its own, in one step.
        pairs = list(zip(student.mean, student.std, own.mean, own.std, strict=True))
        self._scale = [std / own_std for _, std, _, own_std in pairs]
        self._offset = [(mean - own_mean) / own_std for mean, _, own_mean, own_std in pairs]
        self.gives_probabilities = self._gives_probabilities()

    def logits(self, images) -> keras.KerasTensor:
        """Logits, or logarithms of probabilities, `(batch, classes)`, which no gradient passes.

        Args:
            images: Inputs of the student, `(batch, height, width, 3)`.
        """
        dtype = "float32"
        images = ops.cast(images, dtype) * ops.convert_to_tensor(self._scale, dtype)
        images = images + ops.convert_to_tensor(self._offset, dtype)
        if tuple(images.shape[1:3]) != self.size:
            images = ops.image.resize(
                images, self.size, interpolation=self.interpolation, antialias=True
            )
        outputs = ops.cast(self.model(images, training=False), dtype)
        if self.gives_probabilities:
            outputs = ops.log(ops.maximum(outputs, 1e-9))
        return ops.stop_gradient(outputs)

    def _gives_probabilities(self):
        """Asked of its outputs, as any layer may hold the softmax."""
        noise = keras.random.normal((4, *self.size, 3), seed=0)
        outputs = ops.convert_to_numpy(ops.cast(self.model(noise, training=False), "float32"))
        return bool((outputs >= 0.0).all() and (abs(outputs.sum(-1) - 1.0) < 1e-2).all())


def load_teacher(
    path: str,
    student: CAREClassifier,
    size: tuple[int, int] | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
) -> tuple[KerasTeacher, list[str]]:
    """Loads a teacher from a `.keras` file or by the name of a bundled model.

    Its preprocessing is what its file says, unless the arguments say otherwise;
    a model that takes any size is given the student's.

    Args:
        path: The file.
        student: What it will teach.
        size: Height and width of its inputs in pixels.
        mean: Per RGB channel in units of full scale.
        std: Likewise.

    Returns:
        The teacher, and lines for the user about what was assumed.

    Raises:
        UserError: If it cannot teach this student.
    """
    record, warnings = student.preprocessing, []
    try:
        model = load_any(path)
        if size is None and getattr(model, "preprocessing", None) is None:
            fixed = tuple(model.inputs[0].shape[1:3])
            size = (record.height, record.width) if None in fixed else None
        # It is given the student's images, which are cropped already.
        own = model_preprocessing(model, InputOverrides(size, mean, std, fit="stretch"), warnings)
    except ValueError as error:
        raise UserError(f"--teacher: {error}") from error
    shape = tuple(model.outputs[0].shape)
    if len(shape) != 2 or shape[1] != student.classes:
        raise UserError(
            f"--teacher={path} must give one value for each of the {student.classes} classes; "
            f"its output has the shape {shape}"
        )
    if None not in (labels := getattr(model, "labels", None), student.labels) and (
        tuple(labels) != student.labels
    ):
        raise UserError(f"--teacher={path} has other classes than the data, or in another order")
    warnings = [
        line.replace("--mean and --std", "--teacher_mean and --teacher_std") for line in warnings
    ]
    return KerasTeacher(model, own, record), [f"--teacher={path}: {line}" for line in warnings]


class TaughtClassifier(CAREClassifier):
    """A classifier in training whose distillation head learns from a teacher.

    `loss = (1 - alpha) * loss(labels, head) + alpha * distillation(teacher, dist_head)`
    with the compiled loss, and with the cross-entropy of the teacher's best
    class ("hard", as the paper does and arXiv 2012.12877 describes) or the
    divergence of softened distributions, times the temperature squared
    ("soft", arXiv 1503.02531).

    It has the weights and the outputs of a `CAREClassifier`; the teacher is no
    part of it, and in no file of it.
    """

    _teach = None

    def learn_from(
        self, teacher: KerasTeacher, kind: str, alpha: float, temperature: float = 1.0
    ) -> None:
        """Sets the teacher.

        Args:
            teacher: The teacher.
            kind: `"hard"` or `"soft"`.
            alpha: Weight of the distillation, from 0 to 1.
            temperature: Of soft distillation.
        """
        if kind not in DISTILLATION_KINDS:
            raise ValueError(f"`kind` must be one of {DISTILLATION_KINDS}. Received: kind={kind!r}")
        loss = _hard_loss if kind == "hard" else _soft_loss(temperature)
        # A function, as Keras would take a model for a part of this one.
        self._teach = lambda images, outputs: loss(teacher.logits(images), outputs)
        self._alpha = alpha

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ) -> keras.KerasTensor:
        if self._teach is None or not isinstance(y_pred, dict):
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        label_loss = super().compute_loss(x, y, y_pred["head"], sample_weight, training)
        teacher_loss = self._teach(x, y_pred["dist_head"])
        return (1.0 - self._alpha) * label_loss + self._alpha * teacher_loss


def _hard_loss(teacher_logits, outputs):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return loss(ops.argmax(teacher_logits, axis=-1), outputs)


def _soft_loss(temperature):
    # An instance: of the name "kl_divergence" Keras 3.15 makes the divergence of the raw logits.
    divergence = keras.losses.KLDivergence()
    distillation = keras.distillation.LogitsDistillation(temperature, divergence)
    return distillation.compute_loss
