"""Makes a small data set for segmentation: blood cells, a class for each pixel.

    python -m examples.cell_masks --output=cells

Its photos are those of BCCD that come with the package. BCCD has boxes alone, so that a cell is
taken to be the ellipse in its box. The folder is as `care_keras.train --task=segmentation` reads
any: `images/`, `labels/`, `classes.txt`, and a list of images for each split.
"""

import os
import pathlib
import shutil

import numpy as np
from absl import flags
from PIL import Image, ImageDraw

if __name__ == "__main__":
    os.environ.setdefault("CARE_KERAS_COMMAND", "1")  # Without Keras, as the project's commands.

from care_keras.console import cli
from care_keras.console.outputs import output_folder
from care_keras.data.detection import DetectionSource, open_detection

_OUTPUT = flags.DEFINE_string("output", "cells", "The folder to make; there is none yet.")

BACKGROUND = "background"


def main() -> None:
    """Writes images, their label images and the lists."""
    if os.path.exists(_OUTPUT.value):
        raise cli.UserError(f"--output: {_OUTPUT.value} is there already; name another folder")
    with output_folder(_OUTPUT.value) as folder:
        _fill(folder)
    print(f"wrote {folder}")


def _fill(folder: pathlib.Path) -> None:
    (folder / "images").mkdir()
    (folder / "labels").mkdir()
    for split in ("train", "test"):
        source = open_detection("bundled", split)
        stems = [_write(source, index, folder) for index in range(len(source))]
        (folder / f"{split}.txt").write_text("\n".join(stems) + "\n")
        print(f"{split}: {len(stems)} photos")
    (folder / "classes.txt").write_text("\n".join([BACKGROUND, *source.class_names]) + "\n")


def _write(source: DetectionSource, index: int, folder: pathlib.Path) -> str:
    photo = pathlib.Path(source.item_names[index])
    shutil.copy(photo, folder / "images")
    Image.fromarray(mask(source, index)).save(folder / "labels" / f"{photo.stem}.png")
    return photo.stem


def mask(source: DetectionSource, index: int) -> np.ndarray:
    """uint8 `(height, width)`: 0 where there is no cell, else 1 + the number of its class."""
    height, width = source.image_size(index)
    image = Image.new("L", (width, height))
    draw = ImageDraw.Draw(image)
    objects = source.objects(index)
    # A small cell that lies on a large one stays to be seen.
    for place in np.argsort(-objects.areas, kind="stable"):
        top, left, bottom, right = map(float, objects.boxes[place])
        draw.ellipse((left, top, right, bottom), fill=1 + int(objects.labels[place]))
    return np.asarray(image)


if __name__ == "__main__":
    cli.run(main, input_errors=(ValueError,))
