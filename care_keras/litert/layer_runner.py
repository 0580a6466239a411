"""Every layer's output as the runtime computes it, and how far two files are apart."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from care_keras.litert.file import LiteRTFile
from care_keras.metrics import snr_db


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

    def codes(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """What each tensor holds for a batch of the input's own type."""
        return self._file.run(images)

    def values(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """The same as real numbers."""
        return {
            name: self.tensors[name].dequantize(codes) for name, codes in self.codes(images).items()
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
    reference: LayerRunner, other: LayerRunner, images: np.ndarray
) -> Iterator[LayerDifference]:
    """Compares the layers that both files have, by name, as the runtime lists them.

    Args:
        reference: The float32 file.
        other: The int8 file.
        images: uint8 array of shape `(images, height, width, 3)`, for files
            that take raw pixels.
    """
    common = [name for name in other.tensors if name in reference.tensors]
    seen = {name: ([], []) for name in common}
    for image in images:
        first, second = reference.values(image[None]), other.values(image[None])
        for name in common:
            seen[name][0].append(first[name])
            seen[name][1].append(second[name])
    for name in common:
        first, second = (np.concatenate(part) for part in seen[name])
        yield LayerDifference(name, snr_db(second, first), float(np.max(np.abs(first - second))))
