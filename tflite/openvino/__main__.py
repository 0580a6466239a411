"""A .tflite file in OpenVINO's CPU plugin: `python -m tflite.openvino --model=M.tflite`.

Runs the file on images there and in LiteRT, and says how often both pick the
same class: exit code 1 if too seldom. It reads a quantized file as real numbers
that are rounded after each operator, so that an operator whose codes mean
something else there shows. Needs the extra `openvino`.
"""

import dataclasses
import pathlib

import numpy as np
from absl import flags

from care_keras.console import cli
from care_keras.console.optional import require_installed
from care_keras.console.table import format_table
from care_keras.data.sources import open_source
from care_keras.litert.model import runtime_version
from care_keras.metrics import snr_db, top1_agreement
from tflite.benchmark.machine import cpu_flags
from tflite.inputs.flags import input_overrides
from tflite.inputs.model_inputs import read_model_input
from tflite.inputs.on_images import run_on_images
from tflite.openvino.run import MODES, run_in_openvino

_MODEL = flags.DEFINE_multi_string(
    "model", None, "A classifier's .tflite file; give several.", required=True
)
_DATA = flags.DEFINE_string("data", "bundled", "Images: DIR, tfds:NAME[:SPLIT] or bundled.")
_SAMPLES = flags.DEFINE_integer("samples", 200, "Images, at most.", lower_bound=2)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of their draw.", lower_bound=0)
_MIN_AGREEMENT = flags.DEFINE_float(
    "min_agreement",
    0.95,
    "Share of images that both must pick one class for.",
    lower_bound=0.0,
    upper_bound=1.0,
)
_TIMEOUT = flags.DEFINE_float("timeout", 600, "Seconds for each file.", lower_bound=0.1)

# Without it sums of two products saturate at 16 bits (oneDNN's developer guide, "Nuances of int8
# Computations"), which OpenVINO computes with.
_VNNI = {"avx512_vnni", "avx_vnni"}


@dataclasses.dataclass(frozen=True, eq=False)
class _Agreement:
    """One file in one mode."""

    name: str
    mode: str
    images: int
    agreement: float
    snr_db: float
    equal: float
    judged: bool


def main() -> None:
    """The command."""
    # It is the worker that imports it.
    require_installed("openvino", "openvino")
    overrides = input_overrides()
    source = open_source(_DATA.value, "test").sample(_SAMPLES.value, _SEED.value)
    found, about = [], ""
    for path in dict.fromkeys(_MODEL.value):
        results, about = _compare(pathlib.Path(path), source, overrides)
        found += results
    headers = [
        "model",
        "OpenVINO computes in",
        "images",
        "same class",
        "output SNR",
        "equal values",
    ]
    rows = [
        [
            one.name,
            one.mode,
            one.images,
            f"{one.agreement:.1%}",
            f"{one.snr_db:.1f} dB",
            f"{one.equal:.1%}",
        ]
        for one in found
    ]
    print(f"\n{format_table(headers, rows)}\n\n{about}")
    if not all(one.judged for one in found):
        print(
            "int8 kernels are not judged: this CPU has no VNNI, and without it their sums of two "
            "products saturate at 16 bits"
        )
    failed = [
        f"{one.name}, {one.mode}: {one.agreement:.1%}"
        for one in found
        if one.judged and one.agreement < _MIN_AGREEMENT.value
    ]
    if failed:
        raise cli.CheckError(
            f"OpenVINO and LiteRT pick the same class too seldom: {'; '.join(failed)} "
            "(tflite.audit --portable looks for the operator)"
        )


def _compare(path, source, overrides):
    litert = run_on_images(path, read_model_input(path, overrides), source)
    if litert.outputs.ndim != 3 or litert.outputs.shape[2] < 2:
        raise ValueError(
            "The model must give a score for each class, (batch, classes). "
            f"Received: an output of {litert.outputs.shape[2:]} in {path}"
        )
    expected = litert.outputs[:, 0]
    outputs, about = run_in_openvino(path, litert.inputs, litert.input.shape, MODES, _TIMEOUT.value)
    quantized = litert.output.scale > 0
    return [
        _Agreement(
            name=path.name,
            mode=mode,
            images=len(expected),
            agreement=top1_agreement(given, expected),
            snr_db=snr_db(litert.output.dequantize(given), litert.output.dequantize(expected)),
            equal=float(np.mean(given == expected)),
            judged=mode == MODES[0] or bool(cpu_flags() & _VNNI),
        )
        for mode, given in outputs.items()
        # A float file is computed in float in either mode.
        if quantized or mode == MODES[0]
    ], f"{about}, against LiteRT {runtime_version()}"


if __name__ == "__main__":
    cli.run(main, input_errors=(ValueError,))
