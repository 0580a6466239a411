"""The tables of an evaluation, short for a thousand classes too."""

import numpy as np

from care_keras.console.table import format_table
from tflite.evaluate.evaluation import Evaluation

# Classes that are all shown; of more, the worst are.
_ALL_CLASSES = 20
_WORST_CLASSES = 10


def accuracy_table(evaluation: Evaluation) -> str:
    """A row for each model."""
    rows = []
    for index, (model, accuracy) in enumerate(
        zip(evaluation.models, evaluation.accuracies, strict=True)
    ):
        rows.append(
            [
                model.name,
                evaluation.images,
                _percent(accuracy.top1.value),
                _range(accuracy.top1.interval),
                None if accuracy.top5 is None else _percent(accuracy.top5.value),
                f"{evaluation.model_images_per_second(index):,.0f}",
            ]
        )
    headers = ["model", "images", "top-1", "95 % interval", "top-5", "images/s"]
    return format_table(headers, rows)


def comparison_table(evaluation: Evaluation) -> str:
    """A row for each pair of models."""
    names = [model.name for model in evaluation.models]
    rows = []
    for (i, j), comparison in evaluation.comparisons.items():
        low, high = comparison.top1_difference_interval
        rows.append(
            [
                names[i],
                names[j],
                _percent(comparison.agreement.value),
                comparison.first_only_right,
                comparison.second_only_right,
                f"{100 * comparison.top1_difference:+.2f}",
                f"{100 * low:+.2f} to {100 * high:+.2f}",
            ]
        )
    headers = ["first", "second", "agree", "only 1st right", "only 2nd right"]
    return format_table([*headers, "2nd - 1st, points", "95 % interval"], rows)


def class_table(evaluation: Evaluation) -> str:
    """Accuracy of each class, or of the worst ones, with what the first model takes them for."""
    first = evaluation.accuracies[0]
    present = np.flatnonzero(first.class_images)
    if len(present) > _ALL_CLASSES:
        # Of equally bad ones those with most images, as the figure says more of them.
        order = np.lexsort((-first.class_images[present], first.class_accuracies[present]))
        shown = present[order[:_WORST_CLASSES]]
        title = f"the {_WORST_CLASSES} worst of {len(present):,} classes"
    else:
        shown, title = present, "class"
    rows = [
        [
            evaluation.class_names[index],
            int(first.class_images[index]),
            *(_percent(accuracy.class_accuracies[index]) for accuracy in evaluation.accuracies),
            _mistaken_for(first.confusion[index], index, evaluation.class_names),
        ]
        for index in shown
    ]
    names = [model.name for model in evaluation.models]
    mistaken = "mostly mistaken for" if len(names) == 1 else "by the 1st mistaken for"
    return format_table([title, "images", *names, mistaken], rows)


def _mistaken_for(row, index, names):
    wrong = row.copy()
    wrong[index] = 0
    worst = int(np.argmax(wrong))
    return f"{names[worst]} ({wrong[worst]:,})" if wrong[worst] else None


def _percent(share):
    return f"{share:.2%}"


def _range(interval):
    return f"{interval[0]:.2%} to {interval[1]:.2%}"
