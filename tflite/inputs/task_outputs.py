"""Which outputs of a model its task is about, and what boxes are decoded with."""

import os
from collections.abc import Mapping, Sequence

import numpy as np

from care_keras.detection.anchors import LOCATION_SCALES, Anchors
from care_keras.shapes import shape_text
from tflite.inputs.chosen_output import chosen_output
from tflite.inputs.records import ModelInput

Shape = Sequence[int | None]


def task_outputs(
    task: str, shapes: Mapping[str, Shape], output: str | None, path: str | os.PathLike
) -> tuple[str, ...]:
    """Names of the outputs that a task is about: location and score, or the logits.

    Args:
        task: `"detection"` or `"segmentation"`.
        shapes: Of all outputs, by name; `None` where a size is open.
        output: The one with the logits, of a segmenter that has several.
        path: The model, for messages.

    Raises:
        ValueError: If there are no such outputs, or several.
    """
    ranks = {"detection": 3, "segmentation": 4}
    of_rank = {
        name: shape
        for name, shape in shapes.items()
        if len(shape) == ranks[task] and shape[-1] is not None and shape[-1] > 0
    }
    if task == "segmentation" and of_rank:
        return (chosen_output(of_rank, output, path, "--output"),)
    if task == "detection" and of_rank.keys() >= {"location", "score"}:
        return "location", "score"
    locations = [name for name, shape in of_rank.items() if shape[-1] == 4]
    scores = [name for name in of_rank if name not in locations]
    if task == "detection" and len(locations) == len(scores) == 1:
        return locations[0], scores[0]
    wanted = {
        "detection": "A detector must give location (1, anchors, 4) and score (1, anchors, "
        "classes), of these names where there are four classes",
        "segmentation": "A segmenter must give logits (1, height, width, classes)",
    }[task]
    listed = ", ".join(f"{name} {shape_text(shape)}" for name, shape in shapes.items())
    raise ValueError(f"{wanted}. Received: outputs {listed} of {os.fspath(path)}")


def task_anchors(model_input: ModelInput, path: str | os.PathLike, where: str) -> np.ndarray:
    """A detector's anchors by what the model says, `(anchors, 4)`, see `Anchors.boxes`.

    Args:
        model_input: What it says.
        path: The model, for messages.
        where: What says it, likewise.

    Raises:
        ValueError: If nothing says them, or what it says means nothing.
    """
    said = model_input.task or {}
    if said.get("anchors") is None:
        raise ValueError(
            f"Nothing says the anchors that boxes are decoded with: {where} has no task of "
            "detection. care_keras.convert writes it beside a RetinaNet's file: convert the model "
            f"anew. Received: {path}"
        )
    scales = said.get("location_scales")
    if scales not in (None, list(LOCATION_SCALES)):
        raise ValueError(
            f"Locations must be scaled by {LOCATION_SCALES}. "
            f"Received: location_scales={scales} of {path}"
        )
    record = model_input.preprocessing
    try:
        return Anchors.from_dict(said["anchors"]).boxes((record.height, record.width))
    except ValueError as error:
        raise ValueError(f"{error} ({where}, of {path})") from error


def check_anchors(anchors: np.ndarray, shapes: Sequence[Shape], path: str | os.PathLike) -> None:
    """Raises ValueError unless outputs have a row for each anchor, as far as shapes tell.

    Args:
        anchors: `(anchors, 4)`.
        shapes: Of location and score.
        path: The model, for messages.
    """
    rows = {shape[1] for shape in shapes if shape[1] is not None}
    if rows - {len(anchors)} or shapes[0][-1] != 4:
        raise ValueError(
            f"A detector's outputs need a row for each of its {len(anchors)} anchors, and "
            "locations four values. "
            f"Received: outputs {', '.join(map(shape_text, shapes))} of {path}"
        )
