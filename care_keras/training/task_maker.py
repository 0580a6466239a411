"""What makes a run's task, by `--task`."""

from typing import Protocol

from care_keras.data.sources import Source
from care_keras.training import task as classification
from care_keras.training.config import TrainingConfig
from care_keras.training.devices.distribution import Distribution
from care_keras.training.task import Task


class TaskMaker(Protocol):
    """A module or an object with these functions."""

    def open_sources(self, config: TrainingConfig) -> tuple[Source, Source]:
        """Images to train and to evaluate on."""

    def float_task(
        self, config: TrainingConfig, train: Source, evaluation: Source, distribution: Distribution
    ) -> Task:
        """The training of a float network."""

    def quantized_task(
        self, config: TrainingConfig, train: Source, evaluation: Source, distribution: Distribution
    ) -> Task:
        """The training of its quantized form."""


def task_maker(config: TrainingConfig) -> TaskMaker:
    """What makes the task that the settings name."""
    if config.task == "segmentation":
        from care_keras.training.segmentation_task import SegmentationMaker

        return SegmentationMaker()
    if config.task == "detection":
        from care_keras.training.detection_task import DetectionMaker

        return DetectionMaker()
    return classification
