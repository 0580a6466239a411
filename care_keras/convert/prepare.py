"""What a conversion job works on, read and found fit before minutes of work."""

import dataclasses

import keras
import numpy as np

from care_keras.console.optional import require
from care_keras.console.progress import say
from care_keras.convert.conversion import (
    check_input_kind,
    deploy_form,
    int8_form,
    needs_tensorflow,
)
from care_keras.convert.draw import DrawnExamples
from care_keras.convert.examples import (
    Examples,
    InputSpec,
    in_order,
    input_specs,
    pair_names,
)
from care_keras.convert.held_out import HeldOut, read_examples, read_images
from care_keras.convert.in_child import require_tensorflow
from care_keras.convert.job import ConversionJob
from care_keras.convert.task_metadata import NotAClassifierError, require_labels
from care_keras.data.record import Preprocessing, image_places
from care_keras.graph import functional_form, unfold
from care_keras.loading import load_any
from care_keras.models.tasks import task_of
from care_keras.quantization import (
    QuantizationConfig,
    int8_ptq,
    is_quantized,
    layer_overrides,
)
from care_keras.quantization.quantize import describe_operations, find_precisions


@dataclasses.dataclass(frozen=True, eq=False)
class PreparedJob:
    """A job with all that it works on.

    Attributes:
        job: The job, the kind of its input chosen.
        model: The Keras model.
        specs: Its inputs.
        deployed: What files are written from: the deploy form, or the model.
        preprocessing: How images become the input that tools feed photos to, or
            `None`.
        quantization: How int8 is made, or `None` for the recipe.
        calibration: What sets int8 ranges, or `None`.
        ranges: The same as `convert_model` takes it.
        held_out: What the files are checked on.
        is_image: Whether the model takes one image, and nothing else.
        is_told: Whether the model, and not the command's default, says how images
            become its input.
        warnings: Lines for the user.
    """

    job: ConversionJob
    model: keras.Model
    specs: list[InputSpec]
    deployed: keras.Model
    preprocessing: Preprocessing | None
    quantization: QuantizationConfig | None
    calibration: Examples | None
    ranges: np.ndarray | list[tuple[np.ndarray, ...]] | None
    held_out: HeldOut
    is_image: bool
    is_told: bool
    warnings: list[str]


def prepare(job: ConversionJob) -> PreparedJob:
    """Loads the model, makes its deploy form, and reads images or examples.

    Raises:
        ValueError: If anything given cannot be used.
        MissingDependencyError: If TensorFlow is needed and not installed.
    """
    if job.converter == "tensorflow" or job.precision == "dynamic":
        require_tensorflow()
    say(f"loading {job.model}")
    model = load_any(job.model)
    _refuse_channels_first(model)
    lines: list[str] = []
    specs = input_specs(model, job.overrides, lines)
    calibrated = job.precision == "int8" and not is_quantized(model)
    drawn = DrawnExamples(job, specs, calibrated)
    is_image = len(specs) == 1 and specs[0].record is not None and not drawn.given
    job = _with_input_kind(job, specs, drawn, is_image)
    if job.precision == "int8" and job.output_type is None and _is_detector(model):
        # As MediaPipe takes a detector's; it takes a segmenter's in int8.
        job = dataclasses.replace(job, output_type="uint8")
    preprocessing = _first_record(specs)
    # Of arrays that a model takes as they are, nothing but the model says how images become them.
    is_told = not lines or not any(spec.record and spec.name in drawn.given for spec in specs)
    warnings = lines if is_told else []
    if job.report:
        _check_report(job)
    quantization = _quantization(job, model)
    takes_pixels = is_image or job.input_kind == "rgb_uint8"
    if calibrated and not takes_pixels:
        quantization = dataclasses.replace(quantization or int8_ptq(), raw_pixels=False)
    deployed = model
    if job.converter != "tensorflow":
        deployed = deploy_form(model, preprocessing, job.precision, job.core)
        # What int8 has no form of, and a pattern that names nothing.
        if calibrated:
            deployed = int8_form(deployed, preprocessing)
        if quantization:
            find_precisions(deployed, quantization.overrides)
        if takes_pixels and len(specs) > 1 and not is_quantized(model):
            deployed.input_preprocessing = _input_records(deployed, specs)
    check_input_kind(deployed, job.precision, job.input_kind, job.converter)
    if needs_tensorflow(deployed, job.precision, job.converter):
        require_tensorflow(deployed)
    if is_image:
        calibration, held_out = read_images(job, model, preprocessing, warnings)
    else:
        calibration, held_out = read_examples(job, model, drawn, preprocessing, warnings)
    if job.metadata:
        try:
            require_labels(held_out.class_names)
        except NotAClassifierError as error:
            raise error.of(job.model) from error
    ranges = None
    if calibration is not None:
        ranges = calibration.pixels
        if not is_image:
            ranges = _tuples(calibration.values(takes_pixels), deployed)
    return PreparedJob(
        job=job,
        model=model,
        specs=specs,
        deployed=deployed,
        preprocessing=preprocessing,
        quantization=quantization,
        calibration=calibration,
        ranges=ranges,
        held_out=held_out,
        is_image=is_image,
        is_told=is_told,
        warnings=warnings,
    )


