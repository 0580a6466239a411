"""What the examples of detection and segmentation share: photos in, words and a picture out."""

from collections.abc import Callable, Sequence

import numpy as np

from care_keras.console.outputs import output_file, write_output
from care_keras.data.overrides import InputOverrides
from care_keras.data.preprocessing import decode_image, resize_and_crop
from care_keras.detection.drawing import below
from care_keras.pictures import write_png
from tflite.evaluate.dense.models import DenseModel, open_dense_models

# From the model, the names of its classes, a photo, and the outputs for it: words and a picture.
Answer = Callable[[DenseModel, Sequence[str], np.ndarray, list[np.ndarray]], tuple[str, np.ndarray]]


def draw_each(task: str, path: str, photos: Sequence[str], output: str, answer: Answer) -> None:
    """Runs the model on each photo, prints the words, and writes the pictures as one.

    Args:
        task: `"detection"` or `"segmentation"`.
        path: The model.
        photos: Files of photos.
        output: The picture to write.
        answer: What to make of a photo's outputs.
    """
    written = output_file("output", output, (".png",))
    images = {name: decode_image(name) for name in photos}
    [model] = open_dense_models([path], task, InputOverrides())
    # A file of someone else's need not name its classes.
    names = model.input.labels or tuple(map(str, range(model.classes)))
    run = model.new_run(len(images))
    pictures = []
    for place, (name, photo) in enumerate(images.items()):
        # All of the photo, stretched to the input's size.
        pixels = resize_and_crop(photo, model.input.preprocessing)
        outputs, _ = run(pixels[None], place)
        words, picture = answer(model, names, photo, [one[0] for one in outputs])
        print(f"{name}: {words}")
        pictures.append(picture)
    write_output(written, lambda: write_png(written, below(pictures)))
