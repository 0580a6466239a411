"""How often classifiers are right about labelled images, and how often they agree."""

import dataclasses

import numpy as np

from care_keras.metrics import paired_difference_interval, wilson_interval

# What stands for the prediction of an image for which a model gave none of the data's classes.
NO_CLASS = -1


@dataclasses.dataclass(frozen=True)
class Share:
    """A share of images with its 95 % interval (Wilson's).

    Attributes:
        count: Images that it holds of.
        total: All of them.
    """

    count: int
    total: int

    @property
    def value(self) -> float:
        """0 to 1."""
        return self.count / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the share in images like these."""
        return wilson_interval(self.value, self.total)


@dataclasses.dataclass(frozen=True, eq=False)
class Accuracy:
    """How right one model is.

    Attributes:
        top1: Images whose best class is the label.
        top5: Images whose five best classes hold it, or `None` for a model of
            five classes or fewer.
        confusion: int64 `(classes, classes)`: images of the row's class that
            were taken for the column's.
        class_images: int64 `(classes,)`: images of each class. More than the
            row's sum where predictions are `NO_CLASS`.
    """

    top1: Share
    top5: Share | None
    confusion: np.ndarray
    class_images: np.ndarray

    @property
    def class_correct(self) -> np.ndarray:
        """Images of each class that were recognized, int64 `(classes,)`."""
        return np.diagonal(self.confusion)

    @property
    def class_accuracies(self) -> np.ndarray:
        """Share of each class, float64 `(classes,)`; NaN for a class without images."""
        with np.errstate(invalid="ignore"):
            return self.class_correct / self.class_images

    @property
    def without_class(self) -> int:
        """Images whose prediction is `NO_CLASS`."""
        return int(self.class_images.sum() - self.confusion.sum())


def measure_accuracy(
    predicted: np.ndarray, label_ranks: np.ndarray, labels: np.ndarray, classes: int, outputs: int
) -> Accuracy:
    """Counts right answers.

    Args:
        predicted: Class index of each image, or `NO_CLASS`.
        label_ranks: How many outputs stand before the label's, see
            `care_keras.metrics.label_ranks`.
        labels: Class indices.
        classes: Number of the data's classes.
        outputs: Number of the model's, 0 of one that gives the class alone.
    """
    total = len(labels)
    known = predicted != NO_CLASS
    pairs = labels[known] * classes + predicted[known]
    return Accuracy(
        top1=Share(int(np.sum(predicted == labels)), total),
        top5=Share(int(np.sum(label_ranks < 5)), total) if outputs > 5 else None,
        confusion=np.bincount(pairs, minlength=classes**2).reshape(classes, classes),
        class_images=np.bincount(labels, minlength=classes),
    )


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Two models on the same images.

    Attributes:
        agreement: Images for which both name the same class, right or wrong.
        both_right: Images that both are right about.
        first_only_right: Images that the first alone is right about.
        second_only_right: Images that the second alone is.
    """

    agreement: Share
    both_right: int
    first_only_right: int
    second_only_right: int

    @property
    def top1_difference(self) -> float:
        """Top-1 of the second minus that of the first."""
        return (self.second_only_right - self.first_only_right) / self.agreement.total

    @property
    def top1_difference_interval(self) -> tuple[float, float]:
        """95 % interval of it, from the images that the two differ on."""
        return paired_difference_interval(
            self.first_only_right, self.second_only_right, self.agreement.total
        )


def compare(first: np.ndarray, second: np.ndarray, labels: np.ndarray) -> Comparison:
    """Holds two models' predictions `(images,)` side by side."""
    first_right, second_right = first == labels, second == labels
    return Comparison(
        agreement=Share(int(np.sum((first == second) & (first != NO_CLASS))), len(labels)),
        both_right=int(np.sum(first_right & second_right)),
        first_only_right=int(np.sum(first_right & ~second_right)),
        second_only_right=int(np.sum(second_right & ~first_right)),
    )
