"""A .tflite file in OpenVINO's CPU plugin: `python -m tflite.openvino --model=M.tflite`.

Runs the file on images there and in LiteRT, and says how often both come to the
same class, classes of pixels or boxes: exit code 1 if too seldom. It reads a
quantized file as real numbers that are rounded after each operator, so that an
operator whose codes mean something else there shows. Needs the extra `openvino`.
"""

import dataclasses
import pathlib

from absl import flags

from care_keras.console import cli
from care_keras.console.optional import require_installed
from care_keras.console.table import format_table
from care_keras.data.image_flags import input_overrides
from care_keras.data.sources import open_source
from care_keras.litert.model import runtime_version
from care_keras.tflite_file import read_graph
from tflite.benchmark.machine import cpu_flags
from tflite.inputs.real_and_extreme import make_photos
from tflite.openvino.run import MODES, run_in_openvino
from tflite.runs.answers import answers_of
from tflite.runs.compare import compare, outputs_snr_db
from tflite.runs.python import host_command
from tflite.runs.run import run_with_progress

_MODEL = flags.DEFINE_multi_string("model", None, "A .tflite file; give several.", required=True)
_DATA = flags.DEFINE_string("data", "bundled", "Images: DIR, tfds:NAME[:SPLIT] or bundled.")
_SAMPLES = flags.DEFINE_integer("samples", 200, "Images, at most.", lower_bound=2)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of their draw.", lower_bound=0)
_MIN_AGREEMENT = flags.DEFINE_float(
    "min_agreement",
    0.95,
    "Share of answers (classes, pixels, boxes) that both must have in common.",
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
    heading: str
    agreement: float | None
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
        "same answers",
        "output SNR",
        "equal values",
    ]
    rows = [
        [
            one.name,
            one.mode,
            one.images,
            None if one.agreement is None else f"{one.agreement:.1%} {one.heading}",
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
        f"{one.name}, {one.mode}: {one.agreement:.1%} {one.heading}"
        for one in found
        if one.judged and one.agreement is not None and one.agreement < _MIN_AGREEMENT.value
    ]
    if failed:
        raise cli.CheckError(
            f"OpenVINO and LiteRT come to the same answers too seldom: {'; '.join(failed)} "
            "(tflite.audit --portable looks for the operator)"
        )


def _compare(path, source, overrides):
    graph = read_graph(path)
    inputs, _ = make_photos(path, source, _SEED.value, overrides)
    answers = answers_of(graph, path, inputs.model_input)
    if answers is None:
        raise ValueError(
            "The model must give a score for each class, or say its task in the JSON beside it. "
            f"Received: {len(graph.outputs)} outputs, "
            f"{', '.join(str(list(one.shape)) for one in graph.outputs)}, in {path}"
        )
    reference = run_with_progress(host_command(), path, inputs, "LiteRT", _TIMEOUT.value)
    if reference.error or reference.failures:
        raise ValueError(reference.error or next(iter(reference.failures.values())))
    runs, about = run_in_openvino(path, inputs, MODES, _TIMEOUT.value)
    quantized = any(one.scales for one in graph.outputs)
    found = []
    for mode, run in runs.items():
        # A float file is computed in float in either mode.
        if not quantized and mode != MODES[0]:
            continue
        compared = compare(reference, run, 0, 0.0, answers)
        found.append(
            _Agreement(
                name=path.name,
                mode=mode,
                images=compared.images,
                heading=answers.heading,
                agreement=compared.agreement,
                snr_db=min(outputs_snr_db(graph, reference, run, answers).values()),
                equal=compared.equal / compared.values,
                judged=mode == MODES[0] or bool(cpu_flags() & _VNNI),
            )
        )
    return found, f"{about}, against LiteRT {runtime_version()}"


if __name__ == "__main__":
    cli.run(main, input_errors=(ValueError,))
