"""What LiteRT's GPU accelerator makes of a .tflite file: how much it runs, and how right."""

import os
import pathlib
import tempfile

import numpy as np

from care_keras.metrics import absolute_differences, snr_db, top1_agreement
from care_keras.tflite_file import Graph
from tflite.audit.gpu.drivers import CHOICES, INSTALL, drivers, vulkan_devices
from tflite.audit.gpu.records import GpuAudit, GpuDevice, OutputDifference, tolerance_db
from tflite.audit.gpu.run import Attempt, Job
from tflite.audit.inputs import AuditInputs

_QUANTIZED = ("int8", "uint8", "int16")


class NoAcceleratorError(ValueError):
    """There is no GPU accelerator here, or no device for it."""


def audit_gpu(
    path: str | os.PathLike,
    graph: Graph,
    inputs: AuditInputs,
    precision: str = "float16",
    timeout_seconds: float = 600,
    runtime_folder: str | os.PathLike | None = None,
) -> GpuAudit:
    """Compiles a file for the GPU and runs it there, in a process of its own.

    Args:
        path: The file.
        graph: What is in it.
        inputs: What to run it on.
        precision: `"float16"` lets the GPU compute in half precision if it
            can, as apps do that do not ask for another; `"float32"` forbids it.
        timeout_seconds: Time for all of it.
        runtime_folder: Folder of the accelerator's library in place of the
            runtime's own.

    Raises:
        NoAcceleratorError: If there is no accelerator, or no device for it.
    """
    attempt, device = attempt_on_gpu(path, inputs, precision, timeout_seconds, runtime_folder)
    return _judge(attempt, device, graph, inputs, precision)


def attempt_on_gpu(
    path: str | os.PathLike,
    inputs: AuditInputs,
    precision: str,
    timeout_seconds: float,
    runtime_folder: str | os.PathLike | None = None,
) -> tuple[Attempt, GpuDevice | None]:
    """The run of `audit_gpu`, with one driver after another until one has a device.

    Returns:
        The run, and what it ran on, if that is known.

    Raises:
        NoAcceleratorError: If there is no accelerator, or no device for it.
    """
    with tempfile.TemporaryDirectory() as folder:
        job = Job(pathlib.Path(folder), path, inputs, precision, runtime_folder)
        for icd in drivers(folder):
            attempt = job.run(icd, timeout_seconds)
            if attempt.log.no_adapter is None:
                break
        _check_accelerator(attempt)
        # While the driver's description is there.
        return attempt, _device(attempt)


def _check_accelerator(attempt: Attempt) -> None:
    """Raises unless the log shows that a device was at work.

    The runtime itself says "fully accelerated" of what its CPU kernels run.
    """
    if attempt.log.adapter is not None or attempt.stage in ("start", "cpu", "ranges"):
        return
    if not attempt.log.accelerator_loaded:
        raise NoAcceleratorError(
            "This build of LiteRT has no GPU accelerator that can be loaded here. "
            f"Received: {'; '.join(attempt.log.complaints) or 'no word of one in its log'}"
        )
    chosen = [f"{name}={os.environ[name]}" for name in CHOICES if os.environ.get(name)]
    raise NoAcceleratorError(
        f"LiteRT's GPU accelerator finds no device it can use: {INSTALL}. Received: "
        + "; ".join([attempt.log.no_adapter or "no device named in its log", *chosen])
    )


def _judge(
    attempt: Attempt,
    device: GpuDevice | None,
    graph: Graph,
    inputs: AuditInputs,
    precision: str,
) -> GpuAudit:
    quantized = _is_quantized(graph)
    half = precision == "float16" and (device is None or device.half_precision is not False)
    arithmetic = "float16" if half else "float32"
    word, message = acceleration(attempt, graph)
    outputs = _differences(attempt.results, graph, inputs.are_images)
    ranges = attempt.facts.get("ranges", {})
    beyond = sorted(
        ((graph.tensors[int(index)].name, value) for index, value in ranges.items()),
        key=lambda item: -item[1],
    )
    return GpuAudit(
        device=device,
        arithmetic=arithmetic,
        acceleration=word,
        operators=len(graph.operators),
        on_gpu=len(graph.operators) if word == "full" else attempt.log.on_gpu,
        refused=attempt.log.refused,
        message=message,
        quantized=quantized,
        inputs=inputs.description,
        outputs=outputs,
        not_compared=_not_compared(attempt.facts),
        tolerance_db=tolerance_db(arithmetic, quantized),
        beyond_float16=tuple(beyond),
    )


