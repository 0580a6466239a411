"""What is in a .tflite file and what it needs: `python -m tflite.audit --model=M.tflite`.

Operators with their multiply-accumulates and bytes, tensor types, memory, the
oldest runtime, what XNNPACK runs, and warnings with what to do about each.
Of a file that computes in floats it also says whether half precision, which
phones' GPU delegates compute in by default, holds its numbers: it runs it on a
few images. Several `--model` are also set side by side. `--int8` checks that the
files compute in integers only, `--fp16` that half precision holds all of them,
`--portable` that no operator is known to give other numbers on another runtime
or with more threads, `--gpu` that LiteRT's GPU accelerator runs all of them and
gives the CPU's numbers: exit code 1 if one does not. `--ethos_u` compiles them for
Arm's Ethos-U NPUs with Arm's Vela (needs the extra `vela`), and checks that the
NPU runs nearly all of them.
"""

import dataclasses
import json
import os
import pathlib

from absl import flags

from care_keras.console import cli
from care_keras.console.flag_values import parse_shapes
from care_keras.console.outputs import write_output
from care_keras.data.image_flags import input_overrides
from care_keras.files import check_readable
from tflite.inputs.json_output import json_output

_MODEL = flags.DEFINE_multi_string(
    "model", None, "A .tflite file; give it several times to compare.", required=True
)
_INT8 = flags.DEFINE_bool("int8", False, "Check that the files compute in integers only.")
_FP16 = flags.DEFINE_bool(
    "fp16", False, "Check that half precision holds all numbers of the files, which are float."
)
_PORTABLE = flags.DEFINE_bool(
    "portable",
    False,
    "Check that the files hold no operator that another runtime, or ARM64 with several threads, is "
    "known to compute otherwise.",
)
_GPU = flags.DEFINE_bool("gpu", False, "Run the files on LiteRT's GPU accelerator, and check them.")
_GPU_PRECISION = flags.DEFINE_enum(
    "gpu_precision",
    "float16",
    ["float16", "float32"],
    "What the GPU may compute in. float16: half precision where it can, as apps get it that do "
    "not ask.",
)
_ALLOW_PARTIAL = flags.DEFINE_bool(
    "allow_partial", False, "With --gpu, accept that operators are left to the CPU."
)
_GPU_TIMEOUT_SECONDS = flags.DEFINE_integer(
    "gpu_timeout_seconds", 600, "Time for each file on the GPU.", lower_bound=1
)
_ETHOS_U = flags.DEFINE_list(
    "ethos_u",
    None,
    "Ethos-U NPUs to compile the files for with Arm's Vela, as ethos-u65-256,ethos-u85-256: what "
    "runs on the NPU, and Vela's estimate of its cycles. Exit code 1 if on one of them less than "
    "--ethos_u_min_share runs, or if Vela fails.",
)
_ETHOS_U_MIN_SHARE = flags.DEFINE_float(
    "ethos_u_min_share",
    0.95,
    "Share of a file's operators, and of its MACs, that --ethos_u must find on the NPU.",
    lower_bound=0.0,
    upper_bound=1.0,
)
_ETHOS_U_TIMEOUT_SECONDS = flags.DEFINE_float(
    "ethos_u_timeout_seconds", 600, "Time for each file and NPU.", lower_bound=0.1
)
_DATA = flags.DEFINE_string(
    "data",
    "bundled",
    "Images to run float files on, and to compare GPU and CPU: DIR, tfds:NAME[:SPLIT] or bundled.",
)
_SAMPLES = flags.DEFINE_integer("samples", 8, "How many inferences on them.", lower_bound=1)
_INPUT_SHAPE = flags.DEFINE_multi_string(
    "input_shape",
    [],
    "Shape of an input that the files leave open: 1x224x224x3 or NAME=SHAPE (default: the batch "
    "that the file was written with; of images the size that the JSON beside it says).",
)
_OPERATORS = flags.DEFINE_bool("operators", False, "List every operator.")
_TENSORS = flags.DEFINE_bool("tensors", False, "List every tensor with its quantization.")
_OUTPUT_JSON = flags.DEFINE_string("output_json", None, "A file to write all of it to, as JSON.")


