"""Photos to compare models on."""

from collections.abc import Iterable

from care_keras.data.sources import open_source
from tflite.compare.feeds import ImageFeed
from tflite.compare.opened import Pair


def photos(pair: Pair, places: Iterable[int]) -> ImageFeed:
    """Those of the bundled test images, prepared for both."""
    return ImageFeed(pair, open_source("bundled:test").take(list(places)))
