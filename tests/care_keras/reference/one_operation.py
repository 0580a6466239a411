"""Files of one operation, run by LiteRT and by the integer kernels."""

import dataclasses

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from care_keras.reference.program import compile_graph, run_steps
from care_keras.tflite_file import read_graph
from care_keras.tflite_file.writer import Quantization, Writer


@dataclasses.dataclass(frozen=True)
class Codes:
    """A tensor of codes.

    Attributes:
        array: What it holds.
        scale: Its step, or steps.
        zero_point: Its zero point.
        axis: The axis of the steps.
    """

    array: np.ndarray
    scale: float | np.ndarray | None = None
    zero_point: int = 0
    axis: int = 0

    @property
    def quantization(self):
        if self.scale is None:
            return None
        return Quantization(np.atleast_1d(np.float32(self.scale)), self.zero_point, self.axis)


def options(kind, **fields):
    result = getattr(schema, f"{kind}OptionsT")()
    for name, value in fields.items():
        assert hasattr(result, name), name
        setattr(result, name, value)
    return result


class File:
    """A file in the making."""

    def __init__(self):
        self.writer = Writer("test")
        self.inputs = {}

    def input(self, codes: Codes):
        """A tensor that is given at run time."""
        name = f"input{len(self.inputs)}"
        handle = self.writer.tensor(name, codes.array.shape, codes.array.dtype, codes.quantization)
        self.inputs[name] = (handle, codes.array)
        return handle

    def constant(self, codes: Codes):
        return self.writer.tensor(
            "constant", codes.array.shape, codes.array.dtype, codes.quantization, codes.array
        )

    def integers(self, values):
        return self.writer.constant("integers", np.asarray(values, np.int32))

    def operator(self, name, version, inputs, output: Codes, options=None):
        """`output.array` is only looked at for its shape and type."""
        array = output.array
        handle = self.writer.tensor("output", array.shape, array.dtype, output.quantization)
        return self.writer.operator(name, version, inputs, handle, options)

    def operators(self, name, version, inputs, outputs: list[Codes], options=None):
        """One operator of several outputs."""
        first = self.operator(name, version, inputs, outputs[0], options)
        rest = [
            self.writer.tensor(f"output{i}", x.array.shape, x.array.dtype, x.quantization)
            for i, x in enumerate(outputs[1:], start=1)
        ]
        places = [handle.index for handle in (first, *rest)]
        self.writer._operators[-1].outputs = np.asarray(places, np.int32)
        return [first, *rest]

    def by_litert(self, output) -> np.ndarray:
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_content=self.content(output))
        run = interpreter.get_signature_runner("serving_default")
        return run(**{name: array for name, (_, array) in self.inputs.items()})["output"]

    def by_integers(self, output) -> np.ndarray:
        graph = read_graph(self.content(output))
        given = [array for _, array in self.inputs.values()]
        arrays = dict(zip(graph.main.inputs, given, strict=True))
        run_steps(compile_graph(graph), arrays, keep=False)
        return arrays[graph.main.outputs[0]]

    def content(self, output, *others) -> bytes:
        handles = {name: handle for name, (handle, _) in self.inputs.items()}
        others = {f"output{i}": handle for i, handle in enumerate(others, start=1)}
        return self.writer.finish(handles, {"output": output, **others})


def both(file: File, output) -> tuple[np.ndarray, np.ndarray]:
    """What LiteRT gives and what the integer kernels give."""
    return file.by_litert(output), file.by_integers(output)


def check(file: File, output) -> None:
    """Holds one against the other, to the code."""
    expected, codes = both(file, output)
    assert codes.dtype == expected.dtype and codes.shape == expected.shape
    assert len(np.unique(expected)) > 1
    np.testing.assert_array_equal(codes, expected)


def activation(seed: int) -> int:
    """One of the fused activations, or none."""
    names = ("NONE", "RELU", "RELU6", "RELU_N1_TO_1")
    return getattr(schema.ActivationFunctionType, names[seed % len(names)])


class Draw:
    """Random parameters, the same for a seed."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def scale(self, low=0.005, high=0.2) -> np.float32:
        return np.float32(np.exp(self.rng.uniform(np.log(low), np.log(high))))

    def zero_point(self) -> int:
        return int(self.rng.integers(-128, 128))

    def integer(self, low, high) -> int:
        return int(self.rng.integers(low, high + 1))

    def codes(self, *shape) -> np.ndarray:
        return self.rng.integers(-128, 128, shape, dtype=np.int8)

    def tensor(self, *shape) -> Codes:
        return Codes(self.codes(*shape), self.scale(), self.zero_point())

    def weights(self, shape, axis) -> Codes:
        array = self.rng.integers(-127, 128, shape, dtype=np.int8)
        steps = np.asarray([self.scale(0.001, 0.02) for _ in range(shape[axis])])
        return Codes(array, steps, axis=axis)

    def bias(self, channels) -> Codes:
        """Its steps are not looked at, but XNNPACK wants one for each channel."""
        array = self.rng.integers(-3000, 3000, channels, dtype=np.int32)
        return Codes(array, np.full(channels, 0.001))
