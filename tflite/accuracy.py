"""How often a .tflite file is right about labelled images."""

import dataclasses

import numpy as np

from care_keras.data.preprocessing import normalize
from care_keras.litert import LiteRTModel
from care_keras.metrics import top_k, wilson_interval
from care_keras.models import Preprocessing
from care_keras.progress import progress


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Accuracy of one file.

    Attributes:
        images: Images it was run on.
        top1: Share whose best class is the label.
        top5: Share whose five best classes hold it, or `None` for five classes or fewer.
        top1_interval: 95 % interval of `top1` (Wilson's).
    """

    images: int
    top1: float
    top5: float | None
    top1_interval: tuple[float, float]


def evaluate(
    model: LiteRTModel,
    input_kind: str,
    preprocessing: Preprocessing,
    pixels: np.ndarray,
    labels: np.ndarray,
) -> Evaluation:
    """Runs a model over images and counts.

    Args:
        model: The opened file.
        input_kind: `"float"` or `"rgb_uint8"`, what it takes.
        preprocessing: Its record.
        pixels: uint8 images of shape `(images, height, width, 3)`, resized and cropped.
        labels: Class indices of shape `(images,)`.

    Raises:
        ValueError: If the model fails to run, or knows fewer classes than `labels` names.
    """
    batch = model.input.shape[0]
    outputs = []
    for start in progress(range(0, len(pixels), batch), "evaluating, image"):
        part = pixels[start : start + batch]
        outputs.append(
            model.predict(part if input_kind == "rgb_uint8" else normalize(part, preprocessing))
        )
    scores = np.concatenate(outputs).reshape(len(pixels), -1)
    classes = scores.shape[-1]
    if labels.max() >= classes:
        raise ValueError(
            f"The labels go up to {labels.max()}. Received: a model of {classes} classes"
        )
    top1 = top_k(scores, labels, 1)
    return Evaluation(
        images=len(pixels),
        top1=top1,
        top5=top_k(scores, labels, 5) if classes > 5 else None,
        top1_interval=wilson_interval(top1, len(pixels)),
    )
