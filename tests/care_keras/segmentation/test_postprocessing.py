"""Maps of classes out of logits, and their colours."""

import keras
import numpy as np
import pytest

from care_keras.segmentation import postprocessing
from care_keras.segmentation.postprocessing import class_colors, class_map, colored, enlarge

LOGITS = np.random.default_rng(0).normal(size=(7, 9, 4)).astype(np.float32)


@pytest.mark.parametrize("size", [(7, 9), (28, 36), (30, 41), (14, 90)])
def test_enlarged_as_keras_does(size):
    expected = keras.ops.image.resize(LOGITS[None], size, data_format="channels_last")[0]
    expected = keras.ops.convert_to_numpy(expected)
    np.testing.assert_allclose(enlarge(LOGITS, size), expected, atol=1e-5)
    np.testing.assert_array_equal(class_map(LOGITS, size), enlarge(LOGITS, size).argmax(-1))


def test_corners_lie_on_corners():
    """A slope stays one: its ends are those of the logits, with equal steps between them."""
    rows, columns = np.meshgrid(np.arange(5.0), np.arange(7.0), indexing="ij")
    slope = (rows + 10.0 * columns)[..., None]
    found = enlarge(slope, (13, 28), align_corners=True)[..., 0]
    expected = np.linspace(0, 4, 13)[:, None] + 10.0 * np.linspace(0, 6, 28)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_large_map_in_strips(monkeypatch):
    whole = class_map(LOGITS, (41, 50))
    monkeypatch.setattr(postprocessing, "_STRIP_VALUES", 900)
    np.testing.assert_array_equal(class_map(LOGITS, (41, 50)), whole)


def test_codes_give_the_map_of_their_values():
    codes = np.random.default_rng(1).integers(-128, 128, (5, 6, 3)).astype(np.int8)
    np.testing.assert_array_equal(
        class_map(codes, (20, 24)), class_map(0.5 * (codes.astype(np.float32) + 5), (20, 24))
    )


def test_colours_are_vocs():
    colors = class_colors(20)
    # Aeroplane, bicycle, bird and tvmonitor of PASCAL VOC's list.
    assert colors[[0, 1, 2, 19]].tolist() == [[128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 64, 128]]
    assert len({tuple(color) for color in class_colors(150)}) == 150


def test_no_class_is_black():
    colors = class_colors(2)
    picture = colored(np.uint8([[0, 1, 255]]), colors)
    assert picture.tolist() == [[*colors.tolist(), [0, 0, 0]]]
