"""The conversion job: load, convert, check, and only then leave files behind."""

import dataclasses
import json
import os
import pathlib
import resource
import tempfile
import time

import numpy as np

from care_keras.console.native_output import captured_native_output
from care_keras.console.optional import require
from care_keras.console.progress import progress
from care_keras.convert.check import (
    CheckResult,
    beyond_half_precision,
    check_file,
    is_constant,
)
from care_keras.convert.conversion import (
    check_input_kind,
    convert_model,
    deploy_form,
    int8_form,
)
from care_keras.convert.draw import DrawnExamples
from care_keras.convert.examples import in_order, input_specs, pair_names
from care_keras.convert.held_out import read_examples, read_images
from care_keras.convert.job import ConversionJob
from care_keras.convert.report import write_report
from care_keras.convert.sidecar import activation_name, describe
from care_keras.convert.task_metadata import (
    NotAClassifierError,
    what_mediapipe_refuses,
    with_task_metadata,
)
from care_keras.convert.verdict import FailedCheckError, judge
from care_keras.data.record import image_places
from care_keras.data.sidecar import sidecar_path
from care_keras.deploy.pixels import pixel_records
from care_keras.files import atomic_path, write_atomically
from care_keras.graph import functional_form, unfold
from care_keras.litert.layer_runner import LayerDifference
from care_keras.loading import load_any
from care_keras.quantization import int8_ptq, is_quantized, layer_overrides
from care_keras.quantization.quantize import describe_operations, find_precisions
from care_keras.tflite_file.integer_audit import (
    NotIntegerOnlyError,
    advise,
    audit_integer_only,
    errors_inside,
    summarize,
)
from care_keras.tflite_file.reader import read_graph
from care_keras.tflite_file.reduced_precision import allow_float16
from care_keras.tflite_file.runtime_version import oldest_runtime

# Images that a report compares layers on.
_REPORT_IMAGES = 16
# Examples whose tensors are held to half precision's range.
_RANGE_EXAMPLES = 8


@dataclasses.dataclass(frozen=True)
class ConversionResult:
    """What came of it.

    Attributes:
        checks: One row per file that was run, the written one last.
        keras_top1: Of the Keras model on the same images, or `None`.
        warnings: Lines for the user.
        integer_only: Whether an int8 file is, `None` for another.
        worst_layers: Of the report, the worst first; `None` without one.
        runtime: The oldest TFLite runtime that has the file's operators, or
            `None` if that is not known.
        seconds: Wall time of the whole job.
        peak_memory_bytes: Largest resident memory of the process.
        checked_on: What the files were run on, `"images"` or `"examples"`.
        float_inside: What keeps an int8 file from integers, in words; `None` if
            nothing does, but for outputs that were asked for in float.
    """

    checks: list[CheckResult]
    keras_top1: float | None
    warnings: list[str]
    integer_only: bool | None
    worst_layers: list[LayerDifference] | None
    runtime: str | None
    seconds: float
    peak_memory_bytes: int
    checked_on: str = "images"
    float_inside: str | None = None


