"""The tables of detectors and segmenters."""

import numpy as np

from care_keras.console.table import format_table
from tflite.evaluate.dense.evaluation import DenseEvaluation, Interval

# Classes that are all shown; of more, the worst are.
_ALL_CLASSES = 20
_WORST_CLASSES = 10


def figure_table(evaluation: DenseEvaluation) -> str:
    """A row for each model."""
    task = evaluation.task
    rows = []
    for index, (model, figures) in enumerate(
        zip(evaluation.models, evaluation.figures, strict=True)
    ):
        values = [_percent(getattr(figures, name)) for name, _ in task.columns]
        rows.append(
            [
                model.name,
                evaluation.images,
                values[0],
                _range(evaluation.intervals[index], "{:.2f}%"),
                *values[1:],
                f"{evaluation.model_images_per_second(index):,.1f}",
            ]
        )
    first, *others = (heading for _, heading in task.columns)
    return format_table(["model", "images", first, "95 % interval", *others, "images/s"], rows)


def difference_table(evaluation: DenseEvaluation) -> str:
    """A row for each model but the first, which it is held against."""
    first, *others = evaluation.models
    rows = [
        [
            first.name,
            model.name,
            None if value is None else f"{100 * value:+.2f}",
            _range(interval, "{:+.2f}"),
        ]
        for model, value, interval in zip(
            others, evaluation.differences, evaluation.difference_intervals, strict=True
        )
    ]
    difference = f"{evaluation.task.heading}, 2nd - 1st, points"
    headers = ["first", "second", difference, "95 % interval"]
    return format_table(headers, rows)


def class_table(evaluation: DenseEvaluation) -> str:
    """Each class, or those that the first model is worst at."""
    task, per_class = evaluation.task, [one.per_class for one in evaluation.figures]
    known = [i for i, value in enumerate(per_class[0]) if value is not None]
    title = "class"
    if len(known) > _ALL_CLASSES:
        # Of equally bad ones those that there is most of, as the figure says more of them.
        order = np.lexsort(
            (-evaluation.class_counts[known], np.array([per_class[0][i] for i in known]))
        )
        title = f"the {_WORST_CLASSES} worst of {len(known):,} classes"
        known = [known[place] for place in order[:_WORST_CLASSES]]
    rows = [
        [
            evaluation.class_names[index],
            f"{evaluation.class_counts[index]:,}",
            *(_percent(values[index]) for values in per_class),
        ]
        for index in known
    ]
    names = [f"{task.of_class}, {model.name}" for model in evaluation.models]
    return format_table([title, task.counted, *names], rows)


def _percent(share):
    return None if share is None else f"{share:.2%}"


def _range(interval: Interval, form):
    if interval is None:
        return None
    return " to ".join(form.format(100 * end) for end in interval)
