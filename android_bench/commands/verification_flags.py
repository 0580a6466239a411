"""The flags of `run` that say what is checked about outputs."""

import os
from typing import TYPE_CHECKING

from absl import flags

from android_bench.run.plan import Model
from care_keras.console import cli
from care_keras.data.image_flags import input_overrides
from tflite.evaluate.classes import MATCHES

if TYPE_CHECKING:
    from android_bench.run.verify import Verification

_VERIFY = flags.DEFINE_bool(
    "verify", False, "Compare outputs on real images with those of LiteRT on this machine."
)
_DATA = flags.DEFINE_string(
    "data", "bundled", "Images for that: DIR, tfds:NAME[:SPLIT] or bundled."
)
_COUNT = flags.DEFINE_integer("samples", 8, "Images to compare.", lower_bound=1)
_TOP1 = flags.DEFINE_integer(
    "top1_images", 0, "Labelled images to count correct answers on, on the phone.", lower_bound=0
)
_TOP1_OUTPUT = flags.DEFINE_string(
    "top1_output", None, "Name of the output with the classes, of models that have several."
)
_LABEL_MATCH = flags.DEFINE_enum(
    "label_match",
    "exact",
    MATCHES,
    "How a model's classes become those of --top1_images, as for tflite.evaluate.",
)
_CODES = flags.DEFINE_integer(
    "max_codes", 1, "Largest difference of an integer output that passes.", lower_bound=0
)
# What these were called before they had the names that other commands give them.
flags.DEFINE_alias("images", "data")
flags.DEFINE_alias("verify_images", "samples")
flags.DEFINE_alias("verify_codes", "max_codes")


def verification(models: list[Model]) -> "Verification | None":
    """What the flags ask for.

    Raises:
        ValueError: If there are no such images, or nothing says how they are
            prepared for a model.
        cli.UserError: If something is said of a check that is not asked for.
    """
    if not _VERIFY.value:
        about = (_DATA, _COUNT, _TOP1, _TOP1_OUTPUT, _LABEL_MATCH, _CODES)
        said = [f"--{flag.name}" for flag in about if flag.value != flag.default]
        if said:
            raise cli.UserError(f"{', '.join(said)}: of no use without --verify")
        return None
    from android_bench.run.verify import Verification
    from care_keras.convert.images import read_pixels
    from care_keras.data.sources import open_source
    from tflite.inputs.model_inputs import check_values_used, tflite_input

    overrides = input_overrides()
    inputs = {model.sha256: tflite_input(model.path, overrides) for model in models}
    check_values_used(list(inputs.values()), overrides)
    source = open_source(_DATA.value, "test")
    if _TOP1.value and source.labels is None:
        raise ValueError(f"The images have no labels for --top1_images. Received: {source.name}")
    classes = {
        model.sha256: _classes(model, inputs[model.sha256].labels, source.class_names)
        for model in models
        if _TOP1.value
    }
    source = source.sample(max(_COUNT.value, _TOP1.value))
    pixels = {}
    labels = source.labels
    for digest, model_input in inputs.items():
        pixels[digest], labels = read_pixels(
            source, model_input.preprocessing, f"reading {source.name}"
        )
    return Verification(
        inputs=inputs,
        pixels=pixels,
        labels=labels if _TOP1.value else None,
        classes=classes,
        label_match=_LABEL_MATCH.value,
        compared=_COUNT.value,
        max_codes=_CODES.value,
        source=f"{len(source)} of {source.name}",
        top1_output=_TOP1_OUTPUT.value,
    )


def _classes(model, labels, names):
    """The data's class for each class of a model; see `match_classes`."""
    from care_keras.litert.tensor import outputs_of
    from care_keras.tflite_file import read_graph
    from tflite.evaluate.classes import match_classes, output_classes
    from tflite.inputs.chosen_output import chosen_output

    outputs = outputs_of(read_graph(model.path))
    output = outputs[chosen_output(outputs, _TOP1_OUTPUT.value, model.path, "--top1_output")]
    batch = output.shape[0] if output.shape else None
    count = output_classes(output.shape, batch, model.path, output.is_classes)
    count = count or len(labels or names)
    if labels is None and count != len(names):
        raise ValueError(
            "The model's classes have no names, in a JSON beside it for one, and are not the "
            f"data's by their number. Received: {count} outputs of {model.path} for {len(names)} "
            "classes"
        )
    return match_classes(os.fspath(model.path), count, labels, names, _LABEL_MATCH.value)
