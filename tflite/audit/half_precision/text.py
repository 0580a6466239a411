"""Whether half precision holds a file, as text for people."""

from care_keras.console.launched import as_typed
from care_keras.console.wrapped import wrapped
from tflite.audit.half_precision.check import HalfPrecisionRange

# Tensors that are named; the JSON has all.
_SHOWN = 3


def format_range(found: HalfPrecisionRange) -> str:
    """The section of an audit."""
    lines = [f"half precision (float16 arithmetic): {_verdict(found)}"]
    if found.holds is False:
        shown = ", ".join(f"{name} {value:.3g}" for name, value in found.beyond[:_SHOWN])
        left = len(found.beyond) - _SHOWN
        lines.append(f"  beyond it: {shown}{f' and {left} more' if left > 0 else ''}")
        lines.append(
            "  do: ask a GPU delegate for float32, and leave reduced_precision_support out of the "
            "metadata, or scale the model down"
        )
    if found.holds:
        lines.append(
            "  its range alone was looked at: what rounding does, "
            f"{as_typed('python -m tflite.arm64')} --fp16 shows"
        )
    if found.allowed:
        lines.append(
            "  the file's metadata allow it: XNNPACK computes in it where the CPU can "
            "(LiteRT 2.1 and newer)"
        )
    return "\n".join(map(wrapped, lines))


def range_failure(found: HalfPrecisionRange | None) -> str | None:
    """Why a file does not pass, in a few words; `None` if it does."""
    if found is None:
        return "it computes in integers"
    if found.error:
        return f"not known: {found.error}"
    if not found.holds:
        name, value = found.largest
        return f"{_beyond(found)} ({name} {value:.3g})"
    return None


def _verdict(found):
    if found.error:
        return f"not known whether it holds the range: {found.error}"
    if found.largest is None:
        return "there is no float tensor"
    name, value = found.largest
    if found.holds:
        return (
            f"holds the range. The largest of {found.tensors} tensors is {name}, {value:.4g} of "
            f"65,504, on {found.inputs}"
        )
    return f"{_beyond(found)}, the most that it holds, on {found.inputs}"


def _beyond(found):
    goes = "goes" if len(found.beyond) == 1 else "go"
    return f"{len(found.beyond)} of {found.tensors} tensors {goes} beyond 65,504"
