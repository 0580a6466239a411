"""How right models are about images: `python -m tflite.evaluate --model=M.tflite --data=DIR`.

Several `--model`, .tflite or .keras, are run in one pass over the images and
set side by side: classifiers by their accuracy, detectors by COCO's AP,
segmenters by the mean IoU. How images are prepared and what outputs are for is
said by the JSON that `care_keras.convert` writes beside a file, by a .keras
file itself, or by flags.
With `--threads` outputs are held against those of one thread on a few images,
published weights (`--model=care_s0_imagenet`) against the top-1 that their
authors give: exit code 1 if they differ.
"""

import os

import numpy as np
from absl import flags

from care_keras.console import cli
from care_keras.console.import_flag import import_own_modules
from care_keras.console.optional import require
from care_keras.console.outputs import PICTURES, output_file, write_output
from care_keras.data.image_flags import input_overrides
from care_keras.data.sources import check_source, open_source
from tflite.benchmark.machine import cpu_name, describe_machine
from tflite.evaluate.classes import MATCHES, read_labels
from tflite.inputs.json_output import json_output

_MODEL = flags.DEFINE_multi_string(
    "model",
    None,
    "A .tflite file, .keras file or bundled model's name; give several to compare.",
    required=True,
)
_TASK = flags.DEFINE_enum(
    "task",
    None,
    ["classification", "detection", "segmentation"],
    "What the models are for (default: what they say, else classification).",
)
_DATA = flags.DEFINE_string(
    "data",
    "bundled",
    "Labelled images: DIR, tfds:NAME[:SPLIT] or bundled; of detection a folder with COCO's JSON, "
    "of segmentation one of images and label images, as care_keras.train takes them.",
)
_SPLIT = flags.DEFINE_string(
    "split", None, "Split of the data, of detection and segmentation (default: val, or test)."
)
_FIRST_CLASS = flags.DEFINE_integer(
    "first_class",
    None,
    "Value of the first class in label images, of segmentation (default: 0).",
    lower_bound=0,
    upper_bound=254,
)
_SAMPLES = flags.DEFINE_integer("samples", None, "Images, at most (default: all).", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the draw of --samples.", lower_bound=0)
_WORKERS = flags.DEFINE_integer(
    "workers",
    None,
    "Threads that images are spread over; results do not depend on it (default: one per CPU).",
    lower_bound=1,
)
_THREADS = flags.DEFINE_integer(
    "threads", 1, "Threads of the CPU kernels of each worker.", lower_bound=1
)
_LABELS = flags.DEFINE_string(
    "labels",
    None,
    "A file of the classes' names in the order of the outputs, one a line, for models that do not "
    "name them.",
)
_LABEL_MATCH = flags.DEFINE_enum(
    "label_match",
    "exact",
    MATCHES,
    "How a model's classes become the data's. exact: the same names, in whatever order; subset: "
    "the data may lack some; index: names are not looked at. Models without names: by index.",
)
_PUBLISHED = flags.DEFINE_bool(
    "published",
    True,
    "Hold published weights to the top-1 of their authors, on ImageNet's validation set or a part "
    "of it; --nopublished for other images.",
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "Name of the output with the logits, of models that have several."
)
_SKIP_UNREADABLE = flags.DEFINE_bool(
    "skip_unreadable", False, "Leave images out that cannot be decoded, instead of giving up."
)
_OUTPUT_JSON = flags.DEFINE_string("output_json", None, "File for all figures.")
_PICTURE = flags.DEFINE_string(
    "picture",
    None,
    "File for a picture: of the confusion matrices, .png, .svg or .pdf; of detection and "
    "segmentation of what is found in a few images, .png.",
)

_PORTABLE = "tflite.audit --portable looks for the operator"


def main() -> None:
    """The command."""
    # Before minutes of work, not after.
    output_json = json_output(_OUTPUT_JSON.value, _MODEL.value)
    picture = output_file("picture", _PICTURE.value, PICTURES)
    overrides = input_overrides()
    from tflite.evaluate.models import check_model_file
    from tflite.evaluate.task import CLASSIFICATION, choose_task

    for name in _MODEL.value:
        check_model_file(name)
    check_source(_DATA.value)
    labels = None if _LABELS.value is None else read_labels(_LABELS.value)
    # There is no use for a GPU, and TensorFlow's search for one prints errors.
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    import_own_modules()
    task, loaded = choose_task(_TASK.value, _MODEL.value)
    if task == CLASSIFICATION:
        _classification(overrides, labels, loaded, output_json, picture)
        return
    output_file("picture", _PICTURE.value, (".png",))
    from tflite.evaluate.dense import command

    command.run(
        command.DenseRequest(
            task=task,
            model=_MODEL.value,
            split=_SPLIT.value,
            first_class=_FIRST_CLASS.value,
            **_common(),
            output_json=output_json,
            picture=picture,
            overrides=overrides,
            labels=labels,
            labels_file=_LABELS.value,
            loaded=loaded,
        )
    )


def _common():
    """The flags that every task has."""
    threads = _THREADS.value
    return {
        "data": _DATA.value,
        "samples": _SAMPLES.value,
        "seed": _SEED.value,
        "workers": _WORKERS.value or max(1, describe_machine()["usable_cpus"] // threads),
        "threads": threads,
        "label_match": _LABEL_MATCH.value,
        "output": _OUTPUT.value,
        "skip_unreadable": _SKIP_UNREADABLE.value,
    }


def _classification(overrides, labels, loaded, output_json, picture):
    for name, value in (("split", _SPLIT.value), ("first_class", _FIRST_CLASS.value)):
        if value is not None:
            raise cli.UserError(f"--{name} goes with --task=detection or segmentation")
    if picture:
        require("matplotlib", "report")
    from tflite.evaluate.models import check_output, open_models

    for name in _MODEL.value:
        check_output(name, _OUTPUT.value)
    from tflite.evaluate.evaluation import evaluate
    from tflite.evaluate.messages import runtimes_of
    from tflite.evaluate.opened import check_threads_of
    from tflite.evaluate.published import published_figures
    from tflite.evaluate.report import to_dict, to_json
    from tflite.evaluate.tables import accuracy_table, class_table, comparison_table

    settings = _common()
    workers = settings["workers"]
    models = open_models(
        _MODEL.value, overrides, _THREADS.value, _OUTPUT.value, labels, loaded=loaded
    )
    source = open_source(_DATA.value, "test")
    source = source.sample(_SAMPLES.value or len(source), _SEED.value)
    wrong = [f"{one} ({_PORTABLE})" for one in check_threads_of(models, source)]
    evaluation = evaluate(source, models, workers, _LABEL_MATCH.value, _SKIP_UNREADABLE.value)

    _warn(evaluation)
    print(f"\n{accuracy_table(evaluation)}")
    if len(models) > 1:
        print(f"\n{comparison_table(evaluation)}")
    print(f"\n{class_table(evaluation)}")
    if _PUBLISHED.value:
        lines, failures = published_figures(evaluation)
        wrong += failures
        print("".join(f"\n{line}\n" for line in lines), end="")
    note = f"{source.name}; {runtimes_of(models)}; {cpu_name()}"
    print(
        f"\n{note}\nimages/s: of one worker, in the model alone; the whole pass with {workers} "
        f"workers: {evaluation.images_per_second:,.1f} images/s"
    )
    if output_json:
        settings["labels"] = _LABELS.value
        write_output(output_json, to_json(to_dict(evaluation, settings)) + "\n")
    if picture:
        from tflite.evaluate import confusion_picture

        write_output(picture, lambda: confusion_picture.draw(evaluation, picture, note))
    if wrong:
        raise cli.CheckError("; ".join(wrong))


def _warn(evaluation):
    from tflite.evaluate.messages import warn, warn_of_input, warn_of_unreadable

    warn_of_unreadable(evaluation.answers.unreadable)
    for model, answers in zip(evaluation.models, evaluation.answers.models, strict=True):
        if answers.nan_images:
            warn(f"{model.name} gives NaN for {answers.nan_images:,} images, which count as wrong")
        if evaluation.images > 1 and len(np.unique(answers.predicted)) == 1:
            warn(f"{model.name} gives the same class for every image")
        warn_of_input(model, evaluation.class_names, _LABEL_MATCH.value)


if __name__ == "__main__":
    cli.run(main, input_errors=(ValueError,))
