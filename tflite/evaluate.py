"""Accuracy of a .tflite file on labelled images: `python -m tflite.evaluate --model=M.tflite`.

The preprocessing is that of the JSON which `care_keras.convert` writes beside
the file.
"""

import dataclasses
import json
import pathlib

import numpy as np
from absl import flags

from care_keras import cli
from care_keras.convert.images import read_pixels
from care_keras.data.preprocessing import normalize
from care_keras.data.sources import open_source
from care_keras.litert import LiteRTModel, runtime_version
from care_keras.metrics import top_k, wilson_interval
from care_keras.models import Preprocessing
from care_keras.progress import progress
from care_keras.table import format_table

_MODEL = flags.DEFINE_string("model", None, "The .tflite file.", required=True)
_DATA = flags.DEFINE_string(
    "data", "bundled", "Labelled images: DIR, tfds:NAME[:SPLIT] or bundled."
)
_SAMPLES = flags.DEFINE_integer("samples", None, "Images, at most (default: all).", lower_bound=1)
_THREADS = flags.DEFINE_integer("threads", 1, "Threads of the CPU kernels.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the draw of --samples.")


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


def read_sidecar(model_path: pathlib.Path) -> tuple[str, Preprocessing]:
    """Input kind and preprocessing from the JSON beside a .tflite file.

    Raises:
        ValueError: If there is none, or it is not one of ours.
    """
    path = model_path.with_suffix(".json")
    try:
        content = json.loads(path.read_text())
        fields = {field.name for field in dataclasses.fields(Preprocessing)}
        record = {key: value for key, value in content["preprocessing"].items() if key in fields}
        return content["input"]["kind"], Preprocessing(**record)
    except FileNotFoundError as error:
        raise ValueError(f"{path} is missing: it says how images are prepared") from error
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not a description written by care_keras.convert") from error


def main() -> None:
    """The command."""
    path = pathlib.Path(_MODEL.value)
    try:
        input_kind, preprocessing = read_sidecar(path)
        model = LiteRTModel(path, num_threads=_THREADS.value)
        source = open_source(_DATA.value, "test")
        if source.labels is None:
            raise ValueError(f"{source.name} has no labels to evaluate with")
        source = source.sample(_SAMPLES.value or len(source), _SEED.value)
        pixels, labels = read_pixels(source, preprocessing, f"reading {source.name}")
        result = evaluate(model, input_kind, preprocessing, pixels, labels)
    except ValueError as error:
        raise cli.UserError(str(error)) from error
    low, high = result.top1_interval
    top5 = None if result.top5 is None else f"{result.top5:.2%}"
    print()
    print(
        format_table(
            ["model", "images", "top-1", "95 % interval", "top-5"],
            [[path.name, result.images, f"{result.top1:.2%}", f"{low:.2%} to {high:.2%}", top5]],
        )
    )
    print(f"\n{source.name}, LiteRT {runtime_version()}, XNNPACK, on this machine's CPU")


if __name__ == "__main__":
    cli.run(main)
