"""Holds a .tflite file against the Keras model, on images neither was fitted to."""

import dataclasses
import os

import keras
import numpy as np

from care_keras.console.progress import progress
from care_keras.convert.examples import Examples, pair_names
from care_keras.files import first_line
from care_keras.graph import functional_form, input_structure
from care_keras.litert.file import LiteRTFile, whole_batches
from care_keras.litert.ranges import beyond_float16, largest_floats
from care_keras.metrics import finite_or_none, is_classes, snr_db, top1_agreement, top_k

# Pixels of one batch of the Keras model: 2 images of 224x224. Every intermediate tensor stays in
# memory until the batch is done.
_BATCH_PIXELS = 2 * 224 * 224
# Of the largest output: what float32 loses on the way through a network.
_ROUNDING = 1e-5


@dataclasses.dataclass(frozen=True)
class CheckResult:
    """How one file does on held-out images.

    Attributes:
        name: What was run: `"keras"`, `"float32"`, `"int8"`.
        size_bytes: Size of the file.
        images: Images it was run on.
        top1: Share of labels it got right, or `None` without labels.
        agreement: Share of images where it picks the Keras model's class; of
            maps, of pixels; of integers, which are classes, of equal ones;
            `None` where nothing scores or gives classes.
        snr_db: Of its outputs against the Keras model's, in dB; of several the
            lowest; `None` where all are integers.
        constant: Whether it gives one and the same output for all images.
        output_snr_db: Of several outputs, that of each by its name, but of integers.
        chance: The agreement of picks that have nothing to do with the Keras
            model's; `None` where there is nothing to pick.
        undecided: Whether the Keras model's two best classes are mostly less
            than one code of the file apart.
    """

    name: str
    size_bytes: int
    images: int
    top1: float | None
    agreement: float | None
    snr_db: float | None
    constant: bool = False
    output_snr_db: dict[str, float] = dataclasses.field(default_factory=dict)
    chance: float | None = None
    undecided: bool = False

    def to_dict(self) -> dict:
        """As plain JSON types; an infinite ratio, which JSON lacks, as `None`."""
        result = dataclasses.asdict(self)
        result["snr_db"] = None if self.snr_db is None else finite_or_none(self.snr_db)
        ratios = {name: finite_or_none(value) for name, value in self.output_snr_db.items()}
        result["output_snr_db"] = ratios
        return result


# What a model gives for images, by the names of the file's signature.
Outputs = dict[str, np.ndarray]


