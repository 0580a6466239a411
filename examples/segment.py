"""Colours each pixel of photos by its class.

    python -m examples.segment --model=segmenter_int8.tflite --photo=street.jpg --output=classes.png

The model is a .tflite file of `care_keras.convert`, or a .keras file. docs/PostProcessing.kt has
the same steps for an app.
"""

import os

import numpy as np
from absl import flags

if __name__ == "__main__":
    os.environ.setdefault("CARE_KERAS_COMMAND", "1")  # Without Keras, as the project's commands.

from care_keras.console import cli
from care_keras.detection.drawing import beside
from care_keras.segmentation.drawing import draw_classes
from care_keras.segmentation.postprocessing import class_map
from examples.on_photos import draw_each

_MODEL = flags.DEFINE_string("model", None, "The segmenter.", required=True)
_PHOTO = flags.DEFINE_multi_string("photo", None, "A photo; give it again for more.", required=True)
_OUTPUT = flags.DEFINE_string("output", "classes.png", "The picture to write.")


def main() -> None:
    """Finds the classes, prints how much of each there is, and draws them beside the photos."""
    draw_each("segmentation", _MODEL.value, _PHOTO.value, _OUTPUT.value, _coloured)


def _coloured(model, names, photo, outputs):
    """The share of each class, and the photo beside its classes."""
    (logits,) = outputs
    classes = class_map(logits, photo.shape[:2])
    counts = np.bincount(classes.ravel(), minlength=len(names))
    largest_first = [index for index in np.argsort(-counts, kind="stable") if counts[index]]
    words = ", ".join(f"{counts[one] / classes.size:.1%} {names[one]}" for one in largest_first)
    return words, beside(photo, draw_classes(photo, classes, len(names)))


if __name__ == "__main__":
    cli.run(main, input_errors=(ValueError,))
