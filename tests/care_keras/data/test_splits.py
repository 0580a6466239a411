import pytest

from care_keras.data.splits import NoSuchSplitError, choose_split


@pytest.mark.parametrize(
    ("names", "split", "chosen"),
    [
        (("train", "val", "test"), "val", "val"),
        (("training", "validation"), "train", "training"),
        (("train", "valid"), "validation", "valid"),
        (("train", "valid"), "test", "valid"),
        (("fold1", "fold2"), "fold2", "fold2"),
        # Images that were trained on, or are kept for the end, stand in for nothing.
        (("train", "test"), "val", None),
        (("train",), "test", None),
        (("train", "val"), "fold1", None),
    ],
)
def test_which_split_is_meant(names, split, chosen):
    assert choose_split(names, split) == chosen


def test_a_split_that_is_not_there():
    assert str(NoSuchSplitError(("b", "a"), "c", "x")) == (
        "The folder has the splits a, b. Received: split='c', folder='x'"
    )
