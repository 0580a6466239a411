"""The conversion job: load, convert, check, and only then leave files behind."""

import dataclasses
import json
import os
import pathlib
import tempfile
import time

import numpy as np

from care_keras.console.launched import as_typed
from care_keras.console.native_output import captured_native_output
from care_keras.console.progress import progress, say
from care_keras.convert.check import (
    CheckResult,
    beyond_half_precision,
    check_file,
    is_constant,
)
from care_keras.convert.conversion import convert_model
from care_keras.convert.examples import in_order
from care_keras.convert.job import ConversionJob
from care_keras.convert.prepare import prepare
from care_keras.convert.report import write_report
from care_keras.convert.sidecar import activation_name, describe
from care_keras.convert.task_metadata import (
    NotAClassifierError,
    what_mediapipe_refuses,
    with_task_metadata,
)
from care_keras.convert.verdict import FailedCheckError, judge
from care_keras.data.sidecar import sidecar_path
from care_keras.deploy.pixels import pixel_records
from care_keras.emit.network import input_names
from care_keras.files import atomic_path, write_atomically
from care_keras.litert.layer_runner import LayerDifference
from care_keras.memory import peak_bytes
from care_keras.models.tasks import task_of
from care_keras.quantization import is_quantized
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
        ValueError: If anything given cannot be used; nothing is written then.
        FailedCheckError: If the file does not do what the model does; none is
            left either.
        OSError: If the output cannot be written.
    """
    started = time.monotonic()
    prepared = prepare(job)
    job, model, held_out = prepared.job, prepared.model, prepared.held_out
    warnings, checks = prepared.warnings, []
    if job.precision != "float32" and not is_quantized(model):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "float32.tflite"
            converted = _convert(prepared, "float32", "float")
            path.write_bytes(converted.content)
            checks.append(_check(prepared, "float32", "float", path, converted))
    with atomic_path(job.output) as written:
        converted = _convert(prepared, job.precision, job.input_kind)
        written.write_bytes(_with_all_metadata(prepared, converted))
        checks.append(_check(prepared, job.precision, job.input_kind, written, converted))
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
            peak_memory_bytes=peak_bytes(),
            checked_on="images" if prepared.is_image else "examples",
            float_inside=float_inside,
        )
        _judge(prepared, result, half)
        sidecar = describe(
            written,
            job.output.name,
            job.input_kind,
            job.precision,
            converted.preprocessing if prepared.is_told else None,
            held_out.class_names,
            activation_name(model),
            held_out.examples,
            prepared.preprocessing if prepared.is_told else None,
            task_of(model),
        )
        sidecar |= _figures(job, prepared.calibration, held_out, result)
        write_atomically(sidecar_path(job.output), json.dumps(sidecar, indent=2) + "\n")
    return result


def _convert(prepared, precision, input_kind):
    say(f"converting to {precision}")
    job, ranges = prepared.job, prepared.ranges
    is_int8 = precision == "int8"
    # Not of the float32 file that another is compared with.
    is_asked = precision == job.precision
    with captured_native_output():
        return convert_model(
            prepared.deployed,
            prepared.preprocessing,
            precision,
            input_kind,
            job.batch,
            None if ranges is None else progress(ranges, "calibrating, image"),
            prepared.quantization,
            job.converter,
            job.output_type if is_int8 else None,
            job.target if is_asked else None,
        )


def _check(prepared, precision, input_kind, path, converted):
    held_out = prepared.held_out
    with captured_native_output():
        return check_file(
            precision,
            path,
            input_kind,
            held_out.examples.prepared_by(converted.preprocessing),
            held_out.labels,
            held_out.reference,
            picks=(task_of(prepared.model) or {}).get("name") != "detection",
        )


def _judge(prepared, result, failures):
    """Raises FailedCheckError for a file that has lost the model, and adds warnings."""
    job, held_out = prepared.job, prepared.held_out
    judgement = judge(
        result.checks[-1],
        is_constant(held_out.reference),
        _advice(job, prepared.model, prepared.specs),
        job.min_agreement,
        held_out.alike,
    )
    result.warnings.extend(judgement.warnings)
    failures = [*judgement.failures, *failures]
    if failures:
        raise FailedCheckError(f"{'; '.join(failures)}: nothing is written", result)


def _advice(job, model, specs):
    """What to do about a file that has lost too much, by how it was made."""
    if job.precision != "int8" or is_quantized(model):
        command = f"python -m tflite.compare --keras={job.model} --model={job.output}"
        return as_typed(f"{command} names the layers that part")
    source = "DIR with images" if all(spec.record for spec in specs) else "FILE.npz with examples"
    better = f"--calibration={source} like the app's may give better ranges"
    return f"{better}, --report=DIR names the layers that lose most"


def _with_all_metadata(prepared, converted):
    """The file with the metadata that it is to have: what it allows, and what its classes are."""
    job, content = prepared.job, converted.content
    if job.reduced_precision:
        content = allow_float16(content)
    if job.metadata is False:
        return content
    preprocessing = converted.preprocessing if prepared.is_told else None
    labels, activation = prepared.held_out.class_names, activation_name(prepared.model)
    try:
        described = with_task_metadata(
            content, job.model, preprocessing, labels, activation, task_of(prepared.model)
        )
    except NotAClassifierError as error:
        if job.metadata is None:
            return content
        raise error.of(job.model) from error
    if job.metadata and (refused := what_mediapipe_refuses(content, preprocessing)):
        prepared.warnings.append(refused)
    return described


def _report(job, converted, graph, held_out):
    form = converted.quantized_form
    examples = held_out.examples.prepared_by(converted.preprocessing).part(0, _REPORT_IMAGES)
    say(f"comparing layers on {len(examples)} examples")
    # Of several inputs the form of raw pixels says which of them are.
    is_of_pixels = len(form.inputs) > 1 and bool(pixel_records(form))
    names = input_names(form)
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
