"""Converts a Keras model to TFLite: `python -m care_keras.convert --int8`.

With no other flag: the bundled CIFAR-10 model, calibrated on bundled images,
to `care_nano_cifar10_int8.tflite`. The file is opened again, run on held-out
real images and compared with the Keras model; a JSON beside it says how to
feed it. Exit code 1, and no file, if it does not do what the model does.
"""

import dataclasses
import gc
import os
import pathlib
import sys

from absl import flags

from care_keras.console import cli
from care_keras.console.import_flag import import_own_modules
from care_keras.console.outputs import output_file
from care_keras.console.table import format_table
from care_keras.convert.backend import restart_under_tensorflow
from care_keras.convert.job import (
    CORES,
    OUTPUT_TYPES,
    PRECISIONS_WITH,
    TARGETS,
    ConversionJob,
    is_array_file,
)
from care_keras.data.image_flags import input_overrides
from care_keras.data.sources import check_source
from care_keras.files import check_readable
from care_keras.models.presets import check_name_or_path

_MODEL = flags.DEFINE_string(
    "model", "care_nano_cifar10", "A .keras file, a float .tflite, or a bundled model's name."
)
_PRECISION = flags.DEFINE_enum(
    "precision", "float32", ["float32", "float16", "dynamic", "int8"], "Precision of the file."
)
_INT8 = flags.DEFINE_bool("int8", False, "Short for --precision=int8.")
_CALIBRATION = flags.DEFINE_string(
    "calibration",
    "bundled",
    "Images that set int8 ranges: DIR, tfds:NAME or bundled; or FILE.npz with an array (examples, "
    "...) for each input, by its name, as the model takes it: for inputs that are no images.",
)
# What the images of other commands are called.
flags.DEFINE_alias("data", "calibration")
_EVALUATION = flags.DEFINE_string(
    "evaluation",
    None,
    "Held-out images, or FILE.npz, for the check (default: others of --calibration).",
)
_SAMPLES = flags.DEFINE_integer(
    "samples",
    None,
    "Calibration images, at most (default: 100 of 32x32, 16 of 224x224).",
    lower_bound=1,
)
_CHECK_SAMPLES = flags.DEFINE_integer(
    "check_samples",
    None,
    "Held-out images, at most (default: 2441 of 32x32, 50 of 224x224).",
    lower_bound=1,
)
_INPUT = flags.DEFINE_enum(
    "input",
    None,
    ["float", "rgb_uint8"],
    "float: what the model takes, normalized images; rgb_uint8: raw pixels where it takes images, "
    "RGB or grey as the model has it, the preprocessing folded in (default: rgb_uint8 for int8 of "
    "one image, else float).",
)
_BATCH = flags.DEFINE_integer("batch", 1, "Images per inference.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the draws of images.")
_ALLOW_FLOAT_FALLBACK = flags.DEFINE_bool(
    "allow_float_fallback", False, "Accept an int8 file that is not integer-only."
)
_REPORT = flags.DEFINE_string(
    "report", None, "Folder for a report: the layers that int8 changes most, and the audit."
)
_FLOAT_LAYERS = flags.DEFINE_multi_string(
    "float_layers", [], "Layers, by a shell pattern of their names, that int8 leaves in float32."
)
_INT16_LAYERS = flags.DEFINE_multi_string(
    "int16_layers", [], "Likewise, layers that int8 gives 16-bit activations."
)
_PER_TENSOR_WEIGHTS = flags.DEFINE_bool(
    "per_tensor_weights",
    False,
    "One step for all channels of an int8 file's weights, for runtimes that refuse one for each; "
    "it costs accuracy.",
)
_MIN_AGREEMENT = flags.DEFINE_float(
    "min_agreement",
    0.0,
    "Share of the held-out images that the file and the Keras model must pick one class for; "
    "exit code 1 below it.",
    lower_bound=0.0,
    upper_bound=1.0,
)
_CONVERTER = flags.DEFINE_enum(
    "converter",
    "care",
    ["care", "tensorflow"],
    "tensorflow: leave all to TensorFlow's converter, post-training quantization included.",
)
_OUTPUT_TYPE = flags.DEFINE_enum(
    "output_type",
    None,
    OUTPUT_TYPES,
    "Type of an int8 file's outputs; MediaPipe and browsers take uint8 and float (default: int8).",
)
_TARGET = flags.DEFINE_enum(
    "target",
    None,
    TARGETS,
    "What a file is for: portable, any runtime; xnnpack, LiteRT on a CPU, which makes tables of an "
    "int8 file's functions and runs it in one piece (default: portable).",
)
_CORE = flags.DEFINE_enum(
    "core",
    None,
    CORES,
    "Cores that an int8 file is to be fast on: any; dotprod, those with dot products; i8mm, those "
    "that multiply int8 matrices, and CPUs with VNNI (default: any).",
)
_METADATA = flags.DEFINE_bool(
    "metadata",
    None,
    "Metadata and labels in the file, which MediaPipe Tasks reads (default: of an image classifier "
    "that names its classes).",
)
_REDUCED_PRECISION = flags.DEFINE_bool(
    "reduced_precision",
    False,
    "Allow half-precision arithmetic in the file's metadata (reduced_precision_support): XNNPACK "
    "computes in it where the CPU can, as ARMv8.2's do. Of float32 and float16 files.",
)
_OUTPUT = flags.DEFINE_string("output", None, "The .tflite file (default: MODEL_PRECISION.tflite).")


