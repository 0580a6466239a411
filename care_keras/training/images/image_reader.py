"""Images of a source by index, decoded when asked for, and kept where all of them fit."""

from collections.abc import Callable

import numpy as np

from care_keras.data.sources import Source

# Images whose size is looked at to guess the size of all.
_SAMPLE = 16


class ImageReader:
    """Decodes and prepares images of a source; threads may share it.

    Args:
        source: The images.
        prepare: `prepare(image)`: what is done with a decoded image, the same
            each time: uint8 arrays in and out.
        cache_bytes: Prepared images are kept in memory after the first read if
            all of them together are expected to take no more than this.
    """

    def __init__(
        self, source: Source, prepare: Callable[[np.ndarray], np.ndarray], cache_bytes: int
    ):
        self.source = source
        self._prepare = prepare
        self._kept = None
        if cache_bytes > 0:
            sizes = [prepare(image).nbytes for image in self._some()]
            if sizes and np.mean(sizes) * len(source) <= cache_bytes:
                self._kept = [None] * len(source)

    @property
    def caches(self) -> bool:
        """Whether images are kept."""
        return self._kept is not None

    def _some(self):
        indices = np.linspace(0, len(self.source) - 1, _SAMPLE).astype(int)
        for index in np.unique(indices):
            try:
                yield self.source[int(index)]
            except ValueError:
                # Reported when it is asked for, with the step that needs it.
                continue

    def __getitem__(self, index: int) -> np.ndarray:
        if self._kept is None:
            return self._prepare(self.source[index])
        image = self._kept[index]
        if image is None:
            # A copy: a crop of a decoded photo would keep the whole of it in memory.
            image = self._kept[index] = self._prepare(self.source[index]).copy()
        return image
