"""A .tflite file that is run on any number of examples, as many at a time as it takes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from care_keras.litert.file import whole_batches
from care_keras.litert.tensor import TensorInfo
from care_keras.tflite_file import Graph
from tflite.child.litert_file import LiteRTFileApart

# What the inputs take for one batch, by name, and how many examples of its own it has.
Batch = tuple[dict[str, np.ndarray], int]


class ExampleFile(LiteRTFileApart):
    """A file whose inputs take an example each in every row of a batch.

    Args:
        graph: The file.
        batch: Examples per inference.
        num_threads: Threads of the CPU kernels.
        input_shapes: Shapes to open inputs with that leave sizes open, by the tensor's index.
        **options: Those of `LiteRTFileApart`.

    Attributes:
        batch: See above.

    Raises:
        ValueError: If LiteRT cannot open it.
    """

    def __init__(
        self,
        graph: Graph,
        batch: int = 1,
        num_threads: int = 1,
        input_shapes: Mapping[int, Sequence[int]] | None = None,
        **options,
    ):
        super().__init__(graph, num_threads, input_shapes, **options)
        self.batch = batch

    def batches_of(self, examples: Mapping[str, np.ndarray]) -> Iterator[Batch]:
        """What `run` takes for any number of examples, the last batch filled up.

        Args:
            examples: In the inputs' own types, `(examples, ...)` by name; a row is what one
                example of a batch takes, or the whole input where it has no such axis.
        """
        parts = {name: whole_batches(array, self.batch) for name, array in examples.items()}
        for batch in zip(*parts.values(), strict=True):
            count = batch[0][1]
            named = zip(parts, (array for array, _ in batch), strict=True)
            yield (
                {
                    name: array if array.shape == self.inputs[name].shape else array[0]
                    for name, array in named
                },
                count,
            )

    def run_batches(self, batches: Iterable[Batch]) -> dict[str, np.ndarray]:
        """All outputs in their own types, `(examples, ...)` by name.

        Raises:
            ValueError: If the file does not run on one.
        """
        parts: dict[str, list] = {name: [] for name in self.outputs}
        for inputs, count in batches:
            for name, output in self.run(inputs).items():
                parts[name].append(rows_of(output, self.batch, self.outputs[name])[:count])
        return {name: np.concatenate(part) for name, part in parts.items()}


def rows_of(output: np.ndarray, batch: int, tensor: TensorInfo) -> np.ndarray:
    """An output with the examples of a batch on its first axis.

    Raises:
        ValueError: If it is one of a whole batch.
    """
    if output.shape[:1] == (batch,):
        return output
    if batch > 1:
        raise ValueError(
            "An output must have a row for each image of a batch. "
            f"Received: {tensor.name} of {output.shape} for a batch of {batch}"
        )
    return output[None]
