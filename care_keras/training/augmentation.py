"""How training images are augmented: one record, and what it does to a group of images.

Cutting out happens in NumPy and Pillow while an image is read, all else in
Keras's preprocessing layers, which run on TensorFlow inside tf.data whatever
the backend.
"""

import dataclasses
import functools

import keras
import numpy as np

from care_keras.data.preprocessing import normalization
from care_keras.models.config import Preprocessing

CROPS = ("none", "padded", "resized")


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What is done to a training image; the defaults are flip and crop.

    Attributes:
        crop: `"resized"`: a random part of the photo, resized; `"padded"`: the
            image as for evaluation, padded by reflection and cropped at random;
            `"none"`: as for evaluation.
        padding: Pixels added on each side before a padded crop.
        flip: Whether half of the images are mirrored left to right.
    """

    crop: str = "padded"
    padding: int = 4
    flip: bool = True

    def __post_init__(self):
        if self.crop not in CROPS:
            raise ValueError(f"`crop` must be one of {CROPS}. Received: crop={self.crop!r}")


class Augmenter:
    """Augments groups of images on TensorFlow, inside tf.data.

    Args:
        augmentation: What to do.
        preprocessing: How pixels become the model's input.
        classes: Number of classes.
    """

    def __init__(self, augmentation: Augmentation, preprocessing: Preprocessing, classes: int):
        self.augmentation = augmentation
        self.preprocessing = preprocessing
        self.classes = classes

    @functools.cached_property
    def _flip(self):
        return keras.layers.RandomFlip("horizontal", dtype="float32")

    def __call__(self, pixels, labels, seeds: "GroupSeeds"):
        """Gives float32 inputs of the model, and float32 targets `(images, classes)`.

        Args:
            pixels: uint8 tensor of shape `(images, height, width, 3)`.
            labels: int32 tensor of shape `(images,)`.
            seeds: Where all random numbers come from.
        """
        import tensorflow as tf

        images = tf.cast(pixels, tf.float32)
        if self.augmentation.flip:
            images = transformed(self._flip, images, seeds)
        scale, offset = normalization(self.preprocessing)
        return images * scale + offset, tf.one_hot(labels, self.classes)


def transformed(layer: keras.layers.Layer, images, seeds: "GroupSeeds"):
    """A random Keras preprocessing layer on TensorFlow tensors, its randomness from `seeds`."""
    layer.backend.set_backend("tensorflow")
    transformation = layer.get_random_transformation(images, training=True, seed=seeds)
    return layer.transform_images(images, transformation, training=True)


class GroupSeeds(keras.random.SeedGenerator):
    """Seeds that depend on a key and on how many were drawn before, and on nothing else.

    Keras's own generator counts in a variable, in the order in which parallel
    calls happen to run; this one counts while the graph is traced.

    Args:
        key: int32 tensor of shape `(2,)`.
    """

    # The base class makes a variable.
    def __init__(self, key):
        self.key = key
        self.drawn = 0

    def next(self, ordered=True):
        import tensorflow as tf

        self.drawn += 1
        return tf.random.experimental.stateless_fold_in(self.key, self.drawn)


def random_key(rng: np.random.Generator) -> np.ndarray:
    """A key of `GroupSeeds`."""
    return rng.integers(2**31, size=2).astype(np.int32)
