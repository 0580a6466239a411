"""What `python -m tflite.evaluate` does for detection and segmentation, once its flags are read."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Mapping

from care_keras.console import cli
from care_keras.console.optional import require
from care_keras.console.outputs import write_output
from care_keras.data.detection import open_detection
from care_keras.data.overrides import InputOverrides
from care_keras.data.segmentation import open_segmentation
from care_keras.data.splits import NoSuchSplitError
from tflite.benchmark.machine import cpu_name
from tflite.evaluate.dense.detection import Detection
from tflite.evaluate.dense.evaluation import DenseEvaluation, evaluate_dense
from tflite.evaluate.dense.models import open_dense_models
from tflite.evaluate.dense.picture import draw
from tflite.evaluate.dense.report import to_dict
from tflite.evaluate.dense.segmentation import Segmentation
from tflite.evaluate.dense.tables import class_table, difference_table, figure_table
from tflite.evaluate.messages import runtimes_of, warn, warn_of_input, warn_of_unreadable
from tflite.evaluate.opened import check_threads_of
from tflite.evaluate.report import to_json

# Which is taken where none is asked for: the first that there is.
_SPLITS = ("val", "test")


@dataclasses.dataclass(frozen=True)
class DenseRequest:
    """What was asked for: the command's flags of these names.

    Attributes:
        overrides: What the user says of the models' inputs.
        labels: Names of classes, for models that do not name them.
        labels_file: Where they are from.
        loaded: Keras models by path that are loaded already.
    """

    task: str
    model: list[str]
    data: str
    split: str | None
    first_class: int | None
    samples: int | None
    seed: int
    workers: int
    threads: int
    label_match: str
    output: str | None
    skip_unreadable: bool
    output_json: pathlib.Path | None
    picture: pathlib.Path | None
    overrides: InputOverrides
    labels: tuple[str, ...] | None
    labels_file: str | None
    loaded: Mapping

    def settings(self) -> dict:
        """As plain JSON types, but the files that are written."""
        names = (
            *("task", "data", "split", "first_class", "samples", "seed", "workers", "threads"),
            *("label_match", "output", "skip_unreadable"),
        )
        return {name: getattr(self, name) for name in names} | {"labels": self.labels_file}


def run(request: DenseRequest) -> None:
    """Evaluates, prints the tables and writes what was asked for.

    Raises:
        cli.UserError: If flags do not go with the task.
        cli.CheckError: If several threads compute what one does not.
        ValueError: If a model or the data cannot be used.
    """
    _check(request)
    if request.task == "detection":
        require("pycocotools", "detection")
        task = Detection()
    else:
        task = Segmentation()
    source = _open_data(request)
    models = open_dense_models(
        request.model,
        request.task,
        request.overrides,
        request.threads,
        request.output,
        request.labels,
        request.loaded,
    )
    source = source.sample(request.samples or len(source), request.seed)
    wrong = check_threads_of(models, source)
    evaluation = evaluate_dense(
        source, task, models, request.workers, request.label_match, request.skip_unreadable
    )
    _warn(evaluation, request.label_match)
    print(f"\n{figure_table(evaluation)}")
    if len(models) > 1:
        print(f"\n{difference_table(evaluation)}")
    print(f"\n{class_table(evaluation)}")
    print(
        f"\n{source.name}; {runtimes_of(models)}; {cpu_name()}\n"
        "95 % intervals: over images, by bootstrap; images/s: of one worker, in the model alone; "
        f"the whole pass with {request.workers} workers: {evaluation.images_per_second:,.1f} "
        "images/s"
    )
    if request.picture:
        write_output(request.picture, lambda: draw(evaluation, source, request.picture))
    if request.output_json:
        content = to_dict(evaluation, request.settings())
        write_output(request.output_json, to_json(content) + "\n")
    if wrong:
        raise cli.CheckError(f"{'; '.join(wrong)} (tflite.audit --portable looks for the operator)")


def _open_data(request):
    *before, last = (request.split,) if request.split else _SPLITS
    for split in before:
        with contextlib.suppress(NoSuchSplitError):
            return _open_split(request, split)
    return _open_split(request, last)


def _open_split(request, split):
    if request.task == "detection":
        return open_detection(request.data, split)
    return open_segmentation(request.data, split, request.first_class or 0)


def _check(request):
    if request.task == "segmentation" and request.data.partition(":")[0] == "bundled":
        raise cli.UserError("--task=segmentation needs --data: no label images are bundled")
    if request.task == "detection":
        for name in ("output", "first_class"):
            if getattr(request, name) is not None:
                raise cli.UserError(f"--{name} goes with --task=segmentation, not detection")


def _warn(evaluation: DenseEvaluation, label_match):
    warn_of_unreadable(evaluation.unreadable)
    for index, model in enumerate(evaluation.models):
        if evaluation.nan_images[index]:
            warn(
                f"{model.name} gives values that are not finite for "
                f"{evaluation.nan_images[index]:,} images"
            )
        if evaluation.figure(index) == 0:
            warn(f"{model.name} finds nothing of what is known: {evaluation.task.heading} 0")
        elif evaluation.confusion:
            predicted = evaluation.confusion[index].sum(axis=0).nonzero()[0]
            if len(predicted) == 1 and len(evaluation.class_names) > 1:
                name = evaluation.class_names[predicted[0]]
                warn(f"{model.name} gives the same class for every pixel: {name}")
        warn_of_input(model, evaluation.class_names, label_match)
    if evaluation.figure(0) is None:
        warn(f"{evaluation.data} has no {evaluation.task.counted} of any class: nothing to judge")
