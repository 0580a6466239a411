"""The batches of segmenters and detectors: images with maps of classes, or with boxes."""

import abc
import math

import numpy as np

from care_keras.data.detection import DetectionSource
from care_keras.data.preprocessing import in_channels, normalization, resize
from care_keras.data.record import Preprocessing
from care_keras.data.segmentation import SegmentationSource
from care_keras.training.images.augmenter import color_layers, transformed
from care_keras.training.images.dense_augmentation import DenseAugmentation
from care_keras.training.images.engine import Engine
from care_keras.training.images.grouped_pipeline import MEGABYTE, GroupedPipeline
from care_keras.training.images.image_reader import ImageReader
from care_keras.training.images.joint import (
    Placement,
    fitting_size,
    mean_color,
    random_placement,
)

# Boxes of an image that are learnt, as many as are evaluated.
MAX_OBJECTS = 100
# Labels of rows without an object, and of crowds.
NO_OBJECT, CROWD = -1, -2


class DensePipeline(GroupedPipeline):
    """What both have in common: images, placed at random; see `GroupedPipeline`.

    Args:
        source: Images, and what is known of their pixels or objects.
        preprocessing: The model's record.
        batch_size: Images per step, of all processes together.
        augmentation: What is done to the images: `scale_range`, `aspect_jitter`,
            `flip` and `color_jitter` of it.
        fill: uint8 colour around an image, the record's mean if `None`.
        seed: Seed of order and augmentation.
        shard_index: Which share of each batch this process takes.
        shard_count: Number of equal shares.
        cache_megabytes: Decoded images are kept in memory if all fit in this.
            Those larger than the largest scale needs are kept at that size.
        engine: What the batches are computed with; see `GroupedPipeline`.

    Raises:
        ValueError: If there are fewer images than one batch holds, or a batch
            cannot be divided.
    """

    # Images are larger than a classifier's: smaller groups keep all threads at work.
    group = 8
    # Of the cache: what is left for the maps of classes.
    image_share = 1.0

    def __init__(
        self,
        source: SegmentationSource | DetectionSource,
        preprocessing: Preprocessing,
        batch_size: int,
        augmentation: DenseAugmentation = DenseAugmentation(),  # noqa: B008 (it is frozen)
        fill: np.ndarray | None = None,
        seed: int = 0,
        shard_index: int = 0,
        shard_count: int = 1,
        cache_megabytes: int = 2048,
        engine: Engine | None = None,
    ):
        super().__init__(
            source, preprocessing, batch_size, augmentation, seed, shard_index, shard_count, engine
        )
        self._fill = mean_color(preprocessing) if fill is None else fill
        self._cache_bytes = cache_megabytes * MEGABYTE
        self._reader = ImageReader(source, self._shrunk, int(self.image_share * self._cache_bytes))
        self._layers = list(color_layers(augmentation.color_jitter, preprocessing.channels == 1))

    def _shrunk(self, image):
        """No larger than the largest scale needs, so that more images fit into memory."""
        image = in_channels(image, self.preprocessing.channels)
        largest = self.augmentation.scale_range[1] * math.sqrt(1 + self.augmentation.aspect_jitter)
        fitting = fitting_size(image.shape[:2], self.preprocessing)
        size = tuple(max(1, round(side * largest)) for side in fitting)
        if size[0] <= image.shape[0] and size[1] <= image.shape[1]:
            return resize(image, size, self.preprocessing.interpolation)
        return image

    def _specs(self, size):
        return ((None, *size, self.preprocessing.channels), np.uint8), self._target_spec(size)

    def _cut(self, read, chosen, rng, size):
        images, targets = [], []
        interpolation = self.preprocessing.interpolation
        for image, target in read:
            placement = random_placement(
                rng, image.shape[:2], self.preprocessing, self.augmentation
            )
            images.append(placement.image(image, interpolation, self._fill))
            targets.append(self._placed(placement, target))
        return np.stack(images), np.stack(targets)

    def _made(self, pixels, targets, seeds):
        images = self.engine.floats(pixels)
        for layer in self._layers:
            images = transformed(self.engine, layer, images, seeds)
        scale, offset = normalization(self.preprocessing)
        return images * scale + offset, targets

    @abc.abstractmethod
    def _target_spec(self, size) -> tuple[tuple, np.dtype]:
        """Shape and type of a group's targets."""

    @abc.abstractmethod
    def _placed(self, placement: Placement, target) -> np.ndarray:
        """What is known of an image, as it lies on the input."""


class SegmentationPipeline(DensePipeline):
    """Batches of images and uint8 maps of classes `(batch, height, width)`, 255 where none is."""

    # A map has one channel to an image's three.
    image_share = 0.75

    def __init__(self, source: SegmentationSource, *args, **kwargs):
        super().__init__(source, *args, **kwargs)
        left = int((1 - self.image_share) * self._cache_bytes) if self._reader.caches else 0
        self._masks = ImageReader(_Masks(source), lambda mask: mask, left)

    def _target_spec(self, size):
        return (None, *size), np.uint8

    def _read(self, index):
        return self._reader[index], self._masks[index]

    def _placed(self, placement, target):
        return placement.mask(target)


class _Masks:
    """A source's maps where `ImageReader` takes images."""

    def __init__(self, source):
        self._source = source

    def __len__(self):
        return len(self._source)

    def __getitem__(self, index):
        return self._source.mask(index)


class DetectionPipeline(DensePipeline):
    """Batches of images and objects, float32 `(batch, objects, 5)`.

    A row is ymin, xmin, ymax, xmax, from 0 to 1 of the input, and the label:
    `CROWD` of a crowd, which counts as nothing, `NO_OBJECT` where there are fewer
    objects. There are as many rows as any image of the source has objects, at most
    `MAX_OBJECTS`; of more the largest stay.
    """

    def __init__(self, source: DetectionSource, *args, **kwargs):
        super().__init__(source, *args, **kwargs)
        self._known = [None] * len(source)
        self.max_objects = int(np.clip(source.object_counts.max(), 1, MAX_OBJECTS))

    def _target_spec(self, size):
        return (None, self.max_objects, 5), np.float32

    def _read(self, index):
        return self._reader[index], self._objects(index)

    def _objects(self, index):
        """Boxes from 0 to 1 of the image, labels and crowd; kept after the first look."""
        found = self._known[index]
        if found is None:
            objects = self.source.objects(index)
            boxes = objects.boxes / np.tile(self.source.image_size(index), 2)
            labels = np.where(objects.crowd, CROWD, objects.labels)
            found = self._known[index] = boxes, labels, objects.crowd
        return found

    def _placed(self, placement, target):
        boxes, labels, crowd = target
        boxes, kept = placement.boxes(boxes, crowd)
        rows = np.full((self.max_objects, 5), [0, 0, 0, 0, NO_OBJECT], np.float32)
        areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
        largest = np.sort(np.argsort(-areas, kind="stable")[: self.max_objects])
        rows[: len(largest), :4] = boxes[largest]
        rows[: len(largest), 4] = labels[kept[largest]]
        return rows
