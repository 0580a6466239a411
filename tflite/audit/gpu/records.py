"""What became of a .tflite file on a GPU, and when its numbers count as right."""

import dataclasses

from care_keras.metrics import finite_or_none

# Least ratio of the CPU's outputs to what the GPU's differ by, in dB. Against XNNPACK, networks
# in float32 arithmetic were seen at 87 to 125 (MobileNetV2 of random weights the lowest), the
# same ones in half precision at 19 to 55. Int8 rounds where other kernels need not, which costs
# these networks all but 14 to 20 dB; a GPU that gave wrong classes was at 3.
_TOLERANCES_DB = {"float32": 60.0, "float16": 15.0}
_QUANTIZED_TOLERANCE_DB = 10.0


def tolerance_db(arithmetic: str, quantized: bool) -> float:
    """The least signal-to-noise ratio, against the CPU, that counts as right.

    Args:
        arithmetic: `"float32"` or `"float16"`, what the GPU computes in.
        quantized: Whether the file computes in integers.
    """
    return _QUANTIZED_TOLERANCE_DB if quantized else _TOLERANCES_DB[arithmetic]


@dataclasses.dataclass(frozen=True)
class GpuDevice:
    """What a file was run on.

    Attributes:
        name: Name of the device.
        type: `"discrete GPU"`, `"CPU"`, ...
        backend: The interface that the accelerator uses it by, `"Vulkan"`.
        driver: Name and version of its driver, `None` where it does not say.
        half_precision: Whether it computes in half precision, `None` likewise.
    """

    name: str
    type: str
    backend: str
    driver: str | None
    half_precision: bool | None

    @property
    def is_software(self) -> bool:
        """Whether it is a CPU."""
        return self.type.startswith("CPU")


@dataclasses.dataclass(frozen=True)
class OutputDifference:
    """One output of the GPU beside the CPU's, in real values.

    Attributes:
        name: Name of the tensor.
        max_abs_difference: Largest difference of an element.
        max_abs: Largest magnitude that the CPU gives.
        snr_db: Signal-to-noise ratio.
        top1_agreement: Share of samples in which both pick the same class, or
            `None` where the output is no list of classes.
    """

    name: str
    max_abs_difference: float
    max_abs: float
    snr_db: float
    top1_agreement: float | None


@dataclasses.dataclass(frozen=True)
class GpuAudit:
    """What the accelerator made of a file.

    Attributes:
        device: What it ran on, `None` where it did not come so far.
        arithmetic: `"float32"` or `"float16"`, what it computed in.
        acceleration: `"full"`, `"partial"` and `"none"` of the operators;
            `"refused"` if it does not take the file, `"failed"` if it takes
            it and does not run, `"crashed"` or `"hung"` if it took its process
            along.
        operators: Operators of the main graph.
        on_gpu: How many of them the GPU runs, `None` where not known.
        refused: `(operator, reason)` of what it does not take.
        message: What went wrong, in one line, or `None`.
        quantized: Whether the file computes in integers.
        inputs: What it was run on.
        outputs: How far the GPU's outputs are from the CPU's.
        not_compared: Why some or all outputs were not compared, or `None`.
        tolerance_db: Least signal-to-noise ratio that counts as right.
        beyond_float16: `(tensor, magnitude)` of float activations that half
            precision does not hold, the largest first.
    """

    device: GpuDevice | None
    arithmetic: str
    acceleration: str
    operators: int
    on_gpu: int | None
    refused: tuple[tuple[str, str], ...]
    message: str | None
    quantized: bool
    inputs: str
    outputs: tuple[OutputDifference, ...]
    not_compared: str | None
    tolerance_db: float
    beyond_float16: tuple[tuple[str, float], ...]

    @property
    def right(self) -> bool | None:
        """Whether the GPU's numbers are the CPU's, `None` where they were not compared."""
        if any(output.snr_db < self.tolerance_db for output in self.outputs):
            return False
        return True if self.outputs and self.not_compared is None else None

    def passed(self, allow_partial: bool) -> bool:
        """Whether the GPU runs it as it should."""
        fine = ("full", "partial", "none") if allow_partial else ("full",)
        return self.acceleration in fine and self.right is True

    def to_dict(self) -> dict:
        """Everything as plain JSON types."""
        content = dataclasses.asdict(self) | {"right": self.right}
        content["refused"] = [{"operator": name, "reason": text} for name, text in self.refused]
        content["beyond_float16"] = [
            {"tensor": name, "max_abs": value} for name, value in self.beyond_float16
        ]
        for output in content["outputs"]:
            for key in ("max_abs_difference", "max_abs", "snr_db"):
                output[key] = finite_or_none(output[key])
        return content
