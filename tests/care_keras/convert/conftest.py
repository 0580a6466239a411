"""Fixtures of the conversion tests: a tiny model and photos of its size."""

import numpy as np
import pytest

from care_keras.data.preprocessing import resize_and_crop
from care_keras.data.sources import open_source
from tests.care_keras.helpers import TINY, tiny_classifier


@pytest.fixture(scope="package")
def preprocessing():
    return TINY.preprocessing


@pytest.fixture(scope="package")
def small_model(preprocessing):
    """Both kinds of mixer, any input size, random weights."""
    return tiny_classifier(classes=10, preprocessing=preprocessing)


@pytest.fixture(scope="package")
def photos(preprocessing):
    """uint8 (64, 16, 24, 3): bundled photos at the small model's size."""
    source = open_source("bundled", "train")
    return np.stack([resize_and_crop(source[i], preprocessing) for i in range(64)])
