"""Calibration images and held-out images, never the same ones."""

import os
import sys

import numpy as np

from care_keras.console.progress import progress
from care_keras.data.preprocessing import resize_and_crop
from care_keras.data.record import Preprocessing
from care_keras.data.sources import Source, open_source

# Largest share of one source that calibration may take where nothing else is held out.
_CALIBRATION_SHARE = 0.8


def open_calibration_and_held_out(
    calibration: str, evaluation: str | None, samples: int, check_samples: int, seed: int
) -> tuple[Source, Source, str | None]:
    """Opens disjoint images to calibrate with and to check with.

    Both come from `calibration`, its train and its test split, unless
    `evaluation` names other images. A source with one split only is divided, and so is one
    that is named twice.

    Args:
        calibration: `DIR`, `tfds:NAME` or `bundled`.
        evaluation: The same for the check, or `None`.
        samples: Images to calibrate with, at most.
        check_samples: Images to check with, at most.
        seed: Seed of the draws.

    Returns:
        The two sources, and a warning for the user or `None`.

    Raises:
        ValueError: If one cannot be opened.
    """
    train, test = _open_if_there(calibration, "train"), _open_if_there(calibration, "test")
    source = train or test or open_source(calibration, "train")  # The last one raises.
    if evaluation:
        held_out = open_source(evaluation, "test")
        held_out = None if _is_same(held_out, source) else held_out
    else:
        divided = train is not None and test is not None and train.item_names != test.item_names
        held_out = test if divided else None
    if held_out is not None:
        return source.sample(samples, seed), held_out.sample(check_samples, seed), None
    order = np.random.default_rng(seed).permutation(len(source))
    count = min(samples, max(1, int(len(source) * _CALIBRATION_SHARE)))
    rest = order[count : count + check_samples]
    if len(rest) == 0:
        warning = f"{source.name} holds one image: the check uses the calibration image itself"
        return source, source, warning
    return source.take(order[:count]), source.take(rest, f"{source.name} (held out)"), None


def _is_same(first, second):
    return os.path.abspath(first.name) == os.path.abspath(second.name)


def _open_if_there(spec, split):
    try:
        return open_source(spec, split)
    except ValueError:
        return None


def read_pixels(
    source: Source, preprocessing: Preprocessing, label: str
) -> tuple[np.ndarray, np.ndarray | None]:
    """Decodes, resizes and crops; unreadable images are named on stderr and left out.

    Args:
        source: The images.
        preprocessing: The model's record.
        label: What the images are for, shown as progress.

    Returns:
        uint8 array of shape `(readable, height, width, channels)`, and their
        labels or `None`.

    Raises:
        ValueError: If no image is readable.
    """
    pixels, kept, unreadable = [], [], []
    for index in progress(range(len(source)), label):
        try:
            image = resize_and_crop(source[index], preprocessing)
        except ValueError:
            unreadable.append(source.item_names[index])
            continue
        pixels.append(image)
        kept.append(index)
    if not pixels:
        raise ValueError(
            f"None of the {len(source)} images is readable. Received: {source.name}, "
            f"for instance {unreadable[0]}"
        )
    if unreadable:
        names = ", ".join(unreadable[:5]) + (", ..." if len(unreadable) > 5 else "")
        print(
            f"warning: skipped {len(unreadable)} unreadable of {len(source)} images: {names}",
            file=sys.stderr,
        )
    labels = None if source.labels is None else source.labels[kept]
    return np.stack(pixels), labels
