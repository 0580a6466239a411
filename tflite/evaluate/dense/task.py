"""What detection and segmentation ask of an evaluation."""

import abc
from collections.abc import Sequence
from typing import Any

import numpy as np

from care_keras.data.sources import Source
from tflite.evaluate.dense.models import DenseModel


class DenseTask(abc.ABC):
    """A task whose answers are of all of an image.

    Attributes:
        name: As the flag has it.
        columns: All figures and their headings, first the one that models are compared by.
        of_class: What the figure of one class is called.
        counted: What classes are counted in.
        packages: What its figures depend on.
    """

    name: str
    columns: tuple[tuple[str, str], ...]
    of_class: str
    counted: str
    packages: tuple[str, ...] = ()

    @property
    def figure(self) -> str:
        """The figure that models are compared by."""
        return self.columns[0][0]

    @property
    def heading(self) -> str:
        """Its heading."""
        return self.columns[0][1]

    @abc.abstractmethod
    def known(self, source: Source, index: int) -> Any:
        """What is known of an image, which may raise ValueError as reading it does."""

    @abc.abstractmethod
    def answer(
        self,
        model: DenseModel,
        outputs: Sequence[np.ndarray],
        classes: np.ndarray,
        size: tuple[int, int],
    ) -> Any:
        """What a model found in an image.

        Args:
            model: The model.
            outputs: Its outputs for the image.
            classes: The data's class of each of the model's, see `match_classes`.
            size: The image's height and width.
        """

    @abc.abstractmethod
    def tally(self, class_count: int, models: int) -> "Tally":
        """What counts the answers."""

    @abc.abstractmethod
    def draw(self, image: np.ndarray, scale: float, answer: Any, names: Sequence[str]):
        """uint8 RGB: an image with what was found in it or is known of it.

        Args:
            image: uint8 `(height, width, 3)`.
            scale: How much smaller it is than the one that was evaluated.
            answer: From `answer` or `known`.
            names: Of the classes.
        """


class Tally(abc.ABC):
    """Collects answers image by image."""

    @abc.abstractmethod
    def add(self, known: Any, answers: Sequence[Any]) -> None:
        """Counts what each model found in an image."""

    @abc.abstractmethod
    def evaluations(self, source: Source) -> list:
        """Of each model `DetectionEvaluation` or `SegmentationEvaluation`.

        Args:
            source: The images that were counted.
        """

    @abc.abstractmethod
    def class_counts(self) -> np.ndarray:
        """int64 `(classes,)`: how many objects or pixels of each class there are."""
