"""Runs a compiled .tflite file in the emulator of Qualcomm's NPU.

For `tflite.child.worker`, by the protocol of `tflite.runs.worker`. What the NPU took runs in
libQnnHtp's emulation, by ONNX Runtime's QNN provider of the package onnxruntime-qnn; what it left
runs in LiteRT on the CPU, as on a phone.
"""

import dataclasses
import itertools
import os
import pathlib
import time
from collections.abc import Callable, Iterator

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from care_keras.litert.file import LiteRTFile
from care_keras.tflite_file import Graph, Operator, read_graph
from care_keras.tflite_file.cutting import cut
from care_keras.tflite_file.writer import unpack
from tflite.npu.partitions import Partition, partitions_of
from tflite.runs.worker import load_inputs, what_runs


@dataclasses.dataclass(frozen=True, eq=False)
class _Step:
    """Some operators that run in one place.

    Attributes:
        inputs: Tensors that it reads.
        outputs: Tensors that it writes.
        run: Their values from those, in the same order.
    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    run: Callable[[list[np.ndarray]], list[np.ndarray]]


def work(request: dict) -> Iterator[dict]:
    """Opens the model, and runs it on the images from `start` on.

    Args:
        request: `model`, a file that `compiler` wrote; `inputs`, a .npy file of shape
            `(images, ...)`, of which each image fills the batch of the first input that is not
            among `others`, an .npz by the tensor's index; `start`; `outputs`, a file to which each
            image's outputs are added as .npy.

    Yields:
        What runs, `{"runtime": ...}`; `names` of the outputs; then for each image `seconds`.

    Raises:
        ValueError: If the emulator cannot open the file.
    """
    yield what_runs("onnxruntime-qnn")
    content = pathlib.Path(request["model"]).read_bytes()
    graph = read_graph(content)
    images, others = load_inputs(request)
    steps = _steps(content, graph, pathlib.Path(request["outputs"]).parent)
    yield {
        "names": [tensor.name for tensor in graph.outputs],
        "ops": None,
        "delegated_ops": None,
    }
    with open(request["outputs"], "ab") as outputs:
        for place in range(request["start"], len(images)):
            values = {}
            for tensor in graph.inputs:
                given = others.get(tensor.index, images)[place]
                values[tensor.index] = np.ascontiguousarray(np.broadcast_to(given, tensor.shape))
            started = time.perf_counter()
            for step in steps:
                results = step.run([values[index] for index in step.inputs])
                values.update(zip(step.outputs, results, strict=True))
            seconds = time.perf_counter() - started
            for tensor in graph.outputs:
                np.save(outputs, values[tensor.index])
            outputs.flush()
            yield {"seconds": seconds}


def _steps(content: bytes, graph: Graph, folder: pathlib.Path) -> list[_Step]:
    """What runs after what."""
    model = unpack(content)
    partitions = {one.operator: one for one in partitions_of(content, graph)}
    open_session = _emulator() if partitions else None
    steps = []
    for on_npu, group in itertools.groupby(graph.operators, lambda one: one.index in partitions):
        if on_npu:
            steps += [
                _npu_step(graph, partitions[one.index], folder, open_session) for one in group
            ]
        else:
            steps.append(_cpu_step(model, graph, list(group)))
    return steps


def _cpu_step(model: schema.ModelT, graph: Graph, operators: list[Operator]) -> _Step:
    written = {index for one in operators for index in one.outputs}
    read = {index for one in operators for index in one.inputs if index >= 0}
    inputs = [index for index in sorted(read - written) if not graph.tensors[index].is_constant]
    places = {one.index for one in operators}
    wanted = {
        index for one in graph.operators if one.index not in places for index in one.inputs
    } | set(graph.main.outputs)
    outputs = sorted(written & wanted)
    file, place = cut(model, sorted(places), inputs, outputs)
    litert = LiteRTFile(file)
    names = {one.index: name for name, one in litert.inputs.items()}

    def run(values):
        given = zip(inputs, values, strict=True)
        litert.feed({names[place[index]]: array for index, array in given})
        litert.invoke()
        return [litert.tensor(place[index]) for index in outputs]

    return _Step(tuple(inputs), tuple(outputs), run)


def _npu_step(
    graph: Graph, partition: Partition, folder: pathlib.Path, open_session: Callable
) -> _Step:
    from onnx import TensorProto, helper, save

    def infos(indices):
        return [
            helper.make_tensor_value_info(
                tensor.name, getattr(TensorProto, _onnx_type(tensor.dtype)), tensor.shape
            )
            for tensor in (graph.tensors[index] for index in indices)
        ]

    inputs, outputs = infos(partition.inputs), infos(partition.outputs)
    context = folder / f"partition {partition.operator}.bin"
    context.write_bytes(partition.content)
    node = helper.make_node(
        "EPContext",
        [one.name for one in inputs],
        [one.name for one in outputs],
        name=partition.name,
        domain="com.microsoft",
        embed_mode=0,
        ep_cache_context=context.name,
        main_context=1,
        source="QNN",
        partition_name=partition.name,
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    made = helper.make_model(
        helper.make_graph([node], "partition", inputs, outputs), opset_imports=opsets, ir_version=9
    )
    file = context.with_suffix(".onnx")
    save(made, os.fspath(file))
    session = open_session(file)
    names = [one.name for one in outputs]

    def run(values):
        return session.run(names, dict(zip((one.name for one in inputs), values, strict=True)))

    return _Step(partition.inputs, partition.outputs, run)


def _onnx_type(dtype: str) -> str:
    """ONNX's name of a type: `"FLOAT"` of `"float32"`."""
    return "FLOAT" if dtype == "float32" else dtype.upper()


def _emulator():
    """A function that opens an ONNX file there."""
    import onnxruntime
    import onnxruntime_qnn

    onnxruntime.register_execution_provider_library(
        "QNNExecutionProvider", onnxruntime_qnn.get_library_path()
    )
    devices = [one for one in onnxruntime.get_ep_devices() if "QNN" in one.ep_name]
    if not devices:
        raise ValueError(
            "ONNX Runtime finds no QNN device. "
            f"Received: onnxruntime {onnxruntime.__version__}, "
            f"onnxruntime-qnn {onnxruntime_qnn.__version__}"
        )

    def open_session(file):
        options = onnxruntime.SessionOptions()
        # Errors alone: it warns of every context that another program made.
        options.log_severity_level = 3
        options.add_provider_for_devices(
            devices[:1], {"backend_path": onnxruntime_qnn.get_qnn_htp_path()}
        )
        try:
            return onnxruntime.InferenceSession(os.fspath(file), sess_options=options)
        except Exception as error:
            # Its exceptions have no class of their own in common.
            raise ValueError(
                f"The emulator of Qualcomm's NPU cannot open the compiled file. Received: {error}"
            ) from error

    return open_session
