"""What a .tflite file and its Keras model are run on: images, or arrays of any inputs."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Protocol, Self

import numpy as np

from care_keras.data.preprocessing import resize_and_crop
from care_keras.data.sources import Source, drawn_places
from care_keras.litert.file import filled
from tflite.compare.opened import Pair


@dataclasses.dataclass(frozen=True, eq=False)
class Fed:
    """Some examples, as both take them.

    Attributes:
        keras: Of each of the Keras model's inputs, in their order, `(examples, ...)`.
        file: Of each of the file's, in its own type, by name.
    """

    keras: list[np.ndarray]
    file: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.keras[0])

    def filled(self, batch: int) -> "Fed":
        """The same and the last one again, until batches are whole."""
        rows = -(-len(self) // batch) * batch
        return Fed(
            [filled(array, rows) for array in self.keras],
            {name: filled(array, rows) for name, array in self.file.items()},
        )


class Feed(Protocol):
    """Examples for a pair of models.

    Attributes:
        name: Where they come from.
        unit: What one is called, in plural.
        outside: By the Keras model's inputs, the share of the values read so far that the
            file's codes do not reach, where there are such.
    """

    name: str
    unit: str
    outside: dict[str, float]

    def __len__(self) -> int: ...

    def take(self, places: np.ndarray) -> Self:
        """Those at `places`."""

    def sample(self, count: int, seed: int) -> Self:
        """At most so many, drawn without replacement."""

    def read(self, places: range) -> Fed:
        """Those at `places`, prepared for both."""


def chunks(feed: Feed, size: int) -> Iterator[Fed]:
    """All of them, `size` at a time."""
    for start in range(0, len(feed), size):
        yield feed.read(range(start, min(start + size, len(feed))))


class ImageFeed:
    """Images, prepared as each of the two says; other inputs are fed noise, alike.

    Args:
        pair: The models.
        source: The images.
    """

    unit = "images"

    def __init__(self, pair: Pair, source: Source):
        # Noise lies within a file's codes, and so do pixels.
        self.name, self.outside = source.name, {}
        self._pair, self._source = pair, source

    def __len__(self) -> int:
        return len(self._source)

    def take(self, places: np.ndarray) -> "ImageFeed":
        return ImageFeed(self._pair, self._source.take(places))

    def sample(self, count: int, seed: int) -> "ImageFeed":
        return ImageFeed(self._pair, self._source.sample(count, seed))

    def read(self, places: range) -> Fed:
        pixels, record = [], self._pair.file_input.preprocessing
        for place in places:
            try:
                pixels.append(resize_and_crop(self._source[place], record))
            except ValueError as error:
                raise ValueError(
                    f"An image cannot be read. Received: {self._source.item_names[place]} of "
                    f"{self.name} ({error})"
                ) from error
        pixels = np.stack(pixels)
        # The number of the first one decides the noise beside them.
        encoded = self._pair.litert.encode(pixels, places[0])
        images = self._pair.keras_input.values(pixels).astype(np.float32)
        real = [
            images if name == self._pair.litert.image else self._beside(name, encoded[name])
            for name in self._pair.inputs.values()
        ]
        return Fed(self._pair.in_keras_types(real), encoded)

    def _beside(self, name, held):
        """Noise as the numbers that it stands for."""
        info = self._pair.litert.inputs[name]
        return info.dequantize(held) if info.scale else held


class ArrayFeed:
    """Arrays that hold what the Keras model takes; the file is fed the same numbers.

    Args:
        pair: The models.
        arrays: For each input of the Keras model, in its order, `(examples, ...)`.
        name: Where they come from.
    """

    unit = "examples"

    def __init__(self, pair: Pair, arrays: Mapping[str, np.ndarray], name: str):
        self.name = name
        self._pair, self._arrays = pair, arrays
        self._read, self._outside = 0, dict.fromkeys(arrays, 0.0)

    def __len__(self) -> int:
        return len(next(iter(self._arrays.values())))

    @property
    def outside(self) -> dict[str, float]:
        return {name: count / self._read for name, count in self._outside.items() if count}

    def take(self, places: np.ndarray) -> "ArrayFeed":
        arrays = {name: array[places] for name, array in self._arrays.items()}
        return ArrayFeed(self._pair, arrays, self.name)

    def sample(self, count: int, seed: int) -> "ArrayFeed":
        return self.take(drawn_places(len(self), count, seed)) if count < len(self) else self

    def read(self, places: range) -> Fed:
        parts = [array[places.start : places.stop] for array in self._arrays.values()]
        infos = self._pair.litert.inputs
        encoded = {
            name: infos[name].quantize(parts[place]) for place, name in self._pair.inputs.items()
        }
        self._read += len(places)
        for (own, part), name in zip(
            zip(self._arrays, parts, strict=True), self._pair.inputs.values(), strict=True
        ):
            if infos[name].scale:
                lost = np.abs(infos[name].dequantize(encoded[name]) - part)
                # Half a step is lost by rounding.
                self._outside[own] += float((lost > infos[name].scale).mean()) * len(places)
        return Fed(self._pair.in_keras_types(parts), encoded)