def main() -> None:
    """The command."""
    # TensorFlow's search for a GPU of its own prints errors.
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    output_json = json_output(_OUTPUT_JSON.value, _MODEL.value)
    overrides, shapes = input_overrides(), parse_shapes(_INPUT_SHAPE.value)
    for path in _MODEL.value:
        check_readable(path)
    if _ETHOS_U.value is not None:
        from tflite.audit.ethos_u.vela import check_accelerators

        check_accelerators(_ETHOS_U.value)
    from care_keras.tflite_file import read_graph
    from tflite.audit.inputs import image_shapes
    from tflite.audit.report import audit_file, to_dict
    from tflite.audit.text import format_audit, format_summary
    from tflite.audit.warnings import PER_CHANNEL

    if _ETHOS_U.value is not None:
        from tflite.audit.ethos_u.check import check_compilable

        # Before minutes of work on the other files.
        for path in _MODEL.value:
            check_compilable(read_graph(path))
    audits = []
    for path in _MODEL.value:
        images = image_shapes(path, read_graph(path), overrides)
        audits.append(_with_range(audit_file(path, shapes, images), overrides))
    if _GPU.value:
        audits = [_with_gpu(audit, overrides) for audit in audits]
    if _ETHOS_U.value is not None:
        audits = [_with_ethos_u(audit) for audit in audits]
    for audit in audits:
        print(f"{format_audit(audit, _INT8.value, _OPERATORS.value, _TENSORS.value)}\n")
    if len(audits) > 1:
        print(f"{format_summary(audits)}\n")
    if _PORTABLE.value:
        for audit in audits:
            for note in PER_CHANNEL.findings(audit.graph):
                print(
                    f"note: {pathlib.Path(audit.path).name}: {note.message}; {PER_CHANNEL.reason}"
                )
    if output_json:
        content = json.dumps([to_dict(audit) for audit in audits], indent=1)
        write_output(output_json, content + "\n")
    failed = [reason for audit in audits for reason in _failures(audit)]
    if failed:
        raise cli.CheckError("; ".join(failed))


def _inputs(path, graph, overrides):
    from tflite.audit.inputs import choose_inputs

    return choose_inputs(path, graph, _DATA.value, _SAMPLES.value, overrides)


def _with_range(audit, overrides):
    from care_keras.tflite_file.reduced_precision import computes_in_floats
    from tflite.audit.half_precision.check import check_range

    if not computes_in_floats(audit.graph):
        return audit
    try:
        inputs = _inputs(audit.path, audit.graph, overrides)
    except ValueError as error:
        # Only who has asked for it has made a mistake.
        if _FP16.value or flags.FLAGS["data"].present:
            raise
        inputs = error
    found = check_range(audit.path, audit.graph, inputs)
    return dataclasses.replace(audit, half_precision=found)


def _with_gpu(audit, overrides):
    from care_keras.tflite_file import read_graph
    from tflite.audit.gpu.check import audit_gpu

    # The accelerator takes the file's own sizes.
    graph = read_graph(audit.path)
    inputs = _inputs(audit.path, graph, overrides)
    gpu = audit_gpu(audit.path, graph, inputs, _GPU_PRECISION.value, _GPU_TIMEOUT_SECONDS.value)
    return dataclasses.replace(audit, gpu=gpu)


def _with_ethos_u(audit):
    from tflite.audit.ethos_u.check import audit_ethos_u

    macs = [cost.macs for cost in audit.costs]
    found = audit_ethos_u(
        audit.path, audit.graph, macs, _ETHOS_U.value, _ETHOS_U_TIMEOUT_SECONDS.value
    )
    return dataclasses.replace(audit, ethos_u=found)


def _failures(audit):
    from care_keras.tflite_file.integer_audit import summarize, summarize_errors
    from tflite.audit.ethos_u.text import ethos_u_failures
    from tflite.audit.gpu.text import gpu_failure
    from tflite.audit.half_precision.text import range_failure
    from tflite.audit.warnings import PORTABILITY_RULES

    name = pathlib.Path(audit.path).name
    if _INT8.value and not audit.integer_only:
        yield f"{name} is not integer-only: {summarize_errors(audit.integer_findings)}"
    if _FP16.value and (reason := range_failure(audit.half_precision)):
        yield f"half precision does not hold {name}: {reason}"
    if _PORTABLE.value:
        found = [finding for finding in audit.warnings if finding.rule in PORTABILITY_RULES]
        if found:
            yield f"{name} is not portable: {summarize(found)}"
    if audit.gpu is not None and not audit.gpu.passed(_ALLOW_PARTIAL.value):
        yield f"{name} on the GPU: {gpu_failure(audit.gpu, _ALLOW_PARTIAL.value)}"
    for reason in ethos_u_failures(audit.ethos_u, _ETHOS_U_MIN_SHARE.value):
        yield f"{name} on {reason}"


if __name__ == "__main__":
    cli.run(main, input_errors=(ValueError,))
