"""The JSON of an evaluation."""

import importlib.metadata
import json
import platform
from collections.abc import Sequence

from tflite.benchmark.machine import describe_machine, now
from tflite.evaluate.accuracy import Share
from tflite.evaluate.evaluation import Evaluation
from tflite.evaluate.opened import OpenedModel

SCHEMA = "care_keras.tflite.accuracy/1"
_PACKAGES = ("ai-edge-litert", "numpy", "pillow")
# The package of each of Keras's backends.
_BACKENDS = {"tensorflow": "tensorflow", "jax": "jax", "torch": "torch"}


def to_dict(evaluation: Evaluation, settings: dict) -> dict:
    """Everything as plain JSON types.

    Args:
        evaluation: What came of it.
        settings: How it was asked for.
    """
    names = [model.name for model in evaluation.models]
    return {
        **head(SCHEMA, evaluation.models, settings),
        "data": evaluation.data,
        "images": evaluation.images,
        "unreadable_images": list(evaluation.answers.unreadable),
        "seconds": round(evaluation.answers.seconds, 3),
        "images_per_second": round(evaluation.images_per_second, 2),
        "class_names": list(evaluation.class_names),
        "models": [_model(evaluation, index) for index in range(len(names))],
        "comparisons": [
            {
                "first": names[i],
                "second": names[j],
                **_share("agreement", comparison.agreement),
                "both_right": comparison.both_right,
                "first_only_right": comparison.first_only_right,
                "second_only_right": comparison.second_only_right,
                "top1_difference": comparison.top1_difference,
                "top1_difference_interval_95": list(comparison.top1_difference_interval),
            }
            for (i, j), comparison in evaluation.comparisons.items()
        ],
    }


def head(
    schema: str, models: Sequence[OpenedModel], settings: dict, packages: Sequence[str] = ()
) -> dict:
    """What every evaluation says first.

    Args:
        schema: Name of the form of it.
        models: What was evaluated.
        settings: How it was asked for.
        packages: Those that it depends on besides.
    """
    packages = [*_PACKAGES, *packages]
    if any(model.form == "keras" for model in models):
        import keras

        packages += ["keras", _BACKENDS[keras.backend.backend()]]
    return {
        "schema": schema,
        "date": now(),
        "machine": describe_machine(),
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in packages},
        },
        "settings": settings,
    }


def described(model: OpenedModel, outputs: dict) -> dict:
    """A model's file, what it takes, and which `outputs` are looked at."""
    sha256, size_bytes = model.sha256_and_size()
    return {
        "model": model.name,
        "format": model.form,
        "sha256": sha256,
        "size_bytes": size_bytes,
        "input": {
            "kind": model.input.kind,
            "dtype": model.input_type,
            "batch": model.batch,
            **model.input.preprocessing.to_dict(),
        },
        **outputs,
        "inputs_of_noise": list(model.other_inputs),
    }


def _model(evaluation, index):
    model, accuracy = evaluation.models[index], evaluation.accuracies[index]
    answers = evaluation.answers.models[index]
    return {
        **described(model, {"output": model.output}),
        **_share("top1", accuracy.top1),
        **(_share("top5", accuracy.top5) if accuracy.top5 else {"top5": None}),
        "published_top1": model.published_top1,
        "nan_images": answers.nan_images,
        "images_without_class": accuracy.without_class,
        "model_seconds": round(answers.seconds, 3),
        "images_per_second_per_worker": round(evaluation.model_images_per_second(index), 2),
        "classes": [
            {
                "name": name,
                "images": int(images),
                "correct": int(correct),
                "accuracy": float(correct / images) if images else None,
                "interval_95": list(Share(int(correct), int(images)).interval) if images else None,
            }
            for name, images, correct in zip(
                evaluation.class_names, accuracy.class_images, accuracy.class_correct, strict=True
            )
        ],
        # Rows are true classes, columns predicted ones.
        "confusion": accuracy.confusion.tolist(),
    }


def _share(name, share):
    return {
        name: share.value,
        f"{name}_images": share.count,
        f"{name}_interval_95": list(share.interval),
    }


def to_json(value, indent: str = "") -> str:
    """JSON with each record and each row of a matrix on a line of its own.

    A confusion matrix of 1000 classes would take a million lines with
    `json.dumps`' indentation, and one without.
    """
    deeper = indent + " "
    if isinstance(value, dict) and value:
        lines = [f"{json.dumps(key)}: {to_json(item, deeper)}" for key, item in value.items()]
        opening, closing = "{}"
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        lines = [to_json(item, deeper) for item in value]
        opening, closing = "[]"
    else:
        return json.dumps(value)
    if len(line := f"{opening}{', '.join(lines)}{closing}") < 100 and "\n" not in line:
        return line
    body = f",\n{deeper}".join(lines)
    return f"{opening}\n{deeper}{body}\n{indent}{closing}"
