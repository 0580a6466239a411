"""What a record of augmentation does to a group of images.

Cutting out happens in NumPy and Pillow while an image is read (`crops`), all
else in Keras's preprocessing layers, which run on TensorFlow inside tf.data
whatever the backend.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import keras
import numpy as np

from care_keras.data.preprocessing import normalization
from care_keras.data.record import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from care_keras.training.images.augmentation import Augmentation
from care_keras.training.images.rand_augment import RandAugment

if TYPE_CHECKING:
    import tensorflow as tf


class Augmenter:
    """Augments groups of images on TensorFlow, inside tf.data.

    Args:
        augmentation: What to do.
        preprocessing: How pixels become the model's input.
        classes: Number of classes.

    Raises:
        ValueError: If RandAugment is asked for on grey images.
    """

    def __init__(self, augmentation: Augmentation, preprocessing: Preprocessing, classes: int):
        self.preprocessing = preprocessing
        self.classes = classes
        self.switch = augmentation.mix_switch
        is_grey = preprocessing.channels == 1
        if is_grey and augmentation.rand_augment:
            raise ValueError(
                "RandAugment is for RGB images, and the model takes grey ones. "
                f"Received: rand_augment={augmentation.rand_augment:g}"
            )
        self.pixel_layers = list(_pixel_layers(augmentation, is_grey))
        self.erasing = self.mixup = self.cutmix = None
        # Rates are ranges for Keras: one number would be the end of a range from 0.
        if rate := augmentation.random_erasing:
            # The fill is drawn below.
            self.erasing = keras.layers.RandomErasing(
                (rate, rate), scale=(0.02, 1 / 3), fill_value=0.0, dtype="float32"
            )
        if augmentation.mixup:
            self.mixup = keras.layers.MixUp(augmentation.mixup, dtype="float32")
        if alpha := augmentation.cutmix:
            self.cutmix = keras.layers.CutMix((alpha, alpha), dtype="float32")

    def __call__(self, pixels, labels, seeds: "GroupSeeds"):
        """Gives float32 inputs of the model, and float32 targets `(images, classes)`.

        Args:
            pixels: uint8 tensor of shape `(images, height, width, channels)`.
            labels: int32 tensor of shape `(images,)`.
            seeds: Where all random numbers come from.
        """
        import tensorflow as tf

        images = tf.cast(pixels, tf.float32)
        for layer in self.pixel_layers:
            images = transformed(layer, images, seeds)
        if self.erasing is not None:
            images = self._erased(images, seeds)
        scale, offset = normalization(self.preprocessing)
        images = images * scale + offset
        return self._mixed(images, tf.one_hot(labels, self.classes), seeds)

    def _erased(self, images, seeds):
        import tensorflow as tf

        transformation = _transformation(self.erasing, images, seeds)
        rows = tf.where(transformation["apply_erasing"])
        chosen, masks = (
            tf.gather_nd(tensor, rows) for tensor in (images, transformation["batch_masks"])
        )
        noise = tf.random.stateless_normal(tf.shape(chosen), seeds.next())
        # As bright and as varied as photos are, as timm has it; Keras's own is half black.
        fill = np.asarray([IMAGENET_STD, IMAGENET_MEAN], np.float32)
        if images.shape[-1] == 1:
            fill = fill.mean(axis=1, keepdims=True)
        transformation = {
            "apply_erasing": tf.ones_like(rows[:, 0], tf.bool),
            "batch_masks": masks,
            "fill_value": 255.0 * (noise * fill[0] + fill[1]),
        }
        erased = self.erasing.transform_images(chosen, transformation)
        return tf.tensor_scatter_nd_update(images, rows, erased)

    def _mixed(self, images, targets, seeds):
        import tensorflow as tf

        # Seeds are counted while this is traced: each branch is traced once.
        branches = [
            lambda layer=layer: self._mixed_by(layer, images, targets, seeds)
            for layer in (self.mixup, self.cutmix)
            if layer is not None
        ]
        if not branches:
            return images, targets
        if len(branches) == 1:
            return branches[0]()
        by_mixup, by_cutmix = branches
        draw = tf.random.stateless_uniform((), seeds.next())
        return tf.cond(draw < self.switch, by_cutmix, by_mixup)

    def _mixed_by(self, layer, images, targets, seeds):
        import tensorflow as tf

        transformation = _transformation(layer, images, seeds)
        if layer is self.cutmix:
            # The share of pixels that stay; Keras's is that of a box not yet cut to whole pixels.
            replaced = tf.cast(transformation["batch_masks"][..., :1], tf.float32)
            transformation["mix_weight"] = 1.0 - tf.reduce_mean(replaced, axis=(1, 2, 3))
        return (
            layer.transform_images(images, transformation),
            layer.transform_labels(targets, transformation),
        )


def _pixel_layers(augmentation, is_grey):
    """Layers for float32 pixels from 0 to 255, in their order."""
    if augmentation.flip:
        yield keras.layers.RandomFlip("horizontal", dtype="float32")
    if augmentation.rand_augment:
        yield RandAugment(
            augmentation.rand_augment,
            augmentation.rand_augment_std,
            augmentation.rand_augment_ops,
            fill=tuple(255.0 * mean for mean in IMAGENET_MEAN),
            dtype="float32",
        )
    else:
        yield from color_layers(augmentation.color_jitter, is_grey)


def color_layers(jitter: float, is_grey: bool) -> Iterator[keras.layers.Layer]:
    """Layers that jitter the colours of float32 pixels from 0 to 255, in their order.

    Args:
        jitter: Largest relative change; 0: no layers.
        is_grey: Whether the images are grey, which have no saturation.
    """
    if not jitter:
        return
    # What `RandomColorJitter` does, which takes no seed from outside. Keras adds brightness
    # where torchvision multiplies: the two agree at the mean brightness of photos.
    yield keras.layers.RandomBrightness(jitter * np.mean(IMAGENET_MEAN), dtype="float32")
    # One number alone would only raise contrast.
    yield keras.layers.RandomContrast((jitter, jitter), dtype="float32")
    if is_grey:
        return
    # Keras's factor f stands for a saturation f / (1 - f) times as strong.
    factors = tuple(change / (1.0 + change) for change in (1.0 - jitter, 1.0 + jitter))
    # The range is that of the saturation itself, which pixels of any range have from 0 to 1.
    yield keras.layers.RandomSaturation(factors, value_range=(0, 1), dtype="float32")


def _transformation(layer, images, seeds):
    layer.backend.set_backend("tensorflow")
    return layer.get_random_transformation(images, training=True, seed=seeds)


def transformed(layer: keras.layers.Layer, images: "tf.Tensor", seeds: "GroupSeeds") -> "tf.Tensor":
    """What a layer of random changes gives; all that is random comes from `seeds`."""
    transformation = _transformation(layer, images, seeds)
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

    def next(self, ordered=True) -> "tf.Tensor":
        import tensorflow as tf

        self.drawn += 1
        return tf.random.experimental.stateless_fold_in(self.key, self.drawn)


def random_key(rng: np.random.Generator) -> np.ndarray:
    """A key of `GroupSeeds`."""
    return rng.integers(2**31, size=2).astype(np.int32)
