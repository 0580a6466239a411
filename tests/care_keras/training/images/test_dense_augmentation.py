import pytest

from care_keras.console.options import options
from care_keras.training.images.augmentation import Augmentation
from care_keras.training.images.dense_augmentation import DenseAugmentation


def test_its_flags_are_its_own():
    added = options(DenseAugmentation).keys() - options(Augmentation).keys()
    assert added == {"scale_range", "aspect_jitter"}


@pytest.mark.parametrize(
    "changes",
    [
        {"scale_range": (2.0, 1.0)},
        {"scale_range": (0.0, 1.0)},
        {"scale_range": (1.0, 1e9)},
        {"aspect_jitter": -0.1},
        {"aspect_jitter": 1.1},
        {"color_jitter": 1.0},
    ],
)
def test_values_out_of_range(changes):
    (name,) = changes
    with pytest.raises(ValueError, match=f"`{name}` is out of its range. Received: {name}="):
        DenseAugmentation(**changes)
