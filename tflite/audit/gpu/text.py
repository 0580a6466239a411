"""What became of a .tflite file on a GPU, as text for people."""

import math

from care_keras.console.table import format_table
from care_keras.console.wrapped import wrapped
from care_keras.litert.model import runtime_version
from tflite.audit.gpu.records import GpuAudit

_SHOWN = 3
_ACCELERATION = {
    "full": "fully accelerated",
    "partial": "partly accelerated",
    "none": "not accelerated",
    "refused": "not accelerated: the accelerator refuses the file",
    "failed": "fails to run",
    "crashed": "crashes",
    "hung": "hangs",
}


def format_gpu(audit: GpuAudit) -> str:
    """One file's section."""
    blocks = [_head(audit)]
    if audit.refused:
        headers = ["the GPU does not take", "reason"]
        blocks.append(format_table(headers, [list(row) for row in audit.refused]))
    if audit.outputs:
        blocks.append(_outputs(audit))
    blocks += [wrapped(note) for note in _notes(audit)]
    return "\n\n".join(blocks)


def gpu_cell(audit: GpuAudit | None) -> str | None:
    """The same in a word or two, for a table."""
    if audit is None:
        return None
    numbers = {True: "", False: ", wrong numbers", None: ", not compared"}[audit.right]
    ran = audit.acceleration in ("full", "partial", "none")
    return audit.acceleration + (numbers if ran else "")


def gpu_failure(audit: GpuAudit, allow_partial: bool) -> str:
    """Why it did not pass, in a few words."""
    words = []
    if audit.acceleration != "full" and not (
        allow_partial and audit.acceleration in ("partial", "none")
    ):
        words.append(_ACCELERATION[audit.acceleration])
    if audit.acceleration in ("full", "partial", "none") and audit.right is not True:
        words.append("wrong numbers" if audit.right is False else "numbers not compared")
    return " and ".join(words)


def _head(audit):
    lines = [f"GPU accelerator of LiteRT {runtime_version()}: {_ACCELERATION[audit.acceleration]}"]
    if audit.on_gpu is not None:
        lines[0] += f", {audit.on_gpu} of {audit.operators} operators"
    if audit.message:
        lines.append(wrapped(f"  {audit.message}"))
    device = audit.device
    if device is not None:
        driver = f"; driver: {device.driver}" if device.driver else ""
        lines.append(f"device      {device.name}, {device.type}, {device.backend}{driver}")
        if device.is_software:
            lines.append(
                "            software: what it covers and its numbers count, its times do not"
            )
        lines.append(f"arithmetic  {_arithmetic(audit)}")
    lines.append(wrapped(f"inputs      {audit.inputs}"))
    return "\n".join(lines)


def _arithmetic(audit):
    if audit.arithmetic == "float16":
        known = audit.device.half_precision
        return "half precision allowed" + ("" if known else ", not known whether the device has it")
    if audit.device.half_precision is False:
        return "float32: the device has no half precision"
    return "float32"


def _outputs(audit):
    rows = [
        [
            output.name,
            f"{output.max_abs:.4g}",
            f"{output.max_abs_difference:.2g}",
            "equal" if output.snr_db == math.inf else f"{output.snr_db:.1f} dB",
            None if output.top1_agreement is None else f"{output.top1_agreement:.1%}",
            "right" if output.snr_db >= audit.tolerance_db else "wrong",
        ]
        for output in audit.outputs
    ]
    headers = ["output", "largest", "max difference", "SNR", "same top-1", "against the CPU"]
    return format_table(headers, rows)


def _notes(audit):
    if audit.not_compared:
        yield f"not compared with the CPU: {audit.not_compared}"
    if audit.right is False:
        yield (
            f"wrong numbers: {audit.tolerance_db:g} dB is the least that rounding explains "
            + ("of an int8 file" if audit.quantized else f"in {audit.arithmetic} arithmetic")
        )
    if audit.acceleration == "partial":
        yield (
            "do: replace what the GPU does not take: it runs one stretch of operators, and what "
            "lies beyond a refused one is left to the CPU too"
        )
    if audit.quantized and not audit.passed(allow_partial=False):
        yield (
            "do: ship the float16 or float32 file for GPUs (care_keras.convert "
            "--precision=float16): this one computes in integers, for CPUs and NPUs"
        )
    if audit.beyond_float16:
        shown = ", ".join(f"{name} {value:.3g}" for name, value in audit.beyond_float16[:_SHOWN])
        count = len(audit.beyond_float16)
        more = f" and {count - _SHOWN} more" if count > _SHOWN else ""
        yield (
            f"half precision: {count} tensor{'s go' if count > 1 else ' goes'} beyond 65,504, the "
            f"most that it holds: {shown}{more}"
        )
        yield (
            "do: on phones, whose GPUs compute in half precision unless told otherwise, ask for "
            "float32 (GpuOptions.enforce_f32 in Python), or scale the model down"
        )
