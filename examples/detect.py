"""Draws what a detector finds in photos: boxes, classes and scores.

    python -m examples.detect --model=care_xs_bccd --photo=blood.jpg --output=found.png

The model is a .tflite file of `care_keras.convert`, a .keras file, or one that comes with the
package. docs/PostProcessing.kt has the same steps for an app.
"""

import os
from collections import Counter

from absl import flags

if __name__ == "__main__":
    os.environ.setdefault("CARE_KERAS_COMMAND", "1")  # Without Keras, as the project's commands.

from care_keras.console import cli
from care_keras.detection.drawing import draw_boxes
from care_keras.detection.postprocessing import detections, on_image
from examples.on_photos import draw_each

_MODEL = flags.DEFINE_string("model", None, "The detector.", required=True)
_PHOTO = flags.DEFINE_multi_string("photo", None, "A photo; give it again for more.", required=True)
_OUTPUT = flags.DEFINE_string("output", "found.png", "The picture to write.")
_SCORE = flags.DEFINE_float("min_score", 0.4, "Boxes of lower scores are left out.", 0.0, 1.0)


def main() -> None:
    """Finds, prints what it found, and draws it."""
    draw_each("detection", _MODEL.value, _PHOTO.value, _OUTPUT.value, _found)


def _found(model, names, photo, outputs):
    """How many objects of each class there are, and the photo with their boxes."""
    location, score = outputs
    boxes, scores, labels = detections(
        location, score, model.anchors, model.size, score_threshold=_SCORE.value
    )
    boxes = on_image(boxes, model.size, photo.shape[:2])
    counts = Counter(names[label] for label in labels)
    words = ", ".join(f"{count} {name}" for name, count in counts.most_common())
    return words or "nothing", draw_boxes(photo, boxes, labels, names, scores)


if __name__ == "__main__":
    cli.run(main, input_errors=(ValueError,))
