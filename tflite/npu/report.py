"""What `tflite.npu` found, as text and as JSON."""

import dataclasses
import importlib.metadata
import math
from collections import Counter

from care_keras.console.table import format_table
from care_keras.litert.model import runtime_version
from care_keras.metrics import finite_or_none
from tflite.npu.check import Result
from tflite.npu.layers import OperatorResult

# Operators that are shown, the worst of them.
_SHOWN = 10


def format_results(results: list[Result]) -> str:
    """A row for each file and SoC, and what the compiler or the emulator refused."""
    headers = ["model", "SoC", "ops on the NPU", "partitions", "KB", "compiled KB", "images"]
    headers += ["same answers", "top-1, CPU", "top-1, NPU", "output SNR", "verdict"]
    lines = [format_table(headers, [_row(one) for one in results])]
    lines += [
        f"{one.model.name}, {one.soc}: on the CPU stay {_counted(one.compiled.left)}"
        for one in results
        if one.compiled and one.compiled.left
    ]
    lines += [f"{one.model.name}, {one.soc}: {one.failure}" for one in results if one.failure]
    return "\n".join(lines)


def format_operators(result: Result) -> str:
    """The operators that do worst by themselves."""
    headers = ["operator", "writes", "values that differ", "largest", "SNR alone", "SNR in file"]
    rows = [
        [
            f"{one.index} {one.operator}",
            one.output,
            f"{one.differing / one.values:.1%}",
            _largest(one),
            _decibels(one.alone_db),
            _decibels(one.in_file_db),
        ]
        for one in result.operators[:_SHOWN]
    ]
    return (
        f"{result.model.name}, {result.soc}: operators that are given what they have on the CPU, "
        f"the worst first\n{format_table(headers, rows)}\n{format_culprits(result)}"
    )


def format_culprits(result: Result) -> str:
    """Which operators do more than round otherwise, in a line."""
    parting = [one for one in result.operators if one.parts]
    if not parting:
        return (
            f"all {len(result.operators)} do no more than round otherwise, by a code or by what "
            "half precision loses"
        )
    named = ", ".join(
        f"{one.index} {one.operator} ({_largest(one)}: {one.output})" for one in parting[:3]
    )
    rest = f" and {len(parting) - 3} more" if len(parting) > 3 else ""
    return f"{len(parting)} of {len(result.operators)} compute something else: {named}{rest}"


def versions() -> dict[str, str]:
    """What compiles and runs: by the package's name."""
    import onnxruntime_qnn

    packages = ("ai-edge-litert", "onnxruntime", "onnxruntime-qnn")
    found = {name: importlib.metadata.version(name) for name in packages}
    qairt = getattr(onnxruntime_qnn.build_and_package_info, "qnn_version", None)
    return found if qairt is None else {**found, "QAIRT": qairt}


def format_versions() -> str:
    """The same in a line."""
    found = versions()
    return (
        f"LiteRT {runtime_version()}, compiled and emulated by QAIRT {found.get('QAIRT', '?')} of "
        f"onnxruntime-qnn {found['onnxruntime-qnn']}. An emulator says nothing of speed."
    )


def to_dict(result: Result) -> dict:
    """All of one result as plain JSON types."""
    compiled = result.compiled
    operators = None
    if result.operators is not None:
        operators = [
            {
                name: finite_or_none(value) if isinstance(value, float) else value
                for name, value in {**dataclasses.asdict(one), "parts": one.parts}.items()
            }
            for one in result.operators
        ]
    return {
        "model": str(result.model),
        "soc": result.soc,
        "bytes": result.model.stat().st_size,
        "compiled_bytes": result.compiled_bytes,
        "operators": compiled and compiled.operators,
        "operators_on_npu": compiled and compiled.taken,
        "partitions": compiled and compiled.partitions,
        "operators_on_cpu": compiled and dict(Counter(compiled.left)),
        "images": result.images,
        "agreement": result.agreement,
        "top1_cpu": result.top1 and result.top1[0],
        "top1_npu": result.top1 and result.top1[1],
        "snr_db": {name: finite_or_none(value) for name, value in result.snr_db.items()},
        "verdict": result.verdict,
        "failure": result.failure,
        "operator_results": operators,
        "versions": versions(),
    }


def _row(result):
    compiled, top1 = result.compiled, result.top1 or (None, None)
    return [
        result.model.name,
        result.soc,
        f"{compiled.taken} of {compiled.operators}" if compiled else None,
        compiled.partitions if compiled else None,
        f"{result.model.stat().st_size / 1000:.0f}",
        f"{result.compiled_bytes / 1000:.0f}" if compiled else None,
        result.images,
        _percent(result.agreement),
        *map(_percent, top1),
        _decibels(min(result.snr_db.values())) if result.snr_db else None,
        result.verdict,
    ]


def _counted(names):
    return ", ".join(f"{count} {name}" for name, count in Counter(names).most_common())


def _decibels(value):
    return None if math.isnan(value) else f"{value:.1f} dB"


def _percent(share):
    return None if share is None else f"{share:.1%}"


def _largest(one: OperatorResult) -> str:
    codes, relative = one.largest_codes, one.largest_relative
    if codes is None:
        return f"{relative:.2g}"
    return "1 code" if codes == 1 else f"{codes} codes"
