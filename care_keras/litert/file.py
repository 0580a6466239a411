"""A .tflite file on this machine with LiteRT: the one place that opens an interpreter.

It imports NumPy and the runtime alone: workers use it where there is no more (see
`tflite.child.serve`).
"""

import contextlib
import functools
import os
import types
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from care_keras.litert.tensor import TensorInfo, by_name
from care_keras.shapes import shape_text

_MOST_OF_A_REASON = 500  # characters


def runtime() -> types.ModuleType:
    """The runtime's own module: LiteRT's, or its predecessor's where there is but that."""
    try:
        from ai_edge_litert import interpreter
    except ModuleNotFoundError:
        from tflite_runtime import interpreter
    return interpreter


class LiteRTFile:
    """A .tflite file with any number of inputs and outputs, ready to run.

    Args:
        model: Path of the file, or its content.
        num_threads: Threads of the CPU kernels.
        input_shapes: Shapes to open inputs with that leave sizes open, by name; the shape of a
            lone input; or a function that makes the first of what LiteRT tells of the inputs, by
            name. Others are opened with the file's own.
        xnnpack: Whether XNNPACK runs what it takes, or the runtime's own kernels everything.
        keep_all: Whether the tensors inside can be read, which takes memory. XNNPACK then runs each
            operator by itself instead of many in one piece.
        strict: Whether sizes that the file fixes stay.

    Attributes:
        interpreter: The runtime's own object.

    Raises:
        ValueError: If the file is missing or is no model that LiteRT can run, or a shape is for no
            input.
    """

    def __init__(
        self,
        model: str | os.PathLike | bytes,
        num_threads: int = 1,
        input_shapes: Mapping[str, Sequence[int]] | Sequence[int] | Callable | None = None,
        *,
        xnnpack: bool = True,
        keep_all: bool = False,
        strict: bool = True,
    ):
        is_content = isinstance(model, bytes)
        self._source = f"{len(model)} bytes" if is_content else os.fspath(model)
        source = {"model_content": model} if is_content else {"model_path": self._source}
        lite = runtime()
        resolver = lite.OpResolverType.AUTO
        if not xnnpack:
            resolver = lite.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        with self._telling("LiteRT cannot open the model"), warnings.catch_warnings():
            if keep_all:
                # That it takes memory.
                warnings.simplefilter("ignore", UserWarning)
            self.interpreter = lite.Interpreter(
                **source,
                num_threads=num_threads,
                experimental_op_resolver_type=resolver,
                experimental_preserve_all_tensors=keep_all,
            )
        resized, what = {}, "LiteRT cannot open the model"
        if input_shapes is not None:
            details = self._details("input")
            for name, shape in _shapes(input_shapes, details).items():
                own = tuple(int(size) for size in details[name]["shape"])
                if own != tuple(shape):
                    resized[details[name]["index"]] = shape
                    what += (
                        f", with {shape_text(shape)} for its input {name!r} of {shape_text(own)}"
                    )
        with self._telling(what):
            for index, shape in resized.items():
                self.interpreter.resize_tensor_input(index, shape, strict=strict)
            self.interpreter.allocate_tensors()

    @functools.cached_property
    def inputs(self) -> dict[str, TensorInfo]:
        """By name: that of the file's signature where there is one, else the tensor's."""
        return _infos(self._details("input"))

    @functools.cached_property
    def outputs(self) -> dict[str, TensorInfo]:
        """Likewise, in the file's order."""
        return _infos(self._details("output"))

    def run(self, inputs: np.ndarray | Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs the model on its inputs' own types.

        Args:
            inputs: An array for each input, of its shape and dtype, by name; the array of a lone
                input.

        Returns:
            The outputs in their own types, by name.

        Raises:
            ValueError: If the inputs do not fit, or a kernel fails.
        """
        self.feed(inputs)
        self.invoke()
        return self.results()

    def feed(self, inputs: np.ndarray | Mapping[str, np.ndarray]) -> None:
        """The first part of `run`."""
        if not isinstance(inputs, Mapping):
            inputs = dict.fromkeys(list(self.inputs)[:1], inputs)
        if inputs.keys() != self.inputs.keys():
            raise ValueError(
                f"The model takes an array for each of {', '.join(self.inputs)}. "
                f"Received: {', '.join(inputs)} for {self._source}"
            )
        with self._telling("The model fails to run"):
            for name, values in inputs.items():
                self.interpreter.set_tensor(self.inputs[name].index, values)

    def invoke(self) -> None:
        """The second part of `run`: the inference itself."""
        # Not by `_telling`, which takes a microsecond of what may be timed here.
        try:
            self.interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise self._told("The model fails to run", error) from error

    def results(self) -> dict[str, np.ndarray]:
        """The third part of `run`."""
        # No kernel need write what a file calls its output.
        with self._telling("The model fails to run"):
            return {name: self.tensor(output.index) for name, output in self.outputs.items()}

    def inferences(self, samples: Mapping[int, np.ndarray]) -> Iterator[None]:
        """Runs the model on one sample after the other; after each, `tensor` reads what it gave.

        Args:
            samples: Arrays `(samples, *shape)` for each input, by the tensor's index.

        Raises:
            ValueError: As `run`.
        """
        for number in range(len(next(iter(samples.values())))):
            self.feed({name: samples[one.index][number] for name, one in self.inputs.items()})
            self.invoke()
            yield

    def tensor(self, index: int) -> np.ndarray:
        """What a tensor of the main graph holds; of those inside only with `keep_all`.

        Raises:
            ValueError: If no kernel has written it.
        """
        return self.interpreter.get_tensor(index)

    def _details(self, end: str) -> dict[str, dict]:
        """LiteRT's details of the inputs or outputs, by name."""
        # Names may be no UTF-8.
        with self._telling("LiteRT cannot read the names in the model"):
            details = getattr(self.interpreter, f"get_{end}_details")()
            # Of what is public none tells which graph of the file a signature is of.
            native = self.interpreter._interpreter
            signatures = [
                signature[f"{end}s"]
                for key, signature in native.GetSignatureDefs().items()
                if native.GetSubgraphIndexFromSignature(key) == 0
            ]
        by_index = {one["index"]: one for one in details}
        infos = by_name(map(TensorInfo.of_details, details), next(iter(signatures), {}))
        return {name: by_index[info.index] for name, info in infos.items()}

    @contextlib.contextmanager
    def _telling(self, what: str) -> Iterator[None]:
        try:
            yield
        except (ValueError, RuntimeError) as error:
            raise self._told(what, error) from error

    def _told(self, what, error):
        # An operator's name is in it, of any length.
        reason = " ".join(str(error).split())[:_MOST_OF_A_REASON]
        return ValueError(f"{what}. Received: {self._source} ({reason})")


def open_all_tensors(
    model: str | os.PathLike | bytes,
    input_shapes: Mapping[str, Sequence[int]] | Callable | None = None,
) -> LiteRTFile:
    """A file whose tensors inside can all be read, in the runtime's own kernels where it has them.

    XNNPACK knows operators that the runtime has no kernel of, as MediaPipe's
    Convolution2DTransposeBias: a file of these is run by it, each operator by itself.

    Raises:
        ValueError: As `LiteRTFile`.
    """
    options = {"keep_all": True, "strict": False}
    try:
        return LiteRTFile(model, 1, input_shapes, xnnpack=False, **options)
    except ValueError as error:
        try:
            return LiteRTFile(model, 1, input_shapes, **options)
        except ValueError:
            raise error from None


def whole_batches(values: np.ndarray, batch: int) -> Iterator[tuple[np.ndarray, int]]:
    """Any number of samples in batches, the last one filled up; with the number of its own."""
    for start in range(0, len(values), batch):
        part = values[start : start + batch]
        yield filled(part, batch), len(part)


def filled(values: np.ndarray, rows: int) -> np.ndarray:
    """Samples and the last one again, so that there are so many rows."""
    filling = np.repeat(values[-1:], rows - len(values), axis=0)
    return np.concatenate([values, filling]) if len(filling) else values


def _infos(details):
    return {name: TensorInfo.of_details(one) for name, one in details.items()}


def _shapes(given, details):
    """Shapes to open inputs with, by name."""
    if callable(given):
        given = given(details)
    elif not isinstance(given, Mapping):
        if len(details) != 1:
            raise ValueError(
                f"The model has {len(details)} inputs: give shapes by their names. "
                f"Received: {tuple(given)} for {', '.join(details)}"
            )
        given = dict.fromkeys(details, given)
    unknown = [name for name in given if name not in details]
    if unknown:
        raise ValueError(
            f"The model has no such input; it has {', '.join(details)}. "
            f"Received: shapes of {', '.join(unknown)}"
        )
    return given