def _is_detector(model):
    return (task_of(model) or {}).get("name") == "detection"


def _refuse_channels_first(model):
    """Raises ValueError for layers that TFLite has with channels last alone."""
    if functional_form(model) is None:
        return
    layers = dict.fromkeys(step.operation for step in unfold(model).steps)
    first = [
        one
        for one in layers
        if getattr(one, "data_format", None) == "channels_first"
        and (hasattr(one, "kernel_size") or hasattr(one, "pool_size"))
    ]
    if first:
        raise ValueError(
            "TFLite has channels last: build the model with data_format='channels_last'. "
            f"Received: data_format='channels_first' of {describe_operations(first)}"
        )


def _with_input_kind(job, specs, drawn, is_image):
    """The job with the kind of its input chosen."""
    pixels = job.precision == "int8" and is_image
    kind = job.input_kind or ("rgb_uint8" if pixels else "float")
    images = [spec for spec in specs if spec.record]
    if kind == "rgb_uint8" and not images:
        raise ValueError(
            "Raw pixels are for inputs of images, and the model has none: leave --input out. "
            f"Received: input={kind!r} for {', '.join(map(str, specs))}"
        )
    given = [spec for spec in images if spec.name in drawn.given]
    if kind == "rgb_uint8" and given:
        raise ValueError(
            "Arrays of a file are what the model takes, and no pixels: leave --input out, or the "
            f"arrays of images, for which photos are read then. Received: input={kind!r} with an "
            f"array for {', '.join(map(str, given))}"
        )
    return dataclasses.replace(job, input_kind=kind)


def _input_records(deployed, specs):
    """The records of several inputs by the names that the deploy form has for them."""
    names = pair_names([spec.name for spec in specs], [one.name for one in deployed.inputs])
    return {names[spec.name]: spec.record for spec in specs if spec.record}


def _first_record(specs):
    """How images of the input become it that tools feed photos to, or `None`."""
    places = image_places([(None, *spec.shape) for spec in specs])
    return specs[places[0]].record if places else None


def _tuples(values, model):
    """What `convert_model` calibrates a model of several inputs with."""
    arrays = in_order([tensor.name for tensor in model.inputs], values)
    return list(zip(*arrays, strict=True))


def _check_report(job):
    """Finds what stands in the way of a report before minutes of work, not after."""
    if job.precision != "int8" or job.converter == "tensorflow":
        raise ValueError(
            "A report compares the layers of care_keras' own int8 with float32. "
            f"Received: precision={job.precision!r}, converter={job.converter!r}"
        )
    require("matplotlib", "report")
    job.report.mkdir(parents=True, exist_ok=True)


def _quantization(job, model):
    """How the model is quantized, found wrong before minutes of work, not after."""
    overrides = layer_overrides(job.float_layers, job.int16_layers)
    if not overrides and not job.per_tensor_weights:
        return None
    if job.precision != "int8" or job.converter == "tensorflow" or is_quantized(model):
        raise ValueError(
            "--float_layers, --int16_layers and --per_tensor_weights are for a float model on its "
            "way to care_keras' own int8. "
            f"Received: model={job.model!r}, precision={job.precision!r}"
        )
    if job.float_layers and not job.allow_float_fallback:
        raise ValueError(
            "With --float_layers the file is not integer-only: --allow_float_fallback accepts "
            f"that. Received: {job.float_layers[0]!r}"
        )
    return int8_ptq(overrides=overrides, per_tensor_weights=job.per_tensor_weights)
