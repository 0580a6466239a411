"""Training batches: decoded once, augmented anew each epoch, reproducible from a seed."""

import keras
import numpy as np

from care_keras.data.preprocessing import normalize, resize_and_crop
from care_keras.data.sources import Source
from care_keras.models.config import Preprocessing


def load_pixels(source: Source, preprocessing: Preprocessing) -> np.ndarray:
    """Decodes, resizes and crops a whole source.

    Returns:
        uint8 array of shape `(len(source), height, width, 3)`.
    """
    shape = (len(source), preprocessing.height, preprocessing.width, 3)
    pixels = np.empty(shape, np.uint8)
    progress = keras.utils.Progbar(len(source), unit_name="image")
    for i in range(len(source)):
        pixels[i] = resize_and_crop(source[i], preprocessing)
        if i % 1000 == 999 or i + 1 == len(source):
            progress.update(i + 1)
    return pixels


def flip_and_crop(
    pixels: np.ndarray, rng: np.random.Generator, size: int | None = None, padding: int = 4
) -> np.ndarray:
    """Random horizontal flip, then a random crop.

    A crop of the full size is cut out of the image padded by `padding` pixels,
    the border reflected so that no black bars are learnt; a smaller one out of
    the image itself.

    Args:
        pixels: Array of shape `(batch, height, width, channels)`.
        rng: Source of the randomness.
        size: Height and width of the crop; `None` keeps those of the image.
        padding: Pixels added on each side of an image cropped to its own size.

    Returns:
        Array of shape `(batch, size, size, channels)` and the same dtype.
    """
    count, height, width, _ = pixels.shape
    flip = rng.random(count) < 0.5
    pixels = np.where(flip[:, None, None, None], pixels[:, :, ::-1], pixels)
    if size is not None:
        padding = 0
    border = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    padded = np.pad(pixels, border, mode="reflect")
    crop_height, crop_width = size or height, size or width
    top = rng.integers(0, height + 2 * padding - crop_height + 1, count)
    left = rng.integers(0, width + 2 * padding - crop_width + 1, count)
    rows = top[:, None] + np.arange(crop_height)
    columns = left[:, None] + np.arange(crop_width)
    return padded[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]


class TrainingBatches(keras.utils.PyDataset):
    """Shuffled, augmented batches of `(images, labels)`.

    The content of batch `i` of epoch `e` depends on `(seed, e, i)` alone, so a
    resumed run sees what an unbroken one would have seen. An incomplete last
    batch is dropped.

    Args:
        pixels: uint8 array of shape `(count, height, width, 3)`.
        labels: int array of shape `(count,)`.
        preprocessing: The model's record.
        batch_size: Images per batch.
        seed: Seed of order and augmentation.
        first_epoch: Epoch the run starts at.
        size: Height and width of the random crops; `None` for the full size.
    """

    def __init__(
        self, pixels, labels, preprocessing, batch_size, seed, first_epoch=0, size=None, **kwargs
    ):
        super().__init__(**kwargs)
        if len(pixels) < batch_size:
            raise ValueError(
                "There are fewer images than one batch holds. "
                f"Received: {len(pixels)} images, batch_size={batch_size}"
            )
        self.pixels = pixels
        self.labels = np.asarray(labels, np.int32)
        self.preprocessing = preprocessing
        self.batch_size = batch_size
        self.seed = seed
        self.size = size
        self.epoch = first_epoch
        self._order = self._shuffled()

    def _shuffled(self):
        return np.random.default_rng((self.seed, self.epoch)).permutation(len(self.pixels))

    def __len__(self):
        return len(self.pixels) // self.batch_size

    def __getitem__(self, index):
        chosen = self._order[index * self.batch_size : (index + 1) * self.batch_size]
        rng = np.random.default_rng((self.seed, self.epoch, index + 1))
        pixels = flip_and_crop(self.pixels[chosen], rng, self.size)
        return normalize(pixels, self.preprocessing), self.targets(pixels, self.labels[chosen])

    def targets(self, pixels, labels):
        """What the loss compares the outputs with: here the labels."""
        return labels

    def on_epoch_end(self):
        self.epoch += 1
        self._order = self._shuffled()


class EvaluationBatches(keras.utils.PyDataset):
    """All images in order, as they are: batches of `(images, labels)`.

    Args:
        pixels: uint8 array of shape `(count, height, width, 3)`.
        labels: int array of shape `(count,)`.
        preprocessing: The model's record.
        batch_size: Images per batch; the last may hold fewer.
    """

    def __init__(self, pixels, labels, preprocessing, batch_size, **kwargs):
        super().__init__(**kwargs)
        self.pixels = pixels
        self.labels = np.asarray(labels, np.int32)
        self.preprocessing = preprocessing
        self.batch_size = batch_size

    def __len__(self):
        return (len(self.pixels) + self.batch_size - 1) // self.batch_size

    def __getitem__(self, index):
        chosen = slice(index * self.batch_size, (index + 1) * self.batch_size)
        return normalize(self.pixels[chosen], self.preprocessing), self.labels[chosen]