def keras_outputs(model: keras.Model, examples: Examples) -> Outputs:
    """What the Keras model returns for examples of its inputs, the first axis examples.

    It is float32, and int32 where that are classes.

    Raises:
        ValueError: If it does not run, or gives what is no number.
    """
    # Few large batches: eager operations on small ones cost more to start than to run.
    batch = max(1, _BATCH_PIXELS // max(1, examples.example_pixels))
    parts = []
    starts = range(0, len(examples), batch)
    for start in progress(starts, "running the Keras model, batch"):
        values = examples.part(start, start + batch).values()
        # Not `predict`: tracing a graph takes longer than these few batches do.
        parts.append(output_dict(model, _called(model, values)))
    outputs = {
        name: np.concatenate([keras.ops.convert_to_numpy(part[name]) for part in parts])
        for name in parts[0]
    }
    broken = [name for name, values in outputs.items() if np.isnan(values).any()]
    if broken:
        raise ValueError(
            "The Keras model gives NaN for examples of its inputs: its weights, or how its inputs "
            f"are prepared, are wrong. Received: {model.name!r}, output {', '.join(broken)}"
        )
    return {
        name: values.astype(np.int32 if is_classes(values) else np.float32)
        for name, values in outputs.items()
    }


def _called(model, values):
    inputs = list(values.values())
    is_known = functional_form(model) is not None
    if is_known and keras.tree.is_nested(input_structure(model)):
        inputs = keras.tree.pack_sequence_as(input_structure(model), inputs)
    elif len(inputs) == 1:
        (inputs,) = inputs
    try:
        return model(inputs, training=False)
    # Backends raise types of their own; what they print has many lines.
    except Exception as error:
        raise ValueError(
            "The Keras model does not run on its inputs. "
            f"Received: {model.name!r} ({first_line(error)})"
        ) from error


def output_dict(model: keras.Model, outputs) -> dict:
    """A model's outputs by their names in a file's signature."""
    if isinstance(outputs, dict):
        return dict(outputs)
    outputs = keras.tree.flatten(outputs)
    names = ["outputs"] if len(outputs) == 1 else list(model.output_names)
    return dict(zip(names, outputs, strict=True))


def classes_output(outputs: Outputs) -> str | None:
    """Name of the one output that scores classes, `(images, classes)`, or `None`."""
    names = [
        name for name, x in outputs.items() if x.ndim == 2 and x.shape[1] > 1 and not is_classes(x)
    ]
    return names[0] if len(names) == 1 else None


def picked_output(outputs: Outputs) -> str | None:
    """Name of the one output that is the class of each image, an integer, or `None`."""
    names = [name for name, x in outputs.items() if is_classes(x) and x.size == len(x)]
    return names[0] if len(names) == 1 else None


def top1(outputs: Outputs, reference: Outputs, labels: np.ndarray) -> float | None:
    """Share of labels that outputs get right, or `None` if none of them says classes.

    Args:
        outputs: Of what is asked about.
        reference: The Keras model's, whose types say which output it is.
        labels: Class indices.
    """
    scores, picked = classes_output(reference), picked_output(reference)
    if scores is not None:
        return top_k(outputs[scores], labels, 1)
    return None if picked is None else float(np.mean(outputs[picked].reshape(-1) == labels))


def check_file(
    name: str,
    path: str | os.PathLike,
    input_kind: str,
    examples: Examples,
    labels: np.ndarray | None,
    reference: Outputs,
    picks: bool = True,
) -> CheckResult:
    """Opens a .tflite file anew, runs it on held-out examples and compares.

    Args:
        name: Name of the row.
        path: The file.
        input_kind: `"float"` or `"rgb_uint8"`, what the file takes.
        examples: What it is run on.
        labels: Their class indices, or `None`.
        reference: The Keras model's outputs for them.
        picks: Whether scores along the last axis are of classes of which the largest is picked;
            a detector's are not.

    Raises:
        ValueError: If the file does not run, or gives values that are not
            finite.
    """
    file = LiteRTFile(path)
    outputs = shaped_like(file_outputs(file, name, input_kind, examples), reference)
    if not all(np.all(np.isfinite(one)) for one in outputs.values()):
        raise ValueError(f"The {name} file gives values that are not finite on real images")
    numbers = [key for key, values in reference.items() if not is_classes(values)]
    ratios = {key: snr_db(outputs[key], reference[key]) for key in numbers}
    agreement, chance, undecided = None, None, False
    if picks:
        agreement, chance, undecided = _agreement(outputs, reference, file)
    return CheckResult(
        name=name,
        size_bytes=os.path.getsize(path),
        images=len(examples),
        top1=None if labels is None else top1(outputs, reference, labels),
        agreement=agreement,
        snr_db=min(ratios.values(), default=None),
        constant=_lost_all(outputs, reference, file),
        output_snr_db=ratios if len(reference) > 1 else {},
        chance=chance,
        undecided=undecided,
    )


def shaped_like(outputs: Outputs, reference: Outputs) -> Outputs:
    """A file's outputs, named and shaped as a model's: another converter may have changed both.

    Names that differ are given by order, which every converter keeps.
    """
    if outputs.keys() != reference.keys():
        outputs = dict(zip(reference, outputs.values(), strict=True))
    return {key: outputs[key].reshape(one.shape) for key, one in reference.items()}


def file_outputs(file: LiteRTFile, name: str, input_kind: str, examples: Examples) -> Outputs:
    """What a file gives for examples of its inputs, as real numbers, by name.

    Args:
        file: The file.
        name: Its name in the line that shows progress.
        input_kind: `"float"` or `"rgb_uint8"`, what it takes.
        examples: Of its inputs.
    """
    names = pair_names(list(file.inputs), list(examples.arrays))
    batch = next(iter(file.inputs.values())).shape[0]
    parts = []
    batches = list(whole_batches(np.arange(len(examples)), batch))
    for places, images in progress(batches, f"running the {name} file, image"):
        values = examples.taken(places).values(raw_pixels=input_kind == "rgb_uint8")
        results = file.run(
            {own: info.quantize(values[names[own]]) for own, info in file.inputs.items()}
        )
        parts.append(
            {key: file.outputs[key].dequantize(codes)[:images] for key, codes in results.items()}
        )
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def beyond_half_precision(
    path: str | os.PathLike, input_kind: str, examples: Examples
) -> dict[int, float]:
    """Tensors of a float file that half precision does not hold, and how large they become.

    Args:
        path: The file.
        input_kind: `"float"` or `"rgb_uint8"`, what it takes.
        examples: What it is run on.

    Returns:
        Largest magnitudes by the tensor's index.
    """
    file = LiteRTFile(path)
    names = pair_names(list(file.inputs), list(examples.arrays))
    batch = next(iter(file.inputs.values())).shape[0]
    # Whole batches, examples in turn.
    places = np.arange(-(-len(examples) // batch) * batch) % len(examples)
    values = examples.taken(places).values(raw_pixels=input_kind == "rgb_uint8")
    samples = {
        info.index: info.quantize(values[names[own]]).reshape(-1, *info.shape)
        for own, info in file.inputs.items()
    }
    return beyond_float16(largest_floats(path, samples))


def _agreement(outputs, reference, file):
    """Of the output with the least: the share of its places, of images or pixels, with one class.

    Returns:
        It, what chance would give, and whether the reference is undecided;
        `None` where no output scores classes, or gives them.
    """
    found = []
    for (key, values), tensor in zip(reference.items(), file.outputs.values(), strict=True):
        if is_classes(values):
            share = float(np.mean(outputs[key] == values))
            found.append((share, _chance(outputs[key], values), False))
        elif values.ndim > 1 and values.shape[-1] > 1:
            share = top1_agreement(outputs[key], values)
            found.append((share, *_by_chance(outputs[key], values, tensor.scale)))
    return min(found, key=lambda one: one[0], default=(None, None, False))


def _by_chance(values, reference, step):
    best = np.partition(reference.reshape(-1, reference.shape[-1]), -2, axis=-1)
    undecided = np.median(best[:, -1] - best[:, -2]) < step
    return _chance(values.argmax(-1), reference.argmax(-1)), bool(undecided)


def _chance(first, second):
    """How often classes are equal that are drawn from two arrays of them, one from each."""
    classes = np.unique(np.concatenate([first.reshape(-1), second.reshape(-1)]))
    return float(sum(np.mean(first == one) * np.mean(second == one) for one in classes))


def _lost_all(outputs, reference, file):
    """Whether an output is the same for all images, and should not be."""
    for (key, values), tensor in zip(reference.items(), file.outputs.values(), strict=True):
        # Where most are of one class, a good file may pick that alone: the agreement says more.
        if is_classes(values):
            continue
        # Of a reference that differs by less than a code there is nothing else to give.
        differs = np.ptp(values, axis=0).max() > tensor.scale
        if differs and not _is_constant(values) and _is_constant(outputs[key]):
            return True
    return False


def is_constant(outputs: Outputs) -> bool:
    """Whether several images have one and the same outputs, not of classes alone."""
    numbers = any(not is_classes(values) for values in outputs.values())
    return numbers and all(_is_constant(values) for values in outputs.values())


def _is_constant(values):
    # Float kernels round otherwise where a batch has another size.
    bound = _ROUNDING * np.abs(values).max()
    return len(values) > 1 and bool(np.ptp(values, axis=0).max() <= bound)
