"""What a record of augmentation does to a group of images.

Cutting out happens in NumPy and Pillow while an image is read (`crops`), all
else in Keras's preprocessing layers, which run on the engine whatever the
backend: on TensorFlow inside tf.data, or on NumPy.
"""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from care_keras.data.preprocessing import normalization
from care_keras.data.record import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from care_keras.training.images.augmentation import Augmentation
from care_keras.training.images.choose_engine import choose_engine
from care_keras.training.images.engine import Engine
from care_keras.training.images.rand_augment import RandAugment


class Augmenter:
    """Augments groups of images.

    Args:
        augmentation: What to do.
        preprocessing: How pixels become the model's input.
        classes: Number of classes.
        engine: What it is computed with; tf.data by default, where TensorFlow is installed.

    Raises:
        ValueError: If RandAugment is asked for on grey images.
    """

    def __init__(
        self,
        augmentation: Augmentation,
        preprocessing: Preprocessing,
        classes: int,
        engine: Engine | None = None,
    ):
        self.engine = engine or choose_engine()
        self.preprocessing = preprocessing
        self.classes = classes
        self.switch = augmentation.mix_switch
        is_grey = preprocessing.channels == 1
        if is_grey and augmentation.rand_augment:
            raise ValueError(
                "RandAugment is for RGB images, and the model takes grey ones. "
                f"Received: rand_augment={augmentation.rand_augment:g}"
            )
        self.pixel_layers = list(_pixel_layers(augmentation, is_grey, self.engine))
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

    def __call__(self, pixels, labels, seeds: keras.random.SeedGenerator):
        """Gives float32 inputs of the model, and float32 targets `(images, classes)`.

        Args:
            pixels: uint8 `(images, height, width, channels)`.
            labels: int32 `(images,)`.
            seeds: Where all random numbers come from.
        """
        images = self.engine.floats(pixels)
        for layer in self.pixel_layers:
            images = transformed(self.engine, layer, images, seeds)
        if self.erasing is not None:
            images = self._erased(images, seeds)
        scale, offset = normalization(self.preprocessing)
        images = images * scale + offset
        return self._mixed(images, self.engine.one_hot(labels, self.classes), seeds)

    def _erased(self, images, seeds):
        transformation = _transformation(self.engine, self.erasing, images, seeds)
        # As bright and as varied as photos are, as timm has it; Keras's own is half black.
        fill = np.asarray([IMAGENET_STD, IMAGENET_MEAN], np.float32)
        if images.shape[-1] == 1:
            fill = fill.mean(axis=1, keepdims=True)

        def erase(chosen, masks, applied):
            noise = self.engine.normal(self.erasing.backend.shape(chosen), seeds)
            drawn = {
                "apply_erasing": applied,
                "batch_masks": masks,
                "fill_value": 255.0 * (noise * fill[0] + fill[1]),
            }
            return self.erasing.transform_images(chosen, drawn)

        applied = transformation["apply_erasing"]
        arguments = (images, transformation["batch_masks"], applied)
        return self.engine.by_rows(images, [(erase, applied)], arguments)

    def _mixed(self, images, targets, seeds):
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
        return self.engine.one_of(self.switch, by_cutmix, by_mixup, seeds)

    def _mixed_by(self, layer, images, targets, seeds):
        transformation = _transformation(self.engine, layer, images, seeds)
        if layer is self.cutmix:
            # The share of pixels that stay; Keras's is that of a box not yet cut to whole pixels.
            replaced = layer.backend.cast(transformation["batch_masks"][..., :1], "float32")
            share = layer.backend.numpy.mean(replaced, axis=(1, 2, 3))
            transformation["mix_weight"] = 1.0 - share
        return (
            layer.transform_images(images, transformation),
            layer.transform_labels(targets, transformation),
        )


def _pixel_layers(augmentation, is_grey, engine):
    """Layers for float32 pixels from 0 to 255, in their order."""
    if augmentation.flip:
        yield keras.layers.RandomFlip("horizontal", dtype="float32")
    if augmentation.rand_augment:
        yield RandAugment(
            augmentation.rand_augment,
            augmentation.rand_augment_std,
            augmentation.rand_augment_ops,
            fill=tuple(255.0 * mean for mean in IMAGENET_MEAN),
            engine=engine,
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


def _transformation(engine, layer, images, seeds):
    engine.adopt(layer)
    return layer.get_random_transformation(images, training=True, seed=seeds)


def transformed(
    engine: Engine, layer: keras.layers.Layer, images: Any, seeds: keras.random.SeedGenerator
) -> Any:
    """What a layer of random changes gives; all that is random comes from `seeds`."""
    transformation = _transformation(engine, layer, images, seeds)
    return layer.transform_images(images, transformation, training=True)
