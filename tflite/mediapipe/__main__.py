"""A .tflite file in MediaPipe's ImageClassifier: `python -m tflite.mediapipe --model=M.tflite`.

Classifies images there and in LiteRT, and compares classes and scores: exit code
1 where they differ, or where MediaPipe does not take the file. It is what an app
with MediaPipe Tasks would see. Needs the extra `mediapipe`.
"""

import dataclasses
import os
import pathlib
import sys
import tempfile

import numpy as np
from absl import flags

from care_keras.console import cli
from care_keras.console.optional import require_installed
from care_keras.console.table import format_table
from care_keras.data.sources import open_source
from care_keras.litert.model import runtime_version
from care_keras.metrics import top1_agreement
from tflite.child.worker import ask
from tflite.inputs.flags import input_overrides
from tflite.inputs.model_inputs import read_model_input
from tflite.inputs.on_images import run_on_images
from tflite.mediapipe import worker

_MODEL = flags.DEFINE_multi_string(
    "model", None, "An image classifier's .tflite file; give several.", required=True
)
_DATA = flags.DEFINE_string("data", "bundled", "Images: DIR, tfds:NAME[:SPLIT] or bundled.")
_SAMPLES = flags.DEFINE_integer("samples", 600, "Images, at most.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of their draw.", lower_bound=0)
_TOLERANCE = flags.DEFINE_float(
    "tolerance", 1e-4, "Scores may differ by so much of the largest.", lower_bound=0.0
)
_TIMEOUT = flags.DEFINE_float("timeout", 600, "Seconds for each file.", lower_bound=0.1)


@dataclasses.dataclass(frozen=True)
class _Comparison:
    """One file.

    Attributes:
        name: Its name.
        images: How many were classified.
        same_class: Share of them of which both pick one class.
        difference: Largest difference of two scores, in units of the largest
            score.
        right: Share of the labels that each gets right, MediaPipe and LiteRT;
            `None` where the classes of the images are not the model's.
        labels: Whether MediaPipe found the names of the classes.
    """

    name: str
    images: int
    same_class: float
    difference: float
    right: tuple[float, float] | None
    labels: bool


class _RefusedError(Exception):
    """MediaPipe does not run a file."""


def main() -> None:
    """The command."""
    # It is the worker that imports it.
    require_installed("mediapipe", "mediapipe")
    overrides = input_overrides()
    source = open_source(_DATA.value, "test").sample(_SAMPLES.value, _SEED.value)
    found, refused, version = [], [], ""
    for path in dict.fromkeys(_MODEL.value):
        try:
            compared, version = _compare(pathlib.Path(path), source, overrides)
            found.append(compared)
        except _RefusedError as error:
            refused.append(str(error))
    if found:
        print(f"\n{_table(found)}\n\nMediaPipe {version}, against LiteRT {runtime_version()}")
    failures = [
        *refused,
        *(
            f"{one.name}: {one.same_class:.2%} same class, scores differ by {one.difference:.2g}"
            for one in found
            if one.same_class < 1 or one.difference > _TOLERANCE.value
        ),
    ]
    if failures:
        raise cli.CheckError("; ".join(failures))


def _table(found):
    headers = ["model", "images", "same class", "scores differ by"]
    headers += ["top-1, MediaPipe", "top-1, LiteRT", "class names"]
    rows = [
        [
            one.name,
            one.images,
            f"{one.same_class:.2%}",
            f"{one.difference:.1e}",
            *([None, None] if one.right is None else (f"{share:.2%}" for share in one.right)),
            "in the file" if one.labels else "none",
        ]
        for one in found
    ]
    return format_table(headers, rows)


def _compare(path, source, overrides):
    model_input = read_model_input(path, overrides)
    if model_input.preprocessing.channels != 3:
        raise ValueError(f"MediaPipe takes RGB images. Received: a model of grey ones, {path}")
    # MediaPipe gives the file one image at a time.
    litert = run_on_images(path, model_input, source, batch=1)
    if litert.outputs.ndim != 3:
        raise ValueError(
            "The model must give a score for each class, (1, classes). "
            f"Received: an output of {list(litert.output.shape)} in {path}"
        )
    expected = litert.output.dequantize(np.concatenate(litert.outputs))
    try:
        given, answer = _classify(path, litert.pixels)
    except ValueError as error:
        raise _RefusedError(f"{error}{_way_out(litert.output, model_input)}") from error
    if given.shape != expected.shape:
        raise ValueError(
            f"MediaPipe gives {given.shape[1]} scores and LiteRT {expected.shape[1]}. "
            f"Received: {path}"
        )
    fits = litert.labels is not None and model_input.labels == source.class_names
    right = tuple(float(np.mean(one.argmax(1) == litert.labels)) for one in (given, expected))
    return (
        _Comparison(
            name=path.name,
            images=len(litert.pixels),
            same_class=top1_agreement(given, expected),
            difference=float(np.abs(given - expected).max() / np.abs(expected).max()),
            right=right if fits else None,
            labels=any(answer["labels"]),
        ),
        answer["version"],
    )


def _way_out(output, model_input):
    """What to convert otherwise, where MediaPipe is known to refuse a file."""
    if output.dtype == np.int8:
        return ": convert with --output_type=uint8"
    if model_input.kind == "float":
        return ": convert with --input=rgb_uint8"
    return ""


def _classify(path, pixels):
    """MediaPipe's scores, and what its worker answers."""
    with tempfile.TemporaryDirectory(prefix="care_keras_mediapipe-") as name:
        folder = pathlib.Path(name)
        np.save(folder / "images.npy", pixels, allow_pickle=False)
        request = {
            "model": os.path.abspath(path),
            "images": os.fspath(folder / "images.npy"),
            "scores": os.fspath(folder / "scores.npy"),
        }
        print(f"classifying with {path.name} in MediaPipe", file=sys.stderr, flush=True)
        answer = ask("MediaPipe", worker.__file__, request, _TIMEOUT.value)
        return np.load(folder / "scores.npy", allow_pickle=False), answer


if __name__ == "__main__":
    cli.run(main, input_errors=(ValueError,))
