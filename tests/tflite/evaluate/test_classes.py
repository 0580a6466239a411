import numpy as np
import pytest

from tflite.evaluate.accuracy import NO_CLASS
from tflite.evaluate.classes import match_classes, read_labels

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
    message = "--labels=FILE .* with --label_match=subset.*Received: 4 outputs of m for 3 classes"
    with pytest.raises(ValueError, match=message):
        match_classes("m", 4, None, NAMES)
    with pytest.raises(ValueError, match="--labels=FILE .* by name. Received: 2 outputs of m for"):
        match_classes("m", 2, None, NAMES)
    with pytest.raises(ValueError, match="number: --label_match=subset.*Received: 4 outputs of m"):
        match_classes("m", 4, (*NAMES, "d"), NAMES, "index")
    # Each way out leads out.
    for match in ("exact", "subset", "index"):
        with pytest.raises(ValueError, match="rename or remove the folders that are no classes"):
            match_classes("m", 2, NAMES[:2], NAMES, match)


def test_labels_of_a_file(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_bytes("\ufeffcat\r\n red fox \r\nfrog\n\n".encode())
    assert read_labels(path) == ("cat", "red fox", "frog")
    for content, message in (
        (b"cat\n\nfrog", r"one a line. Received: .*labels.txt \(line 2 is empty\)"),
        (b"\n", r"\(it is empty\)"),
        (b"\xff\xfe", "no text. Received: "),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            read_labels(path)
    with pytest.raises(ValueError, match="No such file"):
        read_labels(tmp_path / "missing.txt")


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
