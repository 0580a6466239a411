"""What reads, augments and batches a run's images: tf.data, or threads and NumPy without it.

Which images come in which order, where they are cut, and what is done with them is said
once, by the pipelines, `crops` and `augmenter`; an engine is told what to compute it with.
"""

import abc
import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

# The flags of training are read before Keras is loaded.
if TYPE_CHECKING:
    import keras

# Images that are read by one task.
GROUP = 32
INPUT_PIPELINES = ("auto", "tf.data", "numpy")


@dataclasses.dataclass(frozen=True)
class GroupedEpoch:
    """The batches of an epoch, made in groups of images.

    Attributes:
        groups: int64 columns `(start, end, first, last)`: of the group of images from
            `start` to `end` the rows from `first` to `last` are taken.
        load: `load(start, end)` gives the arrays of a group, a key of its random numbers last.
        specs: Shape and type of each of those arrays.
        rows: Rows of a batch.
        steps: Batches.
    """

    groups: tuple[np.ndarray, ...]
    load: Callable[..., tuple]
    specs: Sequence[tuple[tuple, Any]]
    rows: int
    steps: int


class Engine(abc.ABC):
    """How a pipeline's batches are computed.

    Attributes:
        name: As in `INPUT_PIPELINES`.
    """

    name: str

    @abc.abstractmethod
    def epoch(
        self, epoch: GroupedEpoch, augment: Callable[..., tuple], teacher: Callable | None
    ) -> Any:
        """What `fit` takes: batches of `(images, targets)`.

        Args:
            epoch: What they are made of.
            augment: What `compiled` gave.
            teacher: `teacher(images)` gives logits of a batch, NumPy in and out, which stand
                behind its targets; one batch at a time.
        """

    @abc.abstractmethod
    def evaluation(
        self, load: Callable, image_shape: tuple, classes: int, size: int, rows: int
    ) -> Any:
        """What `evaluate` takes: batches of `rows` images and one-hot labels, the last of fewer.

        Args:
            load: `load(start, end)` gives float32 images and int32 labels.
            image_shape: Height, width and channels.
            classes: Number of classes.
            size: Images in all.
            rows: Images of a batch.
        """

    @abc.abstractmethod
    def filled_up(self, dataset: Any, rows: int, steps: int, weight: float) -> Any:
        """Batches of `evaluation`, each of `rows` rows, with weights.

        Args:
            dataset: What `evaluation` gave.
            rows: Rows of a batch; those that are added have weight 0.
            steps: Batches in all; those that are added have nothing in them.
            weight: Of the rows that were there.
        """

    @abc.abstractmethod
    def compiled(self, augment: Callable[..., tuple]) -> Callable[..., tuple]:
        """`augment(*arrays, seeds)` as a function of arrays and a key."""

    @abc.abstractmethod
    def adopt(self, layer: "keras.layers.Layer") -> None:
        """Makes a layer of Keras's for preprocessing compute with this engine.

        Its `backend` has what Keras's backends have, as far as augmentation needs it.
        """

    @abc.abstractmethod
    def normal(self, shape: Any, seeds: "keras.random.SeedGenerator") -> Any:
        """float32 numbers of the standard normal distribution."""

    @abc.abstractmethod
    def one_hot(self, labels: Any, classes: int) -> Any:
        """float32 `(images, classes)` of integer labels."""

    @abc.abstractmethod
    def floats(self, pixels: Any) -> Any:
        """float32 of numbers of any type; never the array itself."""

    @abc.abstractmethod
    def one_of(self, share: float, chosen: Callable, other: Callable, seeds: Any) -> Any:
        """What `chosen()` gives in so large a share of the calls, else what `other()` gives."""

    @abc.abstractmethod
    def by_rows(self, images: Any, branches: Sequence[tuple[Callable, Any]], arguments: Any) -> Any:
        """Images, some of them changed.

        Args:
            images: Those that are left as they are where no branch changes them.
            branches: Functions, each with which images it changes, bool `(images,)`; none
                is changed twice.
            arguments: What each function gets the rows of; it gives as many images.
        """

    @abc.abstractmethod
    def histograms(self, values: Any, count: int) -> Any:
        """int32 `(count, 256)`: how often each value occurs in each of so many tables.

        Args:
            values: int32 numbers; those of table `i` from `256 * i` on.
            count: Number of tables.
        """


def random_key(rng: np.random.Generator) -> np.ndarray:
    """A key of what is random about a group, int32 `(2,)`."""
    return rng.integers(2**31, size=2).astype(np.int32)
