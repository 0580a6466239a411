import pytest

from tflite.compare.pairing import pair_up


def pairs(keras_names, file_names, some=False):
    return pair_up(keras_names, file_names, "outputs", "a.keras", "b.tflite", some)


def test_by_name_whatever_the_order():
    assert pairs(["scores", "box"], ["box", "scores"]) == {0: "scores", 1: "box"}
    assert pairs(["scores", "box"], ["box"], some=True) == {1: "box"}
    with pytest.raises(ValueError, match="outputs scores, box in a.keras, box in b.tflite"):
        pairs(["scores", "box"], ["box"])


def test_by_place():
    assert pairs(["dense"], ["outputs"]) == {0: "outputs"}
    assert pairs(["a", "b"], ["Identity", "Identity_1"]) == {0: "Identity", 1: "Identity_1"}
    # Two outputs of one layer have one name.
    assert pairs(["lstm", "lstm"], ["lstm", "state"]) == {0: "lstm", 1: "state"}
    assert pairs([], []) == {}


def test_by_the_number_that_keras_gives_when_it_exports():
    file_names = [f"output_{i}" for i in (10, 1, 0, 2, 3, 9, 4, 5, 8, 6, 7)]
    found = pairs([f"layer{i}" for i in range(11)], file_names)
    assert found == {i: f"output_{i}" for i in range(11)}


def test_ends_that_do_not_fit():
    message = "do not fit together: outputs a, b in a.keras, c in b.tflite"
    with pytest.raises(ValueError, match=message):
        pairs(["a", "b"], ["c"])
    with pytest.raises(ValueError, match="outputs none in a.keras, c in b.tflite"):
        pairs([], ["c"])
