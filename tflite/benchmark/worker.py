"""Opens and times one .tflite file in a process of its own.

For `tflite.child.worker`. It imports NumPy and LiteRT alone: what else a process
holds would count as the model's memory. A model that aborts takes only this
process along.
"""

import contextlib
import gc
import pathlib
import re
import time

import numpy as np

# Inferences of one round, at most: enough for its quantiles.
MAX_INFERENCES = 2000


def random_input(shape: tuple[int, ...], dtype: np.dtype, generator: np.random.Generator):
    """Random values for a tensor in its own type.

    Floats are normal, as normalized images are; 8- and 16-bit integers, which
    are quantized values, take their whole range; wider ones, which are mostly
    indices, are 0 or 1, and so inside any table.

    Raises:
        ValueError: If the type is none that can be filled.
    """
    dtype = np.dtype(dtype)
    if dtype.kind == "f" or dtype.name == "bfloat16":
        return generator.standard_normal(shape).astype(dtype)
    if dtype.kind == "c":
        real, imaginary = generator.standard_normal((2, *shape))
        return (real + 1j * imaginary).astype(dtype)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        low, high = (limits.min, limits.max) if dtype.itemsize <= 2 else (0, 1)
        return generator.integers(low, high, shape, dtype, endpoint=True)
    if dtype.kind == "b":
        return generator.integers(0, 2, shape).astype(dtype)
    if dtype.kind in "SO":
        words = generator.integers(0, 100, shape)
        return np.vectorize(lambda word: b"word %d" % word, otypes=[object])(words)
    raise ValueError(f"There is no random input of this type. Received: dtype={dtype}")


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
    text = "x".join("?" if size < 0 else str(size) for size in signature)
    if given is not None:
        if len(given) != len(signature):
            raise ValueError(
                f"The input {name!r} has {len(signature)} dimensions ({text or 'a scalar'}). "
                f"Received: --input_shape={'x'.join(map(str, given))}"
            )
        return tuple(given)
    if any(size < 0 for size in signature[1:]):
        raise ValueError(
            f"The input {name!r} leaves sizes open: give them with --input_shape. "
            f"Received: a model of input {text}"
        )
    return tuple(int(size) for size in shape)


def open_model(request: dict):
    """An interpreter ready to run.

    Raises:
        ValueError: If LiteRT cannot open the file or lacks one of its operations.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    resolver = (
        OpResolverType.AUTO
        if request.get("xnnpack", True)
        else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    try:
        interpreter = Interpreter(
            model_path=request["model"],
            num_threads=request.get("threads", 1),
            experimental_op_resolver_type=resolver,
        )
        if "runs" in request:
            _resize(interpreter, request.get("shapes", {}))
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        if "Received:" in str(error):
            raise
        raise ValueError(
            f"LiteRT cannot open the model. Received: {request['model']} ({_plain(error)})"
        ) from error
    return interpreter


def _resize(interpreter, shapes):
    inputs = interpreter.get_input_details()
    names = [short_name(details["name"]) for details in inputs]
    if "" in shapes and len(inputs) > 1:
        raise ValueError(
            f"The model has {len(inputs)} inputs: say which with --input_shape=NAME=SHAPE. "
            f"Received: inputs {', '.join(names)}"
        )
    shapes = {short_name(name): shape for name, shape in shapes.items()}
    unknown = set(shapes) - set(names) - {""}
    if unknown:
        raise ValueError(
            f"The model has no such input; it has {', '.join(names)}. "
            f"Received: --input_shape for {', '.join(sorted(unknown))}"
        )
    for name, details in zip(names, inputs, strict=True):
        given = shapes.get(name, shapes.get(""))
        shape = input_shape(name, details["shape"], details["shape_signature"], given)
        if shape != tuple(details["shape"]):
            interpreter.resize_tensor_input(details["index"], shape)


def short_name(tensor: str) -> str:
    """`"serving_default_images:0"`, as TensorFlow's converter names it -> `"images"`."""
    return re.sub(r"^serving_default_|:\d+$", "", tensor)


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
    # LiteRT itself is not part of the model's load time and memory.
    from ai_edge_litert.interpreter import Interpreter  # noqa: F401

    memory_before = _reset_peak_memory()
    started = time.perf_counter_ns()
    interpreter = open_model(request)
    load_ns = time.perf_counter_ns() - started

    generator = np.random.default_rng(request.get("seed", 0))
    inputs = [
        (details, random_input(tuple(details["shape"]), details["dtype"], generator))
        for details in interpreter.get_input_details()
    ]

    def run_once() -> int:
        # As in benchmark_model, filling the inputs is not part of an inference.
        for details, values in inputs:
            interpreter.set_tensor(details["index"], values)
        start = time.perf_counter_ns()
        interpreter.invoke()
        return time.perf_counter_ns() - start

    gc.disable()
    try:
        first_ns = run_once()
        _repeat(run_once, request["warmup_runs"] - 1, request["warmup_seconds"])
        samples_ns = _repeat(run_once, request["runs"], request["seconds"])
    except (ValueError, RuntimeError) as error:
        raise ValueError(
            f"The model fails to run. Received: {request['model']} ({_plain(error)})"
        ) from error
    finally:
        gc.enable()
    peak = _status_mib("VmHWM")
    outputs = interpreter.get_output_details()
    if request.get("outputs"):
        arrays = [interpreter.get_tensor(details["index"]) for details in outputs]
        # Strings would be pickled.
        if not any(array.dtype.kind in "SO" for array in arrays):
            np.savez(request["outputs"], *arrays)
    return {
        "inputs": [_tensor(details) for details, _ in inputs],
        "outputs": [_tensor(details) for details in outputs],
        "load_ms": load_ns / 1e6,
        "first_inference_ms": first_ns / 1e6,
        "samples_ms": [sample / 1e6 for sample in samples_ns],
        "peak_memory_mib": peak,
        "memory_increase_mib": None if peak is None else max(0.0, peak - memory_before),
        **delegated_ops(interpreter),
    }


def _tensor(details):
    return {
        "name": short_name(details["name"]),
        "shape": [int(size) for size in details["shape"]],
        "dtype": np.dtype(details["dtype"]).name,
    }


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
    # Not getrusage: ru_maxrss survives exec, so it holds the peak of the parent process.
    try:
        status = pathlib.Path("/proc/self/status").read_text()
    except OSError:
        return None
    found = re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)
    return None if found is None else int(found[1]) / 1024


def _plain(error):
    return " ".join(str(error).split())


def work(request: dict) -> dict:
    """`measure`, or where the request asks for no `runs` the `delegated_ops` of the file."""
    return measure(request) if "runs" in request else delegated_ops(open_model(request))
