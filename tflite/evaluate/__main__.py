"""Accuracy on labelled images: `python -m tflite.evaluate --model=M.tflite --data=DIR`.

Several `--model`, .tflite or .keras, are run in one pass over the images and
set side by side. How images are prepared is said by the JSON that
`care_keras.convert` writes beside a file, by a .keras file itself, or by flags.
With `--threads` outputs are held against those of one thread on a few images:
exit code 1 if they differ.
"""

import os
import sys

import numpy as np
from absl import flags

from care_keras.console import cli
from care_keras.console.import_flag import import_own_modules
from care_keras.console.optional import require
from care_keras.console.outputs import PICTURES, output_file, write_output
from care_keras.data.sources import check_source, open_source
from care_keras.litert.model import runtime_version
from tflite.benchmark.machine import cpu_name, describe_machine
from tflite.evaluate.classes import MATCHES, read_labels
from tflite.inputs.flags import input_overrides

_MODEL = flags.DEFINE_multi_string(
    "model",
    None,
    "A .tflite file, .keras file or bundled model's name; give several to compare.",
    required=True,
)
_DATA = flags.DEFINE_string(
    "data", "bundled", "Labelled images: DIR, tfds:NAME[:SPLIT] or bundled."
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
_OUTPUT = flags.DEFINE_string(
    "output", None, "Name of the output with the logits, of models that have several."
)
_SKIP_UNREADABLE = flags.DEFINE_bool(
    "skip_unreadable", False, "Leave images out that cannot be decoded, instead of giving up."
)
_OUTPUT_JSON = flags.DEFINE_string("output_json", None, "File for all figures.")
_PICTURE = flags.DEFINE_string(
    "picture", None, "File for a picture of the confusion matrices: .png, .svg or .pdf."
)


def main() -> None:
    """The command."""
    # Before minutes of work, not after.
    output_json = output_file("output_json", _OUTPUT_JSON.value, (".json",))
    picture = output_file("picture", _PICTURE.value, PICTURES)
    if picture:
        require("matplotlib", "report")
    overrides = input_overrides()
    from tflite.evaluate.models import check_model_file, check_output, open_models
    from tflite.evaluate.opened import check_threads_of

    for name in _MODEL.value:
        check_model_file(name)
        check_output(name, _OUTPUT.value)
    check_source(_DATA.value)
    labels = None if _LABELS.value is None else read_labels(_LABELS.value)
    # There is no use for a GPU, and TensorFlow's search for one prints errors.
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    from tflite.evaluate.evaluation import evaluate
    from tflite.evaluate.report import to_dict, to_json
    from tflite.evaluate.tables import accuracy_table, class_table, comparison_table

    workers = _WORKERS.value or max(1, describe_machine()["usable_cpus"] // _THREADS.value)
    import_own_modules()
    models = open_models(_MODEL.value, overrides, _THREADS.value, _OUTPUT.value, labels)
    source = open_source(_DATA.value, "test")
    source = source.sample(_SAMPLES.value or len(source), _SEED.value)
    wrong = check_threads_of(models, source)
    evaluation = evaluate(source, models, workers, _LABEL_MATCH.value, _SKIP_UNREADABLE.value)

    _warn(evaluation)
    print(f"\n{accuracy_table(evaluation)}")
    if len(models) > 1:
        print(f"\n{comparison_table(evaluation)}")
    print(f"\n{class_table(evaluation)}")
    note = f"{source.name}; {_runtimes(models)}; {cpu_name()}"
    print(
        f"\n{note}\nimages/s: of one worker, in the model alone; the whole pass with {workers} "
        f"workers: {evaluation.images_per_second:,.1f} images/s"
    )
    settings = {
        "data": _DATA.value,
        "samples": _SAMPLES.value,
        "seed": _SEED.value,
        "workers": workers,
        "threads": _THREADS.value,
        "labels": _LABELS.value,
        "label_match": _LABEL_MATCH.value,
        "output": _OUTPUT.value,
        "skip_unreadable": _SKIP_UNREADABLE.value,
    }
    if picture:
        from tflite.evaluate import confusion_picture

        write_output(picture, lambda: confusion_picture.draw(evaluation, picture, note))
    if output_json:
        write_output(output_json, to_json(to_dict(evaluation, settings)) + "\n")
    if wrong:
        raise cli.CheckError(f"{'; '.join(wrong)} (tflite.audit --portable looks for the operator)")


def _warn(evaluation):
    unreadable = evaluation.answers.unreadable
    if unreadable:
        names = ", ".join(unreadable[:5]) + (", ..." if len(unreadable) > 5 else "")
        _warning(f"left out {len(unreadable)} unreadable images: {names}")
    for model, answers in zip(evaluation.models, evaluation.answers.models, strict=True):
        if answers.nan_images:
            _warning(
                f"{model.name} gives NaN for {answers.nan_images:,} images, which count as wrong"
            )
        if evaluation.images > 1 and len(np.unique(answers.predicted)) == 1:
            _warning(f"{model.name} gives the same class for every image")
        if model.other_inputs:
            _warning(
                f"{model.name} is fed noise for {', '.join(model.other_inputs)}, which photos say "
                "nothing of"
            )
        labels = model.input.labels
        if labels is None and _LABEL_MATCH.value != "index":
            _warning(
                f"{model.name} does not name its classes: output i is taken for class i "
                "(--labels names them)"
            )
        elif labels not in (None, evaluation.class_names):
            how = "not looked at" if _LABEL_MATCH.value == "index" else "matched by name"
            _warning(f"{model.name} has other classes than the data, or another order: {how}")


def _warning(text):
    print(f"warning: {text}", file=sys.stderr)


def _runtimes(models):
    forms = {model.form for model in models}
    names = [f"LiteRT {runtime_version()} with XNNPACK"] if "tflite" in forms else []
    if "keras" in forms:
        import keras

        names.append(f"Keras {keras.__version__} on {keras.backend.backend()}")
    return ", ".join(names)


if __name__ == "__main__":
    cli.run(main, input_errors=(ValueError,))
