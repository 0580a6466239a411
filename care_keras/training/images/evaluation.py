"""The images a run is evaluated on, each once, however many devices there are."""

from typing import Any

import numpy as np

from care_keras.console.cli import UserError
from care_keras.data.record import Preprocessing
from care_keras.data.sources import Source
from care_keras.training.devices.distribution import Distribution
from care_keras.training.images.engine import Engine
from care_keras.training.images.input_pipeline import EvaluationPipeline


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
        engine: What the batches are made by; see `EvaluationPipeline`.

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
        engine: Engine | None = None,
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
        self.pipeline = EvaluationPipeline(source, preprocessing, self._rows, engine=engine)

    def dataset(self) -> Any:
        """Batches of `(images, targets)`, and of weights if there are several devices."""
        dataset = self.pipeline.dataset()
        if self._distribution.replicas > 1:
            all_rows = self._steps * self._rows * self._distribution.shard_count
            dataset = self.pipeline.engine.filled_up(
                dataset, self._rows, self._steps, all_rows / self.images
            )
        return self._distribution.dataset(dataset, self._steps, self._rows)
