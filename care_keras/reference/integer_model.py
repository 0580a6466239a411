"""The quantized form as it runs on a phone: an int8 network computed in integers."""

import concurrent.futures
import os

import numpy as np

from care_keras.emit.network import emit_tflite
from care_keras.litert.model import TensorInfo
from care_keras.primitives.deploy_model import DeployModel
from care_keras.quantization import is_quantized
from care_keras.reference.program import compile_graph, keeps_images_apart, run_steps
from care_keras.tflite_file import Graph, Tensor, read_graph

# Elements of the largest tensor of the images that go through the network together: many, as
# every operation costs some microseconds to start, but not all of them, for the memory's sake.
_BLOCK_ELEMENTS = 1 << 20


class IntegerModel:
    """An int8 network, computed by NumPy to the codes that its .tflite file gives.

    Every operation is computed as LiteRT 2.3 with XNNPACK does it on x86: sums
    in integers, rounded by the same rules. So a quantized form can be
    evaluated as it will run, in every backend and where no runtime is, and any
    number of images at once. `program` knows the operations.

    Args:
        model: A calibrated quantized form, or an integer-only .tflite file: its
            path or its content.
        size: Height and width of the images in pixels, of a quantized form; by
            default those of its preprocessing record.
        num_threads: Blocks of images that run at the same time.

    Attributes:
        input: What is fed: for a quantized form of pixels their codes, `pixel -
            128`; `predict` takes pixels.
        outputs: What comes out, by the signature's names.
        tensors: All tensors that are computed, by the names of their layers.

    Raises:
        ValueError: If `model` is neither, if an operation has no integer form
            here, or if LiteRT would refuse it.

    Example:
    ```python
    model = IntegerModel(quantized)
    logits = model.predict(images)  # uint8 (images, height, width, 3)
    codes = model.codes(model.input.quantize(images))["stem_conv"]
    ```
    """

    def __init__(
        self,
        model: DeployModel | str | os.PathLike | bytes,
        size: tuple[int, int] | None = None,
        num_threads: int = 1,
    ):
        graph = _graph(model, size)
        if len(graph.main.inputs) != 1:
            raise ValueError(
                "The network must have one input. "
                f"Received: {len(graph.main.inputs)} inputs in {graph.source}"
            )
        self._graph = graph
        self._steps = compile_graph(graph)
        self._names = _names(graph)
        self._threads = num_threads
        (image,) = graph.inputs
        self._batch = None if keeps_images_apart(graph) else image.shape[0]
        largest = max(x.elements // x.shape[0] for x in graph.tensors if _is_computed(x))
        self._block = self._batch or max(1, _BLOCK_ELEMENTS // largest)
        self.input = TensorInfo.of_tensor(image)
        self.outputs = {
            name: TensorInfo.of_tensor(graph.tensors[index])
            for name, index in _output_indices(graph).items()
        }
        computed = [index for step in self._steps for index in step.outputs]
        self.tensors = {self._names[i]: TensorInfo.of_tensor(graph.tensors[i]) for i in computed}

    @property
    def output(self) -> TensorInfo:
        """The first output."""
        return next(iter(self.outputs.values()))

    def run(self, inputs: np.ndarray) -> np.ndarray | dict[str, np.ndarray]:
        """Runs any number of images, in the types of the network's input and output.

        Args:
            inputs: Array of `input.dtype` and of shape `(images, height, width,
                channels)`.

        Returns:
            The output, first axis images; a dict by name if there are several.

        Raises:
            ValueError: If the input does not fit, or a kernel of LiteRT's would
                fail.
        """
        return _one_or_all(self._outputs(inputs, lambda part: part))

    def predict(self, values: np.ndarray) -> np.ndarray | dict[str, np.ndarray]:
        """The same in real numbers: what the quantized form takes, and returns.

        Args:
            values: Array of shape `(images, height, width, channels)`: pixels
                from 0 to 255 for a form of pixels.

        Returns:
            float32 outputs of shape `(images, ...)`; a dict if there are several.
        """
        outputs = self._outputs(values, self.input.quantize)
        return _one_or_all(
            {name: self.outputs[name].dequantize(array) for name, array in outputs.items()}
        )

    def codes(self, inputs: np.ndarray) -> dict[str, np.ndarray]:
        """What every tensor holds for a batch of the input's own type, by name.

        All of it stays in memory: some megabytes an image at 224x224.
        """
        blocks = list(self._run_blocks(inputs, lambda part: part, keep=True))
        return {
            self._names[index]: np.concatenate([block[index] for block in blocks])[: len(inputs)]
            for step in self._steps
            for index in step.outputs
        }

    def values(self, inputs: np.ndarray) -> dict[str, np.ndarray]:
        """The same as real numbers."""
        return {
            name: self.tensors[name].dequantize(codes) for name, codes in self.codes(inputs).items()
        }

    def _outputs(self, inputs, prepare):
        """The outputs by name, the first axis images."""
        indices = _output_indices(self._graph)
        blocks = [
            {name: arrays[index] for name, index in indices.items()}
            for arrays in self._run_blocks(inputs, prepare, keep=False)
        ]
        return {
            name: np.concatenate([block[name] for block in blocks])[: len(inputs)]
            for name in indices
        }

    def _run_blocks(self, inputs, prepare, keep):
        """The arrays of each block of images, in order."""
        (image,) = self._graph.inputs
        kind = prepare(inputs[:1]).dtype
        if kind != self.input.dtype or inputs.shape[1:] != image.shape[1:] or not len(inputs):
            raise ValueError(
                f"The network takes {image.dtype} of shape (images, "
                f"{', '.join(map(str, image.shape[1:]))}), one image or more. "
                f"Received: {inputs.dtype} of shape {inputs.shape}"
            )

        def run(start):
            part = prepare(inputs[start : start + self._block])
            missing = self._block - len(part) if self._batch else 0
            if missing:
                part = np.concatenate([part, np.repeat(part[-1:], missing, axis=0)])
            arrays = {image.index: part}
            run_steps(self._steps, arrays, keep)
            return arrays

        starts = range(0, len(inputs), self._block)
        if self._threads == 1 or len(starts) == 1:
            yield from map(run, starts)
            return
        with concurrent.futures.ThreadPoolExecutor(self._threads) as pool:
            yield from pool.map(run, starts)


def _one_or_all(outputs):
    return outputs if len(outputs) > 1 else next(iter(outputs.values()))


def _graph(model, size) -> Graph:
    if not isinstance(model, DeployModel):
        return read_graph(model)
    if not is_quantized(model):
        raise ValueError(
            "Only a quantized form computes in integers: call care_keras.quantization.quantize "
            f"and calibrate first. Received: model={model.name!r}"
        )
    if size is None:
        if model.preprocessing is None:
            raise ValueError(
                f"The model does not say its images' size: give `size`. Received: size={size}"
            )
        size = (model.preprocessing.height, model.preprocessing.width)
    return read_graph(emit_tflite(model, size))


def _is_computed(tensor: Tensor) -> bool:
    return not tensor.is_constant and len(tensor.shape) > 0


def _output_indices(graph: Graph) -> dict[str, int]:
    if graph.signatures:
        return dict(graph.signatures[0].outputs)
    return {graph.tensors[index].name: index for index in graph.main.outputs}


def _names(graph: Graph) -> dict[int, str]:
    """A name of its own for every tensor."""
    seen: set[str] = set()
    names = {}
    for tensor in graph.tensors:
        names[tensor.index] = (
            tensor.name if tensor.name not in seen else f"{tensor.name}:{tensor.index}"
        )
        seen.add(names[tensor.index])
    return names
