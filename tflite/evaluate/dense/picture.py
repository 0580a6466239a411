"""A picture of what models find in a few images, beside what is known."""

import os

import numpy as np

from care_keras.data.preprocessing import resize
from care_keras.data.sources import Source
from care_keras.detection.drawing import below, beside, titled
from care_keras.pictures import write_png
from tflite.evaluate.dense.evaluation import DenseEvaluation

# Longest side of an image in it.
_LONGEST = 640


def draw(evaluation: DenseEvaluation, source: Source, path: str | os.PathLike) -> None:
    """Writes a row for each image: a column for each model, and what is known.

    Args:
        evaluation: What to show.
        source: The images that were evaluated.
        path: File that ends in .png.

    Raises:
        OSError: If it cannot be written.
    """
    titles = [*(model.name for model in evaluation.models), "known"]
    rows = []
    for one in evaluation.shown:
        image = source[one.index]
        scale = min(1.0, _LONGEST / max(image.shape[:2]))
        size = tuple(max(1, round(side * scale)) for side in image.shape[:2])
        small = resize(image, size, "bilinear")
        rows.append(
            beside(
                *(
                    titled(_drawn(evaluation, small, scale, answer), title)
                    for answer, title in zip((*one.answers, one.known), titles, strict=True)
                )
            )
        )
    write_png(path, below(rows))


def _drawn(evaluation, image, scale, answer) -> np.ndarray:
    return evaluation.task.draw(image, scale, answer, evaluation.class_names)
