"""Opens and times one .tflite file in a process of its own.

For `tflite.child.worker`. It imports NumPy, LiteRT and modules that need no more:
what else a process holds would count as the model's memory. A model that aborts
takes only this process along.
"""

import contextlib
import gc
import pathlib
import time

import numpy as np

from care_keras.data.noise import random_input
from care_keras.litert.file import LiteRTFile, runtime
from care_keras.litert.tensor import TensorInfo, asked_shapes
from care_keras.memory import status_bytes
from care_keras.shapes import shape_text

# Inferences of one round, at most: enough for its quantiles.
MAX_INFERENCES = 2000


def input_shape(name: str, shape, signature, given: list[int] | None) -> tuple[int, ...]:
    """Shape to run an input with.

    Args:
        name: Of the tensor.
        shape: What the file was opened with.
        signature: The same with -1 where the file leaves a size open.
        given: What the user asked for, or `None`.

    Raises:
        ValueError: If a size other than the batch is open and none was given,
            or the given one contradicts the file.
    """
    signature = tuple(int(size) for size in signature) or tuple(int(size) for size in shape)
    text = shape_text(signature)
    if given is not None:
        if len(given) != len(signature):
            raise ValueError(
                f"The input {name!r} has {len(signature)} dimensions ({text}). "
                f"Received: --input_shape={'x'.join(map(str, given))}"
            )
        return tuple(given)
    if any(size < 0 for size in signature[1:]):
        raise ValueError(
            f"The input {name!r} leaves sizes open: give them with --input_shape. "
            f"Received: a model of input {text}"
        )
    return tuple(int(size) for size in shape)


def open_model(request: dict) -> LiteRTFile:
    """The file, ready to run.

    Raises:
        ValueError: If LiteRT cannot open it or lacks one of its operations, or the shapes that
            are asked for do not fit.
    """
    given = request.get("shapes", {})
    return LiteRTFile(
        request["model"],
        request.get("threads", 1),
        (lambda details: _shapes(details, given)) if "runs" in request else None,
        xnnpack=request.get("xnnpack", True),
        strict=False,
    )


def _shapes(details, given):
    """The shape to open each input with, by name."""
    asked = asked_shapes(given, {name: one["name"] for name, one in details.items()})
    return {
        name: input_shape(name, one["shape"], one["shape_signature"], asked.get(name))
        for name, one in details.items()
    }


def measure(request: dict) -> dict:
    """Loads a model, runs it, and times both.

    Args:
        request: `model`, `threads`, `xnnpack`, `seed`, `shapes` (sizes by input
            name; the name `""` is a lone input), `warmup_runs`,
            `warmup_seconds`, `runs`, `seconds`; `outputs`, an .npz file to
            write the last outputs to, or nothing.

    Returns:
        `inputs` and `outputs` (name, shape, dtype), `load_ms`, `first_inference_ms`,
        `samples_ms`, `memory_increase_mib` and `peak_memory_mib` (`None` where
        the system does not tell), and what `delegated_ops` says.

    Raises:
        ValueError: If the model cannot be opened, fed or run.
    """
    runtime()  # LiteRT itself is not part of the model's load time and memory.
    memory_before = _reset_peak_memory()
    started = time.perf_counter_ns()
    file = open_model(request)
    load_ns = time.perf_counter_ns() - started

    generator = np.random.default_rng(request.get("seed", 0))
    inputs = {
        name: random_input(tensor.shape, tensor.dtype, generator)
        for name, tensor in file.inputs.items()
    }

    def run_once() -> int:
        # As in benchmark_model, filling the inputs is not part of an inference.
        file.feed(inputs)
        start = time.perf_counter_ns()
        file.invoke()
        return time.perf_counter_ns() - start

    gc.disable()
    try:
        first_ns = run_once()
        _repeat(run_once, request["warmup_runs"] - 1, request["warmup_seconds"])
        samples_ns = _repeat(run_once, request["runs"], request["seconds"])
    finally:
        gc.enable()
    peak = _status_mib("VmHWM")
    # Each tensor once, as benchmark_model writes them, whatever names it has.
    outputs = {tensor.index: (name, tensor) for name, tensor in file.outputs.items()}
    if request.get("outputs"):
        arrays = [file.tensor(index) for index in outputs]
        # Strings would be pickled.
        if not any(array.dtype.kind in "SO" for array in arrays):
            np.savez(request["outputs"], *arrays)
    return {
        "inputs": [_described(name, tensor) for name, tensor in file.inputs.items()],
        "outputs": [_described(name, tensor) for name, tensor in outputs.values()],
        "load_ms": load_ns / 1e6,
        "first_inference_ms": first_ns / 1e6,
        "samples_ms": [sample / 1e6 for sample in samples_ns],
        "peak_memory_mib": peak,
        "memory_increase_mib": None if peak is None else max(0.0, peak - memory_before),
        **delegated_ops(file.interpreter),
    }


def _described(name: str, tensor: TensorInfo):
    return {"name": name, "shape": list(tensor.shape), "dtype": tensor.dtype.name}


def _repeat(run_once, runs, seconds):
    samples = []
    end = time.perf_counter() + seconds
    while len(samples) < runs or (time.perf_counter() < end and len(samples) < MAX_INFERENCES):
        samples.append(run_once())
    return samples


def delegated_ops(interpreter) -> dict:
    """Which operators a delegate takes over.

    The runtime appends a node for each part it delegates, and does not say which
    operators are in it: those that lead from the node's inputs to its outputs.

    Returns:
        The numbers of `ops`, `delegated_ops` and `partitions`; `op_outputs`, the
        output tensors of each operator of the file; `delegated`, the indices of
        those that are. All are `None` if this runtime does not list its nodes.
    """
    # `_get_ops_details` has the same, but fails on tensors of types that NumPy lacks.
    native = interpreter._interpreter
    names = ("ops", "delegated_ops", "partitions", "op_outputs", "delegated")
    if not hasattr(native, "NodeOutputs"):
        return dict.fromkeys(names)
    nodes = [
        (native.NodeName(i), native.NodeInputs(i).tolist(), native.NodeOutputs(i).tolist())
        for i in range(native.NumNodes())
    ]
    parts = [node for node in nodes if node[0] == "DELEGATE"]
    ops = [node for node in nodes if node[0] != "DELEGATE"]
    producers = {tensor: i for i, (_, _, outputs) in enumerate(ops) for tensor in outputs}
    inside = set()
    for _, border, waiting in parts:
        while waiting:
            i = producers.get(waiting.pop())
            if i is not None and i not in inside:
                inside.add(i)
                waiting += [tensor for tensor in ops[i][1] if tensor not in border]
    counts = len(ops), len(inside), len(parts)
    return dict(zip(names, (*counts, [node[2] for node in ops], sorted(inside)), strict=True))


def _reset_peak_memory():
    """Resident memory now, in MiB, with the peak put back to it; `None` outside Linux."""
    with contextlib.suppress(OSError):
        # 5 resets the peak (proc(5)); what an import needed for a moment is not the model's.
        pathlib.Path("/proc/self/clear_refs").write_text("5")
    return _status_mib("VmRSS")


def _status_mib(field):
    found = status_bytes(field)
    return None if found is None else found / 2**20


def work(request: dict) -> dict:
    """`measure`, or where the request asks for no `runs` the `delegated_ops` of the file."""
    if "runs" in request:
        return measure(request)
    return delegated_ops(open_model(request).interpreter)
