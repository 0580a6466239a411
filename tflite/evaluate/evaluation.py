"""Accuracy of several models on the same images: what the command does, without its flags."""

import dataclasses
import itertools
from collections.abc import Sequence

from care_keras.data.sources import Source
from tflite.evaluate.accuracy import Accuracy, Comparison, compare, measure_accuracy
from tflite.evaluate.classes import match_classes
from tflite.evaluate.models import EvaluatedModel
from tflite.evaluate.run import Answers, run_models


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """All that came of an evaluation.

    Attributes:
        data: Name of the images.
        class_names: Names of their classes.
        models: What was evaluated.
        accuracies: Of each model.
        comparisons: Of each pair of models, by their indices.
        answers: What all of it was counted from.
    """

    data: str
    class_names: tuple[str, ...]
    models: tuple[EvaluatedModel, ...]
    accuracies: tuple[Accuracy, ...]
    comparisons: dict[tuple[int, int], Comparison]
    answers: Answers

    @property
    def images(self) -> int:
        """Images that were read."""
        return len(self.answers.labels)

    @property
    def images_per_second(self) -> float:
        """Of the whole pass: decoding, all models, all workers."""
        return self.images / self.answers.seconds

    def model_images_per_second(self, index: int) -> float:
        """Of one model in one worker, without decoding and without the others."""
        return self.images / self.answers.models[index].seconds


def evaluate(
    source: Source,
    models: Sequence[EvaluatedModel],
    workers: int = 1,
    label_match: str = "exact",
    skip_unreadable: bool = False,
) -> Evaluation:
    """Evaluates models in one pass over labelled images.

    Args:
        source: The images.
        models: From `open_models`.
        workers: Threads that images are spread over.
        label_match: How classes are matched, see `match_classes`.
        skip_unreadable: Leave images out that cannot be decoded.

    Raises:
        ValueError: If the images have no labels, their classes are not a
            model's, an image cannot be decoded, or a model fails to run.
    """
    if source.labels is None or source.class_names is None:
        raise ValueError(
            "The images have no labels to evaluate with: a folder needs a subfolder for each "
            f"class. Received: {source.name}"
        )
    names = source.class_names
    matches = [
        match_classes(
            model.name,
            model.outputs or len(model.input.labels or names),
            model.input.labels,
            names,
            label_match,
        )
        for model in models
    ]
    answers = run_models(source, models, matches, workers, skip_unreadable)
    accuracies = [
        measure_accuracy(
            of_model.predicted, of_model.label_ranks, answers.labels, len(names), model.outputs
        )
        for model, of_model in zip(models, answers.models, strict=True)
    ]
    comparisons = {
        (i, j): compare(answers.models[i].predicted, answers.models[j].predicted, answers.labels)
        for i, j in itertools.combinations(range(len(models)), 2)
    }
    return Evaluation(source.name, names, tuple(models), tuple(accuracies), comparisons, answers)