def _is_quantized(graph):
    """Whether activations inside the graph are integers that stand for real values."""
    ends = {*graph.main.inputs, *graph.main.outputs}
    return any(
        tensor.scales and tensor.dtype in _QUANTIZED
        for tensor in graph.tensors
        if not tensor.is_constant and tensor.index not in ends
    )


def _not_compared(facts):
    if "cpu_error" in facts:
        return f"the CPU cannot run it: {facts['cpu_error']}"
    unreadable = facts.get("unreadable", {})
    return "; ".join(f"{name}: {reason}" for name, reason in unreadable.items()) or None


def _device(attempt):
    adapter = attempt.log.adapter
    if adapter is None:
        return None
    known = next((d for d in vulkan_devices(attempt.icd) if d["name"] == adapter.name), {})
    return GpuDevice(
        name=adapter.name,
        type=known.get("type", adapter.kind),
        backend=adapter.backend,
        driver=known.get("driver"),
        half_precision=known.get("half_precision"),
    )


_STAGES = {
    "start": "starting",
    "cpu": "running on the CPU",
    "ranges": "running on the CPU",
    "compile": "compiling for the GPU",
    "run": "running on the GPU",
}


def acceleration(attempt: Attempt, graph: Graph) -> tuple[str, str | None]:
    """One word for how much runs on the GPU, and what went wrong."""
    log, facts = attempt.log, attempt.facts
    if attempt.hung:
        return "hung", f"no end in time while {_STAGES[attempt.stage]}"
    if attempt.ending:
        message = f"the process {attempt.ending} while {_STAGES[attempt.stage]}"
        reason = _explain(log.fatal, graph)
        return "crashed", f"{message}: {reason}" if reason else message
    if attempt.stage == "error":
        message = "; ".join(log.complaints) or facts["error"]
        return ("failed" if "alone" in facts else "refused"), message
    if facts["alone"]:
        return "full", None
    return ("none" if log.on_gpu == 0 else "partial"), None


def _explain(fatal, graph):
    """A failed check of the accelerator's, with the operator that is behind it if known."""
    if fatal is None or "is already a consumer of the value" not in fatal:
        return fatal
    twice = [
        f"{operator.label} {operator.index} of {graph.tensors[operator.inputs[0]].name!r}"
        for operator in graph.operators
        if operator.name == "BATCH_MATMUL" and len(set(operator.inputs)) < len(operator.inputs)
    ]
    return f"it takes no product of a tensor with itself ({', '.join(twice)})" if twice else fatal


def _differences(results, graph, are_images):
    differences = []
    for index in dict.fromkeys(graph.main.outputs):
        if f"gpu/{index}" not in results or f"cpu/{index}" not in results:
            continue
        tensor = graph.tensors[index]
        cpu, gpu = (_real(results[f"{place}/{index}"], tensor) for place in ("cpu", "gpu"))
        finite = np.isfinite(cpu) == np.isfinite(gpu)
        both = np.isfinite(cpu) & np.isfinite(gpu)
        one_list = len(graph.main.outputs) == 1 and len(tensor.shape) == 2
        classes = tensor.shape[-1] if are_images and one_list else 0
        differences.append(
            OutputDifference(
                name=tensor.name,
                max_abs_difference=float(absolute_differences(cpu, gpu).max(initial=0.0)),
                max_abs=float(np.max(np.abs(cpu[np.isfinite(cpu)]), initial=0.0)),
                snr_db=snr_db(gpu[both], cpu[both]) if finite.all() else float("-inf"),
                top1_agreement=(
                    top1_agreement(gpu.reshape(-1, classes), cpu.reshape(-1, classes))
                    if classes > 1
                    else None
                ),
            )
        )
    return tuple(differences)


def _real(values, tensor):
    if len(tensor.scales) == 1:
        zero_point = next(iter(tensor.zero_points), 0)
        return (values.astype(np.float64) - zero_point) * tensor.scales[0]
    return values.astype(np.float64)
