import numpy as np
import pytest

from tflite.evaluate.accuracy import NO_CLASS
from tflite.evaluate.classes import match_classes

NAMES = ("cat", "dog", "frog")


@pytest.mark.parametrize("labels", [None, NAMES])
def test_the_same_classes(labels):
    assert match_classes("m", 3, labels, NAMES).tolist() == [0, 1, 2]


def test_another_order_is_matched_by_name():
    assert match_classes("m", 3, ("frog", "cat", "dog"), NAMES).tolist() == [2, 0, 1]


def test_by_index_names_do_not_matter():
    assert match_classes("m", 3, ("x", "y", "z"), NAMES, "index").tolist() == [0, 1, 2]


def test_a_class_more_than_the_data_has():
    labels = ("background", "frog", "cat", "dog")
    with pytest.raises(ValueError, match="--label_match=subset.*without 'background' of the 4"):
        match_classes("m", 4, labels, NAMES)
    found = match_classes("m", 4, labels, NAMES, "subset")
    assert np.array_equal(found, [NO_CLASS, 2, 0, 1])


@pytest.mark.parametrize("match", ["exact", "subset"])
def test_a_class_that_the_model_does_not_know(match):
    with pytest.raises(ValueError, match="--label_match=index.*3 labels of m without 'cat'"):
        match_classes("m", 3, ("dog", "frog", "newt"), NAMES, match)


def test_wrong_numbers_of_labels():
    with pytest.raises(ValueError, match="Received: 2 labels for the 3 outputs of m"):
        match_classes("m", 3, ("cat", "dog"), NAMES)
    with pytest.raises(ValueError, match="Received: 4 outputs of m for 3 classes"):
        match_classes("m", 4, None, NAMES)
    with pytest.raises(ValueError, match="Received: 4 outputs of m for 3 classes"):
        match_classes("m", 4, ("a", "b", "c", "d"), NAMES, "index")


def test_names_that_stand_twice():
    crane = ("crane", "crane", "dog")
    assert match_classes("m", 3, crane, crane).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="'crane' twice in the labels of m"):
        match_classes("m", 3, crane, NAMES)
    with pytest.raises(ValueError, match="'crane' twice in the classes of the data"):
        match_classes("m", 3, NAMES, crane)


def test_long_lists_are_cut():
    names = tuple(f"n{i}" for i in range(1000))
    with pytest.raises(ValueError, match="'n0', 'n1', 'n2' and 997 more$"):
        match_classes("m", 1000, tuple(f"m{i}" for i in range(1000)), names)
