"""Runs a .tflite file on the CPU and on LiteRT's GPU accelerator, on the same inputs.

For `tflite.child.worker`, as a driver can crash or hang. It imports nothing but
the runtime, NumPy and what needs no more.
"""

import contextlib
import os
from collections.abc import Iterator

import numpy as np

from care_keras.litert.file import LiteRTFile
from care_keras.litert.ranges import beyond_float16, largest_floats


def work(request: dict) -> Iterator[dict]:
    """Runs it, stage by stage.

    Args:
        request: `model`, the .tflite file; `inputs`, an .npz of arrays
            `(samples, *shape)` by the tensor's index; `outputs`, the .npz to
            write, the same by `cpu/INDEX` and `gpu/INDEX`; `precision`, what
            the GPU may compute in, `"float32"`, or `"float16"` where it can;
            `icd`, a Vulkan driver's description, `None` for those of the
            system; `runtime_folder`, the folder of the accelerator's library,
            `None` for the runtime's.

    Yields:
        How far it came, `stage`, and facts that it found on the way.
    """
    if request["icd"]:
        os.environ["VK_ICD_FILENAMES"] = request["icd"]
    model = request["model"]
    with np.load(request["inputs"], allow_pickle=False) as archive:
        samples = {int(index): archive[index] for index in archive.files}
    yield {"stage": "cpu"}
    try:
        results = {f"cpu/{i}": values for i, values in _on_cpu(model, samples).items()}
    except (ValueError, RuntimeError) as error:
        results = {}
        yield {"stage": "cpu", "cpu_error": _one_line(error)}
    yield {"stage": "ranges"}
    # What only XNNPACK or the GPU runs as a whole has none.
    with contextlib.suppress(ValueError, RuntimeError):
        yield {"ranges": beyond_float16(largest_floats(model, samples))}
    yield {"stage": "compile"}
    compiled, alone = _compile(model, request["precision"], request["runtime_folder"])
    yield {"stage": "run", "alone": alone}
    values, unreadable = _on_gpu(compiled, samples)
    np.savez(request["outputs"], **results, **{f"gpu/{i}": array for i, array in values.items()})
    yield {"stage": "done", "unreadable": unreadable}


def _one_line(error):
    return " ".join(str(error).split())


def _on_cpu(model, samples):
    """The outputs by index, as an app gets them: through XNNPACK."""
    file = LiteRTFile(model)
    results = {output.index: [] for output in file.outputs.values()}
    for _ in file.inferences(samples):
        for index in results:
            results[index].append(file.tensor(index))
    return {index: np.stack(arrays) for index, arrays in results.items()}


def _compile(model, precision, folder):
    """The compiled model, and whether the GPU alone can run it.

    With the CPU allowed beside it, a file counts as fully accelerated too where
    XNNPACK runs the rest, or all of it: only the GPU alone says what the GPU
    can do.
    """
    from ai_edge_litert.compiled_model import CompiledModel
    from ai_edge_litert.environment import Environment
    from ai_edge_litert.hardware_accelerator import HardwareAccelerator
    from ai_edge_litert.options import CpuOptions, GpuOptions, Options

    environment = Environment.create(runtime_path=folder)

    def compile_for(hardware):
        options = Options(
            hardware_accelerators=hardware,
            cpu_options=CpuOptions(num_threads=1),
            gpu_options=GpuOptions(enforce_f32=precision == "float32"),
        )
        return CompiledModel.from_file(model, environment=environment, options=options)

    try:
        return compile_for(HardwareAccelerator.GPU), True
    except RuntimeError as error:
        if "Some ops are not accelerated" not in str(error):
            raise
    return compile_for(HardwareAccelerator.GPU | HardwareAccelerator.CPU), False


def _on_gpu(compiled, samples):
    """The outputs by index, and why those of some names cannot be read."""
    key, names = next(iter(compiled.get_signature_list().items()))
    inputs, outputs = compiled.create_input_buffers(0), compiled.create_output_buffers(0)
    input_details = compiled.get_input_tensor_details(key)
    output_details = compiled.get_output_tensor_details(key)
    results, unreadable = {}, {}
    for number in range(len(next(iter(samples.values())))):
        for name, buffer in zip(names["inputs"], inputs, strict=True):
            buffer.write(samples[input_details[name]["index"]][number])
        compiled.run_by_index(0, inputs, outputs)
        values = {}
        for name, buffer in zip(names["outputs"], outputs, strict=True):
            details = output_details[name]
            shape = details["shape"]
            try:
                array = buffer.read(int(np.prod(shape)), np.dtype(details["dtype"]))
            except ValueError as error:
                unreadable[name] = _one_line(error)
                continue
            values[details["index"]] = array.reshape(shape)
        for index, array in values.items():
            results.setdefault(index, []).append(array)
    return {index: np.stack(arrays) for index, arrays in results.items()}, unreadable
