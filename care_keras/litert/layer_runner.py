"""Every layer's output as the runtime computes it, and how far two files are apart."""

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

from care_keras.litert.file import LiteRTFile
from care_keras.metrics import absolute_differences, snr_db


class LayerRunner:
    """A file of `emit_tflite(..., all_tensors=True)`, run for all of its tensors.

    Args:
        content: The file.
        num_threads: Threads of the CPU kernels.

    Attributes:
        tensors: All of them by name.
    """

    def __init__(self, content: bytes, num_threads: int = 1):
        self._file = LiteRTFile(content, num_threads)
        self.tensors = self._file.outputs

    def codes(self, inputs: np.ndarray | Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What each tensor holds for a batch of inputs.

        Args:
            inputs: The array of a lone input, in its own type; or real numbers for each input,
                by name.
        """
        if isinstance(inputs, Mapping):
            infos = self._file.inputs
            inputs = {name: infos[name].quantize(values) for name, values in inputs.items()}
        return self._file.run(inputs)

    def values(self, inputs: np.ndarray | Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The same as real numbers."""
        return {
            name: self.tensors[name].dequantize(codes) for name, codes in self.codes(inputs).items()
        }


@dataclasses.dataclass(frozen=True)
class LayerDifference:
    """One layer in two files.

    Attributes:
        name: Of the layer.
        snr_db: Power of the reference over that of the difference.
        max_difference: Largest absolute difference, in real units.
    """

    name: str
    snr_db: float
    max_difference: float


def layer_differences(
    reference: LayerRunner, other: LayerRunner, inputs: np.ndarray | Mapping[str, np.ndarray]
) -> Iterator[LayerDifference]:
    """Compares the layers that both files have, by name, as the runtime lists them.

    Args:
        reference: The float32 file.
        other: The int8 file.
        inputs: uint8 array of shape `(images, height, width, 3)`, for files
            that take raw pixels; or real numbers `(examples, ...)` for each input, by name.
    """
    common = [name for name in other.tensors if name in reference.tensors]
    seen = {name: ([], []) for name in common}
    for one in _one_by_one(inputs):
        first, second = reference.values(one), other.values(one)
        for name in common:
            seen[name][0].append(first[name])
            seen[name][1].append(second[name])
    for name in common:
        first, second = (np.concatenate(part) for part in seen[name])
        largest = float(absolute_differences(first, second).max(initial=0.0))
        yield LayerDifference(name, snr_db(second, first), largest)


def _one_by_one(inputs):
    if not isinstance(inputs, Mapping):
        yield from (image[None] for image in inputs)
        return
    for place in range(len(next(iter(inputs.values())))):
        yield {name: values[place : place + 1] for name, values in inputs.items()}