def run_job(job: ConversionJob) -> ConversionResult:
    """Converts, checks what was written on real images, and writes the sidecar.

    A float32 file is made and checked beside any other precision, to compare
    with, and removed again.

    Raises:
        ValueError: If anything given cannot be used; no file is left then.
        FailedCheckError: If the file does not do what the model does; none is
            left either.
        OSError: If the output cannot be written.
    """
    started = time.monotonic()
    warnings: list[str] = []
    print(f"loading {job.model}", flush=True)
    model = load_any(job.model)
    _refuse_channels_first(model)
    lines: list[str] = []
    specs = input_specs(model, job.size, job.mean, job.std, lines)
    calibrated = job.precision == "int8" and not is_quantized(model)
    drawn = DrawnExamples(job, specs, calibrated)
    is_image = len(specs) == 1 and specs[0].record is not None and not drawn.given
    job = _with_input_kind(job, specs, drawn, is_image)
    preprocessing = _first_record(specs)
    # Of arrays that a model takes as they are, nothing but the model says how images become them.
    is_told = not lines or not any(spec.record and spec.name in drawn.given for spec in specs)
    warnings += lines if is_told else []
    if job.report:
        _check_report(job)
    quantization = _quantization(job, model)
    takes_pixels = is_image or job.input_kind == "rgb_uint8"
    if calibrated and not takes_pixels:
        quantization = dataclasses.replace(quantization or int8_ptq(), raw_pixels=False)
    deployed = model
    if job.converter != "tensorflow":
        deployed = deploy_form(model, preprocessing, job.precision)
        # What int8 has no form of, and a pattern that names nothing, are found before minutes of
        # work.
        if calibrated:
            deployed = int8_form(deployed, preprocessing)
        if quantization:
            find_precisions(deployed, quantization.overrides)
        if takes_pixels and len(specs) > 1 and not is_quantized(model):
            deployed.input_preprocessing = _input_records(deployed, specs)
    check_input_kind(deployed, job.precision, job.input_kind, job.converter)
    if is_image:
        calibration, held_out = read_images(job, model, preprocessing, warnings)
    else:
        calibration, held_out = read_examples(job, model, drawn, preprocessing, warnings)
    ranges = None
    if calibration is not None:
        ranges = calibration.pixels
        if not is_image:
            ranges = _tuples(calibration.values(takes_pixels), deployed)

    def convert_and_check(precision, input_kind, path, finish=None):
        print(f"converting to {precision}", flush=True)
        with captured_native_output():
            converted = convert_model(
                deployed,
                preprocessing,
                precision,
                input_kind,
                job.batch,
                None if ranges is None else progress(ranges, "calibrating, image"),
                quantization,
                job.converter,
                job.output_type if precision == "int8" else None,
                job.target if precision == "int8" else None,
            )
            content = finish(converted) if finish else converted.content
            path.write_bytes(content)
            check = check_file(
                precision,
                path,
                input_kind,
                held_out.examples.prepared_by(converted.preprocessing),
                held_out.labels,
                held_out.reference,
            )
        return check, converted

    def with_metadata(converted):
        content = converted.content
        if job.reduced_precision:
            content = allow_float16(content)
        record = converted.preprocessing if is_told else None
        return _with_metadata(job, content, record, held_out, model, warnings)

    checks = []
    if job.precision != "float32" and not is_quantized(model):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "float32.tflite"
            checks.append(convert_and_check("float32", "float", path)[0])
    with atomic_path(job.output) as written:
        check, converted = convert_and_check(job.precision, job.input_kind, written, with_metadata)
        checks.append(check)
        graph = read_graph(written)
        half = _half_precision(job, written, graph, converted, held_out)
        integer_only = float_inside = None
        if job.precision == "int8":
            integer_only, float_inside = _audit(graph, job, warnings)
        worst_layers = _report(job, converted, graph, held_out) if job.report else None
        result = ConversionResult(
            checks=checks,
            keras_top1=held_out.keras_top1,
            warnings=warnings,
            integer_only=integer_only,
            worst_layers=worst_layers,
            runtime=oldest_runtime(graph).version,
            seconds=time.monotonic() - started,
            peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            checked_on="images" if is_image else "examples",
            float_inside=float_inside,
        )
        judgement = judge(
            check,
            is_constant(held_out.reference),
            _advice(job, model, specs),
            job.min_agreement,
            held_out.alike,
        )
        warnings += judgement.warnings
        failures = [*judgement.failures, *half]
        if failures:
            raise FailedCheckError(f"{'; '.join(failures)}: no file is left", result)
        sidecar = describe(
            written,
            job.output.name,
            job.input_kind,
            job.precision,
            converted.preprocessing if is_told else None,
            held_out.class_names,
            activation_name(model),
            held_out.examples,
            preprocessing if is_told else None,
        )
        sidecar |= _figures(job, calibration, held_out, result)
        write_atomically(sidecar_path(job.output), json.dumps(sidecar, indent=2) + "\n")
    return result


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


