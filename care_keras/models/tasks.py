"""What a model's outputs are for."""

from typing import Any


def task_of(model: Any) -> dict | None:
    """`{"name": "detection", "anchors": ...}`, `{"name": "segmentation"}`, or `None` of others.

    Args:
        model: A Keras model of any form, or the JSON beside a .tflite file.
    """
    task = model.get("task") if isinstance(model, dict) else getattr(model, "task", None)
    # A model of somebody's own may mean something else by it.
    return task if isinstance(task, dict) and isinstance(task.get("name"), str) else None
