"""RandAugment with the operations and strengths of the paper's recipe."""

import math

import keras
import numpy as np

from care_keras.training.images.choose_engine import choose_engine
from care_keras.training.images.engine import Engine

# Strengths at magnitude 10, each in the unit of its operation.
_ROTATION_DEGREES = 30.0
_SHEAR = 0.3
_TRANSLATION = 0.45
_ENHANCEMENT = 0.9
_POSTERIZED_BITS = 4
_SOLARIZE_ADDITION = 110

_GEOMETRIC = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
OPERATIONS = (
    *_GEOMETRIC,
    "auto_contrast",
    "equalize",
    "invert",
    "posterize",
    "solarize",
    "solarize_add",
    "color",
    "contrast",
    "brightness",
    "sharpness",
)


class RandAugment(keras.layers.RandAugment):
    """`rand-m9-mstd0.5-inc1`: Keras's RandAugment, each image with operations of its own.

    `keras.layers.RandAugment` draws its operations once for a whole batch,
    computes all of them to keep two, and gives them one common strength. Here
    each image has its own operations, of which only those are computed, and
    the fifteen of the paper's code, each with its strength at the magnitude
    ("increasing": more magnitude is always more change). Pixels are computed by
    Keras's layers and image operations where they compute the same.

    What differs from that code, which computes in Pillow: geometry is always
    bilinear, and values are not rounded between operations.

    It runs on its engine, under every backend.

    Args:
        magnitude: Mean magnitude, from 0 to 10.
        magnitude_std: Standard deviation of the magnitude of one operation.
        num_ops: Operations per image.
        probability: That one of them is applied at all.
        fill: RGB value, from 0 to 255, outside of a moved image.
        engine: What it is computed with; tf.data by default, where TensorFlow is installed.

    Reference: arXiv 1909.13719; the strengths are those of timm.
    """

    def __init__(
        self,
        magnitude: float = 9.0,
        magnitude_std: float = 0.5,
        num_ops: int = 2,
        probability: float = 0.5,
        fill: tuple[float, float, float] = (128.0, 128.0, 128.0),
        engine: Engine | None = None,
        **kwargs,
    ):
        super().__init__(num_ops=num_ops, **kwargs)
        self.magnitude = magnitude
        self.magnitude_std = magnitude_std
        self.probability = probability
        self.fill = tuple(fill)
        self.engine = engine or choose_engine()

    def get_random_transformation(self, data, training=True, seed=None) -> dict | None:
        """Draws `operations`, and `strengths` from 0 to 1 with `signs`, `(num_ops, images)` each.

        An operation of -1 leaves the image as it is.
        """
        random = self.backend.random
        shape = (self.num_ops, self.backend.core.shape(data)[0])
        operations = random.randint(shape, 0, len(OPERATIONS), seed=seed)
        applied = random.uniform(shape, seed=seed) < self.probability
        strengths = random.normal(shape, self.magnitude, self.magnitude_std, seed=seed)
        positive = random.uniform(shape, seed=seed) < 0.5
        where = self.backend.numpy.where
        return {
            "operations": where(applied, operations, -1),
            "strengths": self.backend.numpy.clip(strengths, 0.0, 10.0) / 10.0,
            "signs": where(positive, 1.0, -1.0),
        }

    def transform_images(self, images, transformation, training=True) -> keras.KerasTensor:
        for layer in (
            self.auto_contrast,
            self.random_posterization,
            self.solarization,
            self.random_color_degeneration,
            self.random_sharpness,
        ):
            self.engine.adopt(layer)
        for i in range(self.num_ops):
            draws = (transformation[key][i] for key in ("operations", "strengths", "signs"))
            images = self._apply(images, *draws)
        return images

    def _apply(self, images, operations, strengths, signs):
        """One operation for each image: the images of each operation are computed together."""
        geometric = operations < len(_GEOMETRIC)
        branches = [(self._move, geometric & (operations >= 0))]
        for index, name in list(enumerate(OPERATIONS))[len(_GEOMETRIC) :]:
            branches.append((getattr(self, f"_{name}"), operations == index))
        return self.engine.by_rows(images, branches, (images, operations, strengths, signs))

    def _move(self, images, operations, strengths, signs):
        """Rotation, shear and translation: one affine map for each image."""
        numpy = self.backend.numpy
        height, width = images.shape[1:3]
        centre_x, centre_y = (width - 1) / 2, (height - 1) / 2

        def only(name, maximum):
            chosen = self.backend.cast(operations == OPERATIONS.index(name), "float32")
            return chosen * strengths * signs * maximum

        angle = only("rotate", math.radians(_ROTATION_DEGREES))
        sine, cosine = numpy.sin(angle), numpy.cos(angle)
        zero = numpy.zeros_like(sine)
        # Output (x, y) is taken from input (a x + b y + c, d x + e y + f).
        matrices = [
            cosine,
            only("shear_x", _SHEAR) - sine,
            centre_x - cosine * centre_x + sine * centre_y
            + only("translate_x", _TRANSLATION * width),
            only("shear_y", _SHEAR) + sine,
            cosine,
            centre_y - sine * centre_x - cosine * centre_y
            + only("translate_y", _TRANSLATION * height),
            zero,
            zero,
        ]  # fmt: skip
        fill = np.asarray(self.fill, np.float32)
        moved = self.backend.image.affine_transform(
            images - fill, numpy.stack(matrices, axis=1), "bilinear", fill_mode="constant"
        )
        return moved + fill

    def _auto_contrast(self, images, *_):
        return self.auto_contrast.transform_images(images)

    def _equalize(self, images, *_):
        """Each channel of each image through the table that makes its histogram flat."""
        # Keras's layer takes the histogram of the whole batch.
        numpy, cast = self.backend.numpy, self.backend.cast
        count = self.backend.core.shape(images)[0]
        values = cast(numpy.round(images), "int32")
        tables = numpy.reshape(numpy.arange(count * 3, dtype="int32"), (count, 1, 1, 3)) * 256
        places = numpy.reshape(values + tables, (-1,))
        counts = self.engine.histograms(places, count * 3)
        # As Pillow: the brightest value that occurs is left out of the step.
        last = 255 - cast(numpy.argmax(numpy.flip(counts, axis=1) > 0, axis=1), "int32")
        of_last = numpy.take(numpy.reshape(counts, (-1,)), numpy.arange(count * 3) * 256 + last)
        step = ((numpy.sum(counts, axis=1) - of_last) // 255)[:, None]
        below = numpy.cumsum(counts, axis=1) - counts
        table = (step // 2 + below) // numpy.maximum(step, 1)
        table = numpy.where(
            step > 0, numpy.minimum(table, 255), numpy.arange(256, dtype="int32")[None]
        )
        equalized = numpy.take(numpy.reshape(table, (-1,)), places)
        return cast(numpy.reshape(equalized, self.backend.core.shape(images)), "float32")

    def _invert(self, images, *_):
        return 255.0 - images

    def _posterize(self, images, _, strengths, __):
        numpy, cast = self.backend.numpy, self.backend.cast
        kept = _POSTERIZED_BITS - cast(strengths * _POSTERIZED_BITS, "int32")
        # Of 8 bits; a shift by all of them is not defined.
        shift = cast(numpy.minimum(8 - kept, 7), "uint8")
        posterized = self.random_posterization.transform_images(images, {"shift_factor": shift})
        return numpy.where(kept[:, None, None, None] > 0, posterized, 0.0)

    def _solarize(self, images, _, strengths, __):
        numpy = self.backend.numpy
        thresholds = 256.0 - numpy.floor(strengths * 256.0)[:, None, None, None]
        transformation = {"additions": numpy.zeros_like(thresholds), "thresholds": thresholds}
        return self.solarization.transform_images(images, transformation)

    def _solarize_add(self, images, _, strengths, __):
        numpy = self.backend.numpy
        addition = numpy.floor(strengths * _SOLARIZE_ADDITION)[:, None, None, None]
        return numpy.where(images < 128.0, numpy.minimum(images + addition, 255.0), images)

    def _color(self, images, _, strengths, signs):
        degeneration = 1.0 - self._enhancement(strengths, signs)
        transformation = {"factor": degeneration[:, None, None, None]}
        return self.random_color_degeneration.transform_images(images, transformation)

    def _contrast(self, images, _, strengths, signs):
        # About the mean luminance; Keras's layer turns about the mean of each channel.
        numpy = self.backend.numpy
        luminance = self.backend.image.rgb_to_grayscale(images)
        mean = numpy.mean(luminance, axis=(1, 2), keepdims=True)
        factor = self._enhancement(strengths, signs)[:, None, None, None]
        return numpy.clip(mean + factor * (images - mean), 0.0, 255.0)

    def _brightness(self, images, _, strengths, signs):
        # Keras's layer adds instead.
        factor = self._enhancement(strengths, signs)[:, None, None, None]
        return self.backend.numpy.clip(images * factor, 0.0, 255.0)

    def _sharpness(self, images, _, strengths, signs):
        # Keras's layer doubles the factor.
        transformation = {"factor": self._enhancement(strengths, signs) / 2.0}
        return self.random_sharpness.transform_images(images, transformation)

    def _enhancement(self, strengths, signs):
        """Pillow's enhancement factor: 1 leaves an image as it is."""
        return self.backend.numpy.maximum(1.0 + signs * strengths * _ENHANCEMENT, 0.1)
