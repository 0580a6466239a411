"""The JSON beside a .tflite file: all that an app needs to feed it and read it."""

import datetime
import hashlib
import os
import pathlib
import platform

import keras
import numpy as np

from care_keras import primitives
from care_keras.console.optional import installed_version
from care_keras.convert.examples import Examples, pair_names
from care_keras.convert.meaning import input_in_words, output_in_words
from care_keras.data.record import Preprocessing, image_places
from care_keras.data.segmentation import VOID
from care_keras.detection.anchors import LOCATION_SCALES, Anchors
from care_keras.graph import functional_form, unfold
from care_keras.litert.file import LiteRTFile
from care_keras.litert.tensor import TensorInfo
from care_keras.segmentation.postprocessing import class_colors

# By task and output.
_WORDS = {
    ("detection", "location"): "Of each anchor's box: offsets y, x of the centre in units of the "
    "anchor's height and width, and natural logarithms of its height and width over the anchor's, "
    "each times its number of location_scales.",
    ("detection", "score"): "Of each anchor, for each class, from 0 to 1: how well its box fits an "
    "object of that class. Boxes that overlap are to be suppressed.",
    ("segmentation", "outputs"): "Logits of each class, at a fraction of the image's size: "
    "enlarged by bilinear interpolation, the largest is the pixel's class.",
}

_PACKAGES = ("keras", "tensorflow", "ai-edge-litert", "numpy", "pillow")


def describe(
    path: str | os.PathLike,
    file_name: str,
    input_kind: str,
    precision: str,
    preprocessing: Preprocessing | None,
    labels: tuple[str, ...] | None,
    activation: str | None,
    examples: Examples | None = None,
    of_model: Preprocessing | None = None,
    task: dict | None = None,
) -> dict:
    """What the file is, read from the file itself, as plain JSON types.

    Args:
        path: Where the file is now.
        file_name: Name it will have.
        input_kind: `"float"` or `"rgb_uint8"`.
        precision: Precision it was converted with.
        preprocessing: How images are prepared, of several inputs for the first of images; `None`
            if that is not known, or there are none.
        labels: Names of the classes, or `None`.
        activation: Name of the output's activation, or `None` if unknown.
        examples: What the file was checked with: they say what each of
            several inputs takes.
        of_model: How images are prepared for the model itself, where the file
            may take pixels that it normalizes.
        task: What the outputs are, see `task_of`.
    """
    content = pathlib.Path(path).read_bytes()
    file = LiteRTFile(content)
    several = len(file.inputs) > 1 and examples is not None
    pairs = pair_names(list(file.inputs), list(examples.arrays)) if several else {}
    # Of several inputs raw pixels are those of images alone.
    kinds = {
        name: input_kind if not several or pairs[name] in examples.records else "float"
        for name in file.inputs
    }
    images = image_places([tensor.shape for tensor in file.inputs.values()])
    inputs = {
        name: {
            **_tensor(tensor),
            "kind": kinds[name],
            "signature_name": name,
            "meaning": input_in_words(tensor, kinds[name], place in images),
        }
        for place, (name, tensor) in enumerate(file.inputs.items())
    }
    first = list(inputs.values())[images[0] if images else 0]
    classes = None if labels is None else len(labels)
    outputs = [
        {
            **_tensor(output),
            "signature_name": name,
            "activation": activation,
            "meaning": output_in_words(
                output, activation, output.shape[1:] == (classes,), _of_task(task, name)
            ),
        }
        for name, output in file.outputs.items()
    ]
    return {
        "file": file_name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "size_bytes": len(content),
        "precision": precision,
        # The one that takes images, or the first, and of several all of them.
        "input": first,
        **({"inputs": _described(inputs, pairs, examples, preprocessing)} if several else {}),
        "output": outputs[0],
        **({"outputs": outputs} if len(outputs) > 1 else {}),
        "preprocessing": preprocessing and _prepared(preprocessing, input_kind),
        "model_preprocessing": of_model and _prepared(of_model, "float"),
        "labels": None if labels is None else list(labels),
        **({"task": _task(task, first["shape"][1:3], labels)} if task else {}),
        "versions": {
            "python": platform.python_version(),
            **{name: installed_version(name) for name in _PACKAGES},
        },
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def _task(task, image_size, labels):
    """What an app needs to read a task's outputs."""
    if task["name"] == "segmentation":
        colors = class_colors(len(labels)).tolist() if labels else None
        return {**task, "colors": colors, "void": VOID}
    if task["name"] != "detection":
        return task
    boxes = Anchors.from_dict(task["anchors"]).boxes(image_size)
    return {
        **task,
        "location_scales": list(LOCATION_SCALES),
        "anchor_format": "centre y, centre x, height, width, in pixels of the input",
        "anchor_boxes": np.round(boxes.astype(float), 4).tolist(),
    }


def _of_task(task, name):
    """What a task's output is, in words, or `None` of others."""
    return _WORDS.get((task["name"], name)) if task else None


def _described(inputs, pairs, examples, preprocessing):
    """What each of several inputs takes."""
    # Of a network of pixels that is said of the first, and so it is of the others.
    of_pixels = preprocessing is not None and preprocessing == preprocessing.taking_pixels()
    found = []
    for name, described in inputs.items():
        record = examples.records.get(pairs[name])
        if record and of_pixels and described["kind"] == "rgb_uint8":
            record = record.taking_pixels()
        source = "noise" if pairs[name] in examples.noise else "arrays"
        found.append(
            {
                **described,
                "checked_on": "images" if record else source,
                "preprocessing": record and _prepared(record, described["kind"]),
            }
        )
    return found


def _prepared(preprocessing, input_kind):
    return {**preprocessing.to_dict(), "steps": _steps(preprocessing, input_kind)}


def _steps(preprocessing, input_kind):
    """How an image becomes the input, in words."""
    steps = "resize keeping the aspect ratio, centre crop"
    if preprocessing.fit == "stretch":
        steps = "resize the whole image to height x width, the aspect ratio not kept"
    if preprocessing.channels == 1:
        grey = "grey by ITU-R 601 luma (0.299 R + 0.587 G + 0.114 B, rounded as Pillow's L)"
        steps = f"{grey}, {steps}"
    return steps if input_kind != "float" else f"{steps}, (pixel / 255 - mean) / std"


def activation_name(model: keras.Model) -> str | None:
    """Name of the output's activation, `"linear"` for logits; `None` if it is not known."""
    activation = getattr(model, "classifier_activation", None) or _last_activation(model)
    return None if activation is None else getattr(activation, "__name__", str(activation))


def _last_activation(model):
    """Of the layer that the only output comes from."""
    graph = None if functional_form(model) is None else unfold(model)
    outputs = [] if graph is None else keras.tree.flatten(graph.outputs)
    if len(outputs) != 1:
        return None
    for step in graph.steps:
        if outputs[0].index in step.outputs:
            if isinstance(step.operation, keras.layers.Softmax | primitives.Softmax):
                return "softmax"
            return getattr(step.operation, "activation", None)
    return None


def _tensor(info: TensorInfo) -> dict:
    return {
        "name": info.name,
        "shape": list(info.shape),
        "dtype": info.dtype.name,
        "scale": info.scale or None,
        "zero_point": info.zero_point if info.scale else None,
    }
