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
from care_keras.console.outputs import output_file, write_output
from care_keras.data.preprocessing import decode_image, resize_and_crop
from care_keras.detection.drawing import below, draw_boxes
from care_keras.detection.postprocessing import detections, on_image
from care_keras.pictures import write_png
from tflite.evaluate.dense.models import open_dense_models
from tflite.inputs.overrides import InputOverrides

_MODEL = flags.DEFINE_string("model", None, "The detector.", required=True)
_PHOTO = flags.DEFINE_multi_string("photo", None, "A photo; give it again for more.", required=True)
_OUTPUT = flags.DEFINE_string("output", "found.png", "The picture to write.")
_SCORE = flags.DEFINE_float("min_score", 0.4, "Boxes of lower scores are left out.", 0.0, 1.0)


def main() -> None:
    """Finds, prints what it found, and draws it."""
    output = output_file("output", _OUTPUT.value, (".png",))
    photos = {path: decode_image(path) for path in _PHOTO.value}
    [model] = open_dense_models([_MODEL.value], "detection", InputOverrides())
    names = model.input.labels
    run = model.new_run(len(photos))
    pictures = []
    for place, (path, photo) in enumerate(photos.items()):
        # All of the photo, stretched to the input's size.
        pixels = resize_and_crop(photo, model.input.preprocessing)
        (location, score), _ = run(pixels[None], place)
        boxes, scores, labels = detections(
            location[0], score[0], model.anchors, model.size, score_threshold=_SCORE.value
        )
        boxes = on_image(boxes, model.size, photo.shape[:2])
        counts = Counter(names[label] for label in labels)
        found = ", ".join(f"{count} {name}" for name, count in counts.most_common())
        print(f"{path}: {found or 'nothing'}")
        pictures.append(draw_boxes(photo, boxes, labels, names, scores))
    write_output(output, lambda: write_png(output, below(pictures)))


if __name__ == "__main__":
    cli.run(main, input_errors=(ValueError,))
