"""Images, or examples, that a conversion calibrates with and checks on."""

import dataclasses
import os

import keras
import numpy as np

from care_keras.console.native_output import captured_native_output
from care_keras.convert.check import Outputs, classes_output, keras_outputs, picked_output, top1
from care_keras.convert.draw import DrawnExamples
from care_keras.convert.examples import Examples
from care_keras.convert.images import open_calibration_and_held_out, read_pixels
from care_keras.convert.job import ConversionJob
from care_keras.convert.verdict import alike_arrays, are_alike, calibration_warning, no_knowledge
from care_keras.data.record import Preprocessing
from care_keras.models.presets import PRESETS
from care_keras.quantization import is_quantized

# How many images are used by default, so that a model of 224x224 takes no minute: at most this
# many pixels in all, within bounds on the number of images.
_CALIBRATION_PIXELS, _CALIBRATION_IMAGES = 800_000, (16, 100)
_CHECK_PIXELS, _CHECK_IMAGES = 2_500_000, (50, 5000)
_BUNDLED = (
    "calibrated on the bundled CIFAR-10 images of 32x32 pixels; "
    "--calibration=DIR with images like the app's gives better ranges"
)
# Where there are no images: examples to calibrate with, and to check with.
_EXAMPLES = 100, 256


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """Examples that nothing was fitted to, with the Keras model's outputs for them.

    Attributes:
        examples: Of the model's inputs.
        labels: Their class indices, or `None`.
        reference: The Keras model's outputs.
        class_names: Of its classes, or `None`.
        alike: Whether all images are one and the same.
    """

    examples: Examples
    labels: np.ndarray | None
    reference: Outputs
    class_names: tuple[str, ...] | None
    alike: bool = False

    @property
    def keras_top1(self) -> float | None:
        """Share of the labels that the Keras model gets right, or `None` without labels."""
        if self.labels is None:
            return None
        return top1(self.reference, self.reference, self.labels)


def read_images(
    job: ConversionJob, model: keras.Model, preprocessing: Preprocessing, warnings: list[str]
) -> tuple[Examples | None, HeldOut]:
    """The calibration images, or `None` unless a float model becomes int8; and the held-out ones.

    Args:
        job: What is converted, and with which images.
        model: The Keras model, of one image.
        preprocessing: How images become its input.
        warnings: Lines for the user are added to it.

    Raises:
        ValueError: If images cannot be read, or the model does not run.
    """
    samples, check_samples = _samples(job, preprocessing)
    preset = PRESETS.get(job.model) if job.calibration == "bundled" else None
    own_images = preset.images if preset else None
    calibration_source, check_source, warning = open_calibration_and_held_out(
        own_images or job.calibration, job.evaluation, samples, check_samples, job.seed
    )
    if warning:
        warnings.append(warning)
    calibration = None
    if job.precision == "int8" and not is_quantized(model):
        if job.calibration == "bundled" and not own_images:
            warnings.append(_BUNDLED)
        name = calibration_source.name
        label = f"reading calibration images of {name}"
        pixels = read_pixels(calibration_source, preprocessing, label)[0]
        calibration = Examples.of_images(pixels, preprocessing, name)
        if unfit := calibration_warning(name, calibration.pixels):
            warnings.append(unfit)
    pixels, labels = read_pixels(
        check_source, preprocessing, f"reading held-out images of {check_source.name}"
    )
    examples = Examples.of_images(pixels, preprocessing, check_source.name)
    with captured_native_output():
        reference = keras_outputs(model, examples)
    if labels is not None and not _labels_fit(model, check_source, reference):
        warnings.append(f"no top-1: the classes of {check_source.name} are not the model's")
        labels = None
    if labels is not None and (unfit := no_knowledge(top1(reference, reference, labels), labels)):
        warnings.append(unfit)
    # Of a model that does not name its classes, they are called as the folders of its images.
    names = getattr(model, "labels", None)
    if names is None and labels is not None and os.path.isdir(job.evaluation or job.calibration):
        names = check_source.class_names
    return calibration, HeldOut(examples, labels, reference, names, are_alike(pixels))


def read_examples(
    job: ConversionJob,
    model: keras.Model,
    drawn: DrawnExamples,
    preprocessing: Preprocessing | None,
    warnings: list[str],
) -> tuple[Examples | None, HeldOut]:
    """`read_images` of inputs that are not one image alone."""
    calibration, held_out = drawn.draw(*_samples(job, preprocessing), warnings)
    if calibration is not None and "bundled:" in calibration.name:
        warnings.append(_BUNDLED)
    if calibration is not None:
        warnings += alike_arrays(calibration)
    with captured_native_output():
        reference = keras_outputs(model, held_out)
    labels = getattr(model, "labels", None)
    return calibration, HeldOut(held_out, None, reference, labels)


def _samples(job, preprocessing):
    """How many images are calibrated with, and checked with, at most."""
    if preprocessing is None:
        return job.samples or _EXAMPLES[0], job.check_samples or _EXAMPLES[1]
    return (
        job.samples or _affordable(preprocessing, _CALIBRATION_PIXELS, *_CALIBRATION_IMAGES),
        job.check_samples or _affordable(preprocessing, _CHECK_PIXELS, *_CHECK_IMAGES),
    )


def _affordable(preprocessing, pixels, fewest, most):
    return min(max(pixels // (preprocessing.height * preprocessing.width), fewest), most)


def _labels_fit(model, source, reference):
    """Whether a source's class indices mean what the model's outputs mean."""
    scores, picked = classes_output(reference), picked_output(reference)
    names = getattr(model, "labels", None)
    if scores is None and picked is None:
        return False
    if names is not None:
        return source.class_names == tuple(names)
    if scores is not None:
        return reference[scores].shape[1] == len(source.class_names)
    # How many classes there are is not said: those of the user's own images are the model's if
    # they can be.
    return "bundled" not in source.name and reference[picked].max() < len(source.class_names)
