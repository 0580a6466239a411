"""The images a run is evaluated on, each once, however many devices there are."""

from typing import TYPE_CHECKING

import keras
import numpy as np

from care_keras.console.cli import UserError
from care_keras.data.record import Preprocessing
from care_keras.data.sources import Source
from care_keras.training.devices.distribution import Distribution
from care_keras.training.images.grouped_pipeline import tensorflow_for_data
from care_keras.training.images.input_pipeline import EvaluationPipeline

if TYPE_CHECKING:
    import tensorflow as tf


class Evaluation:
    """What `evaluate` takes: all images of a source, divided among devices.

    Devices work on equally many rows: shares that are not full are filled up
    with rows of weight 0. The weights of the others sum up to the number of all
    rows, so that the loss is the mean over the images.

    Args:
        source: Labelled images.
        preprocessing: The model's record.
        distribution: The devices.
        batch_size: Images per step, of all devices together.

    Attributes:
        name: What the images are.
        images: Number of images.
        pipeline: Of this process's images.
    """

    def __init__(
        self,
        source: Source,
        preprocessing: Preprocessing,
        distribution: Distribution,
        batch_size: int = 250,
    ):
        count = distribution.shard_count
        if len(source) < count:
            raise UserError(f"{source.name} has fewer images than there are processes")
        self.name = source.name
        self.images = len(source)
        self._distribution = distribution
        if count > 1:
            source = source.take(np.arange(distribution.shard_index, self.images, count))
        local = distribution.local_replicas
        self._rows = max(batch_size // distribution.replicas, 1) * local
        self._steps = -(-self.images // (self._rows * count))
        self.pipeline = EvaluationPipeline(source, preprocessing, self._rows)

    def dataset(self) -> "tf.data.Dataset":
        """`tf.data.Dataset` of `(images, targets)`, and of weights if there are several devices."""
        dataset = self.pipeline.dataset()
        if self._distribution.replicas > 1:
            dataset = self._filled_up(dataset)
        return self._distribution.dataset(dataset, self._steps, self._rows)

    def _filled_up(self, dataset):
        tf = tensorflow_for_data()
        rows = self._rows
        all_rows = self._steps * rows * self._distribution.shard_count
        weight = np.float32(all_rows / self.images)

        def fill(images, targets):
            count = tf.shape(images)[0]
            weights = tf.where(tf.range(rows) < count, weight, 0.0)
            return _lengthened(tf, images, rows), _lengthened(tf, targets, rows), weights

        missing = self._steps - self.pipeline.steps
        dataset = dataset.map(fill)
        if missing:
            nothing = keras.tree.map_structure(
                lambda spec: tf.zeros(spec.shape, spec.dtype), dataset.element_spec
            )
            dataset = dataset.concatenate(tf.data.Dataset.from_tensors(nothing).repeat(missing))
        return dataset.apply(tf.data.experimental.assert_cardinality(self._steps))


def _lengthened(tf, values, rows):
    padding = [[0, rows - tf.shape(values)[0]]] + [[0, 0]] * (len(values.shape) - 1)
    values = tf.pad(values, padding)
    values.set_shape((rows, *values.shape[1:]))
    return values
