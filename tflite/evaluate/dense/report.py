"""The JSON of an evaluation of detectors or segmenters."""

import dataclasses

from tflite.evaluate.dense.evaluation import DenseEvaluation
from tflite.evaluate.report import described, head

_SCHEMA = "care_keras.tflite.{}/1"


def to_dict(evaluation: DenseEvaluation, settings: dict) -> dict:
    """Everything as plain JSON types.

    Args:
        evaluation: What came of it.
        settings: How it was asked for.
    """
    models = evaluation.models
    return {
        **head(_SCHEMA.format(evaluation.task.name), models, settings, evaluation.task.packages),
        "data": evaluation.data,
        "images": evaluation.images,
        "unreadable_images": list(evaluation.unreadable),
        "seconds": round(evaluation.seconds, 3),
        "images_per_second": round(evaluation.images_per_second, 2),
        "class_names": list(evaluation.class_names),
        f"class_{evaluation.task.counted}": evaluation.class_counts.tolist(),
        "models": [_model(evaluation, index) for index in range(len(models))],
        "comparisons": [
            {
                "first": models[0].name,
                "second": model.name,
                f"{evaluation.task.figure}_difference": value,
                f"{evaluation.task.figure}_difference_interval_95": _ends(interval),
            }
            for model, value, interval in zip(
                models[1:], evaluation.differences, evaluation.difference_intervals, strict=True
            )
        ],
    }


def _model(evaluation, index):
    model = evaluation.models[index]
    figures = dataclasses.asdict(evaluation.figures[index])
    # It stands above, for all models.
    del figures["images"]
    per_class = list(figures.pop("per_class"))
    told = {
        **described(model, {"outputs": list(model.outputs)}),
        **figures,
        f"{evaluation.task.figure}_interval_95": _ends(evaluation.intervals[index]),
        "per_class": per_class,
        "nan_images": evaluation.nan_images[index],
        "model_seconds": round(evaluation.model_seconds[index], 3),
        "images_per_second_per_worker": round(evaluation.model_images_per_second(index), 2),
    }
    if evaluation.confusion:
        # Rows are known classes, columns predicted ones.
        told["confusion"] = evaluation.confusion[index].tolist()
    return told


def _ends(interval):
    return None if interval is None else list(interval)