def _advice(job, model, specs):
    """What to do about a file that has lost too much, by how it was made."""
    if job.precision != "int8" or is_quantized(model):
        command = f"python -m tflite.compare --keras={job.model} --model={job.output}"
        return f"{command} names the layers that part"
    source = "DIR with images" if all(spec.record for spec in specs) else "FILE.npz with examples"
    better = f"--calibration={source} like the app's may give better ranges"
    return f"{better}, --report=DIR names the layers that lose most"


def _with_metadata(job, content, preprocessing, held_out, model, warnings):
    """The file with metadata and labels, unless it is no classifier or they are not wanted."""
    if job.metadata is False:
        return content
    try:
        described = with_task_metadata(
            content, job.model, preprocessing, held_out.class_names, activation_name(model)
        )
    except NotAClassifierError as error:
        if job.metadata is None:
            return content
        raise ValueError(
            f"Metadata are for a classifier of images: {error}. Received: model={job.model!r}"
        ) from error
    if job.metadata and (refused := what_mediapipe_refuses(content, preprocessing)):
        warnings.append(refused)
    return described


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


def _report(job, converted, graph, held_out):
    form = converted.quantized_form
    examples = held_out.examples.prepared_by(converted.preprocessing).part(0, _REPORT_IMAGES)
    print(f"comparing layers on {len(examples)} examples", flush=True)
    # Of several inputs the form of raw pixels says which of them are.
    is_of_pixels = len(form.inputs) > 1 and bool(pixel_records(form))
    names = ["images"] if len(form.inputs) == 1 else [tensor.name for tensor in form.inputs]
    arrays = in_order(names, examples.values(is_of_pixels))
    record = form.preprocessing
    return write_report(
        job.report,
        job.output.name,
        form,
        audit_integer_only(graph),
        dict(zip(names, arrays, strict=True)),
        (record.height, record.width) if record else (None, None),
    )


def _audit(graph, job, warnings):
    """Whether an int8 file is integer-only, and what but outputs asked for keeps it from that."""
    findings = audit_integer_only(graph)
    warnings += advise([one for one in findings if one.severity == "warning"])
    errors = [one for one in findings if one.severity == "error"]
    inside = errors_inside(graph, errors) if job.output_type == "float" else errors
    if inside and not job.allow_float_fallback:
        raise NotIntegerOnlyError(
            f"The int8 file would not be integer-only: {summarize(inside)}. "
            f"--allow_float_fallback accepts it. Received: model={job.model!r}",
            findings,
        )
    if inside:
        warnings.append(f"the file is not integer-only: {summarize(inside)}")
    return not errors, summarize(inside) if inside else None


def _half_precision(job, path, graph, converted, held_out):
    """What speaks against allowing half precision, as it was asked for."""
    if not job.reduced_precision:
        return []
    examples = held_out.examples.prepared_by(converted.preprocessing)
    few = examples.taken(np.arange(min(len(examples), _RANGE_EXAMPLES)))
    beyond = beyond_half_precision(path, job.input_kind, few)
    if not beyond:
        return []
    largest = max(beyond, key=beyond.get)
    return [
        f"half precision does not hold {len(beyond)} of the file's tensors, "
        f"{graph.tensors[largest].name} of {beyond[largest]:.3g} the largest, so that "
        "--reduced_precision must be left out"
    ]


def _figures(job, calibration, held_out, result):
    """The part of the sidecar that says where ranges and figures come from."""
    return {
        "model": os.path.basename(job.model),
        "calibration": None
        if calibration is None
        else {
            "source": calibration.name,
            "images": len(calibration),
            "seed": job.seed,
        },
        "check": {
            "source": held_out.examples.name,
            "images": len(held_out.examples),
            "keras_top1": result.keras_top1,
            "files": [check.to_dict() for check in result.checks],
        },
        "warnings": result.warnings,
        "integer_only": result.integer_only,
        "oldest_tflite_runtime": result.runtime,
        "conversion_seconds": round(result.seconds, 1),
        "peak_memory_bytes": result.peak_memory_bytes,
    }
