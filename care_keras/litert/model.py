"""Running a .tflite file on this machine with LiteRT: the one place that opens an interpreter."""

import dataclasses
import os
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class TensorInfo:
    """An input or output of a .tflite file.

    Attributes:
        name: Name in the file.
        shape: Shape it was opened with.
        dtype: NumPy type.
        scale: Quantization step, 0.0 for a float tensor.
        zero_point: Code of the real value 0.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    scale: float
    zero_point: int

    def quantize(self, values: np.ndarray) -> np.ndarray:
        """Real values as this tensor holds them (rounded and clipped codes if quantized)."""
        if not self.scale:
            return values.astype(self.dtype)
        limits = np.iinfo(self.dtype)
        codes = np.rint(values / self.scale) + self.zero_point
        return np.clip(codes, limits.min, limits.max).astype(self.dtype)

    def dequantize(self, codes: np.ndarray) -> np.ndarray:
        """What the tensor holds as float32 real values."""
        if not self.scale:
            return codes.astype(np.float32)
        return ((codes.astype(np.float32) - self.zero_point) * self.scale).astype(np.float32)


class LiteRTModel:
    """A .tflite file with one input and one output, ready to run.

    Args:
        model: Path of the file, or its content.
        num_threads: Threads of the CPU kernels.
        input_shape: Shape to open the input with, for a file that leaves sizes
            of it open; by default the file's own.

    Raises:
        ValueError: If the file is missing or is no model that LiteRT can run.
    """

    def __init__(
        self,
        model: str | os.PathLike | bytes,
        num_threads: int = 1,
        input_shape: tuple[int, ...] | None = None,
    ):
        from ai_edge_litert.interpreter import Interpreter

        source = (
            {"model_content": model}
            if isinstance(model, bytes)
            else {"model_path": os.fspath(model)}
        )
        name = f"{len(model)} bytes" if isinstance(model, bytes) else os.fspath(model)
        try:
            self._interpreter = Interpreter(**source, num_threads=num_threads)
            if input_shape is not None:
                self._resize(input_shape)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"LiteRT cannot open the model. Received: {name} ({error})") from error
        inputs = self._interpreter.get_input_details()
        outputs = self._interpreter.get_output_details()
        if len(inputs) != 1 or len(outputs) != 1:
            raise ValueError(
                "The model must have one input and one output. "
                f"Received: {len(inputs)} inputs and {len(outputs)} outputs in {name}"
            )
        self._input_index = inputs[0]["index"]
        self._output_index = outputs[0]["index"]
        self.input = _tensor_info(inputs[0])
        self.output = _tensor_info(outputs[0])

    def _resize(self, shape):
        details = self._interpreter.get_input_details()[0]
        if tuple(details["shape"]) != tuple(shape):
            # Strict: sizes that the file fixes stay.
            self._interpreter.resize_tensor_input(details["index"], shape, strict=True)

    def run(self, inputs: np.ndarray) -> np.ndarray:
        """Runs the model on its own input type and returns its own output type.

        Args:
            inputs: Array of `self.input`'s shape and dtype.

        Raises:
            ValueError: If the input does not fit, or a kernel fails.
        """
        try:
            self._interpreter.set_tensor(self._input_index, inputs)
            self._interpreter.invoke()
        except RuntimeError as error:
            raise ValueError(f"The model fails to run. Received: {error}") from error
        return self._interpreter.get_tensor(self._output_index)

    def predict(
        self,
        values: np.ndarray,
        encode: Callable[[np.ndarray, TensorInfo], np.ndarray] | None = None,
    ) -> np.ndarray:
        """Runs any number of samples of real values, in batches of the model's size.

        Args:
            values: Array of shape `(samples, ...)`: what the float model would
                take, or raw pixels where the model takes those; or what
                `encode` takes.
            encode: Makes a batch of `values` the content of the input tensor,
                by default `TensorInfo.quantize`. Only a batch at a time is
                held in the input's type.

        Returns:
            float32 outputs of shape `(samples, ...)`.
        """
        batch = self.input.shape[0]
        outputs = []
        for start in range(0, len(values), batch):
            part = values[start : start + batch]
            padding = batch - len(part)
            if padding:
                part = np.concatenate([part, np.repeat(part[-1:], padding, axis=0)])
            codes = encode(part, self.input) if encode else self.input.quantize(part)
            outputs.append(self.output.dequantize(self.run(codes))[: batch - padding])
        return np.concatenate(outputs)


def _tensor_info(details) -> TensorInfo:
    scale, zero_point = details["quantization"]
    return TensorInfo(
        name=details["name"],
        shape=tuple(int(size) for size in details["shape"]),
        dtype=np.dtype(details["dtype"]),
        scale=float(scale),
        zero_point=int(zero_point),
    )


def runtime_version() -> str:
    """Version of the LiteRT wheel, to stand beside every figure it gave."""
    import importlib.metadata

    return importlib.metadata.version("ai-edge-litert")
