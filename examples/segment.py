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
from care_keras.console.outputs import output_file, write_output
from care_keras.data.preprocessing import decode_image, resize_and_crop
from care_keras.detection.drawing import below, beside
from care_keras.pictures import write_png
from care_keras.segmentation.drawing import draw_classes
from care_keras.segmentation.postprocessing import class_map
from tflite.evaluate.dense.models import open_dense_models
from tflite.inputs.overrides import InputOverrides

_MODEL = flags.DEFINE_string("model", None, "The segmenter.", required=True)
_PHOTO = flags.DEFINE_multi_string("photo", None, "A photo; give it again for more.", required=True)
_OUTPUT = flags.DEFINE_string("output", "classes.png", "The picture to write.")


def main() -> None:
    """Finds the classes, prints how much of each there is, and draws them beside the photos."""
    output = output_file("output", _OUTPUT.value, (".png",))
    photos = {path: decode_image(path) for path in _PHOTO.value}
    [model] = open_dense_models([_MODEL.value], "segmentation", InputOverrides())
    names = model.input.labels
    run = model.new_run(len(photos))
    pictures = []
    for place, (path, photo) in enumerate(photos.items()):
        # All of the photo, stretched to the input's size.
        pixels = resize_and_crop(photo, model.input.preprocessing)
        (logits,), _ = run(pixels[None], place)
        classes = class_map(logits[0], photo.shape[:2])
        counts = np.bincount(classes.ravel(), minlength=len(names))
        largest_first = [index for index in np.argsort(-counts, kind="stable") if counts[index]]
        shares = [f"{counts[index] / classes.size:.1%} {names[index]}" for index in largest_first]
        print(f"{path}: {', '.join(shares)}")
        pictures.append(beside(photo, draw_classes(photo, classes, len(names))))
    write_output(output, lambda: write_png(output, below(pictures)))


if __name__ == "__main__":
    cli.run(main, input_errors=(ValueError,))