def main() -> None:
    """The command."""
    precision = "int8" if _INT8.value else _PRECISION.value
    for name, kinds in PRECISIONS_WITH.items():
        given = flags.FLAGS[name].value
        if given and (precision not in kinds or _CONVERTER.value == "tensorflow"):
            raise cli.UserError(
                f"--{name} is of care_keras' own files in {', '.join(kinds)}: take "
                + ("--int8" if len(kinds) == 1 else "one of these, without --converter=tensorflow")
            )
    if _REDUCED_PRECISION.value and precision not in ("float32", "float16"):
        raise cli.UserError(
            "--reduced_precision is for float files: take --precision=float32 or float16"
        )
    if _INT8.value and flags.FLAGS["precision"].present and _PRECISION.value != "int8":
        raise cli.UserError(f"--int8 and --precision={_PRECISION.value} contradict each other")
    stem = pathlib.Path(_MODEL.value).stem
    job = ConversionJob(
        model=_MODEL.value,
        output=output_file("output", _OUTPUT.value or f"{stem}_{precision}.tflite", (".tflite",)),
        precision=precision,
        input_kind=_INPUT.value,
        batch=_BATCH.value,
        calibration=_CALIBRATION.value,
        evaluation=_EVALUATION.value,
        samples=_SAMPLES.value,
        check_samples=_CHECK_SAMPLES.value,
        seed=_SEED.value,
        allow_float_fallback=_ALLOW_FLOAT_FALLBACK.value,
        report=pathlib.Path(_REPORT.value) if _REPORT.value else None,
        float_layers=tuple(_FLOAT_LAYERS.value),
        int16_layers=tuple(_INT16_LAYERS.value),
        per_tensor_weights=_PER_TENSOR_WEIGHTS.value,
        min_agreement=_MIN_AGREEMENT.value,
        output_type=_OUTPUT_TYPE.value,
        target=_TARGET.value,
        core=_CORE.value,
        metadata=_METADATA.value,
        reduced_precision=_REDUCED_PRECISION.value,
        converter=_CONVERTER.value,
        **dataclasses.asdict(input_overrides()),
    )
    check_name_or_path(_MODEL.value)
    for spec in {_CALIBRATION.value, _EVALUATION.value} - {None}:
        if is_array_file(spec):
            check_readable(spec)
        else:
            check_source(spec)
    # A converter has no use for a GPU, and TensorFlow's search for one prints errors.
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    # A tenth of the time went into looking through Keras's and TensorFlow's objects for garbage,
    # of which a conversion makes next to none.
    gc.disable()
    restart_under_tensorflow()
    import_own_modules()
    _convert(job)


def _convert(job):
    from care_keras.convert.run import run_job
    from care_keras.convert.verdict import FailedCheckError
    from care_keras.tflite_file.integer_audit import NotIntegerOnlyError

    try:
        result = run_job(job)
    except NotIntegerOnlyError as error:
        raise cli.CheckError(str(error)) from error
    except FailedCheckError as error:
        _report(job, error.result)
        raise cli.CheckError(str(error)) from error
    except OSError as error:
        path = error.filename or job.output
        raise cli.UserError(f"cannot write {path}: {error.strerror or error}") from error
    _report(job, result)
    print(f"wrote {job.output} and {job.output.with_suffix('.json').name}")


def _report(job, result):
    for warning in result.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    rows = [["keras", None, _percent(result.keras_top1), None, None]]
    rows += [
        [
            check.name,
            f"{check.size_bytes / 1e6:.2f} MB",
            _percent(check.top1),
            _percent(check.agreement),
            None if check.snr_db is None else f"{check.snr_db:.1f} dB",
        ]
        for check in result.checks
    ]
    print()
    print(format_table(["model", "file size", "top-1", "agrees with keras", "output SNR"], rows))
    print()
    print(
        f"checked on {result.checks[-1].images} held-out {result.checked_on}; "
        f"{result.seconds:.1f} s, peak memory {result.peak_memory_bytes / 1e9:.2f} GB"
    )
    if result.integer_only is not None:
        kind = "integer-only"
        if result.float_inside is not None:
            kind = f"not integer-only: {result.float_inside}"
        elif not result.integer_only:
            kind = "integer-only but for its outputs, which are float"
        print(f"{kind}; runs on TFLite {result.runtime or '(unknown)'} and newer")
        if job.target == "xnnpack":
            print("made for LiteRT on a CPU: another runtime, an NPU's for one, may get it wrong")
    if result.worst_layers is not None:
        from care_keras.convert.report import FILES, worst_table

        print(f"\n{worst_table(result.worst_layers)}\n")
        print(f"wrote {', '.join(FILES)} to {job.report}")


def _percent(share):
    return None if share is None else f"{share:.2%}"


if __name__ == "__main__":
    cli.run(main, input_errors=(ValueError,))
