import json

import numpy as np
import pytest

from care_keras.models import Preprocessing
from tflite.evaluate.accuracy import NO_CLASS, compare, measure_accuracy
from tflite.evaluate.confusion_picture import draw, most_confused
from tflite.evaluate.evaluation import Evaluation
from tflite.evaluate.models import EvaluatedModel
from tflite.evaluate.report import to_dict, to_json
from tflite.evaluate.run import Answers, ModelAnswers
from tflite.evaluate.tables import accuracy_table, class_table, comparison_table
from tflite.inputs.records import ModelInput


def make_evaluation(folder, classes, predictions, labels, seconds=2.0):
    """An evaluation with these answers; its files hold their names."""
    models, answers = [], []
    for index, predicted in enumerate(predictions):
        path = folder / f"model{index}.tflite"
        path.write_text(path.name)
        record = ModelInput("float", Preprocessing(8, 8))
        models.append(
            EvaluatedModel(path.name, path, "tflite", record, "int8", 1, classes, lambda _: None)
        )
        ranks = np.where(predicted == labels, 0, 3)
        nan_images = int(np.sum(predicted == NO_CLASS))
        answers.append(ModelAnswers(predicted, ranks, nan_images, seconds / 2))
    return Evaluation(
        data="photos",
        class_names=tuple(f"class{i}" for i in range(classes)),
        models=tuple(models),
        accuracies=tuple(
            measure_accuracy(one.predicted, one.label_ranks, labels, classes, classes)
            for one in answers
        ),
        comparisons={
            (i, j): compare(predictions[i], predictions[j], labels)
            for i in range(len(models))
            for j in range(i + 1, len(models))
        },
        answers=Answers(labels, answers, ("photos/bad.jpg",), seconds),
    )


@pytest.fixture
def small(tmp_path):
    labels = np.repeat(np.arange(6), 10)
    first, second = labels.copy(), labels.copy()
    first[[0, 1, 2, 10]] = [3, 3, 4, 5]
    second[[0, 30, 31, 32, 33]] = [3, 1, 1, 1, NO_CLASS]
    return make_evaluation(tmp_path, 6, [first, second], labels)


def test_the_tables(small):
    assert accuracy_table(small).splitlines()[2:] == [
        "model0.tflite      60  93.33%  84.07% to 97.38%  100.00%        60",
        "model1.tflite      60  91.67%  81.93% to 96.39%  100.00%        60",
    ]
    # Of the 8 images that one of them misses, both miss the first alone.
    # The interval by the formula, worked by hand: -1/62 -+ 1.96 * 0.045574.
    row = comparison_table(small).splitlines()[2].split()
    assert row[2:] == ["88.33%", "4", "3", "-1.67", "-10.55", "to", "+7.32"]
    rows = [line.split() for line in class_table(small).splitlines()[2:]]
    assert rows[0] == ["class0", "10", "70.00%", "90.00%", "class3", "(2)"]
    assert rows[3] == ["class3", "10", "100.00%", "60.00%", "-"]
    assert len(rows) == 6


def test_of_many_classes_the_worst_are_shown(tmp_path):
    labels = np.repeat(np.arange(1000), 2)
    labels[:3] = 0  # The class 0 has three images, the class 1 one.
    predicted = labels.copy()
    predicted[[0, 1, 2]] = 7
    predicted[[3, 500]] = 8
    table = class_table(make_evaluation(tmp_path, 1000, [predicted], labels)).splitlines()
    assert len(table) == 12 and table[0].startswith("the 10 worst of 1,000 classes")
    # Of equally bad ones those with more images first.
    assert [line.split()[0] for line in table[2:5]] == ["class0", "class1", "class250"]
    assert table[2].endswith("0.00%  class7 (3)")


def test_classes_without_images_are_no_matter(tmp_path):
    labels = np.array([1, 1, 2])
    evaluation = make_evaluation(tmp_path, 4, [labels], labels)
    assert [line.split()[0] for line in class_table(evaluation).splitlines()[2:]] == [
        "class1",
        "class2",
    ]
    absent = to_dict(evaluation, {})["models"][0]["classes"][0]
    assert absent["images"] == 0 and absent["accuracy"] is None


def test_the_json(small):
    content = json.loads(to_json(to_dict(small, {"workers": 3})))
    assert content["settings"] == {"workers": 3} and content["images"] == 60
    assert content["unreadable_images"] == ["photos/bad.jpg"]
    assert content["images_per_second"] == 30.0
    assert {"ai-edge-litert", "numpy", "pillow", "python"} == set(content["versions"])
    assert content["machine"]["architecture"] and content["date"].endswith("+00:00")
    first, second = content["models"]
    assert first["top1"] == 56 / 60 and first["top1_images"] == 56
    low, high = first["top1_interval_95"]
    assert low < first["top1"] < high
    assert first["size_bytes"] == len("model0.tflite") and len(first["sha256"]) == 64
    assert first["input"]["dtype"] == "int8" and first["input"]["height"] == 8
    assert np.array_equal(first["confusion"], small.accuracies[0].confusion)
    assert second["nan_images"] == second["images_without_class"] == 1
    assert second["classes"][3] == {
        "name": "class3",
        "images": 10,
        "correct": 6,
        "accuracy": 0.6,
        "interval_95": second["classes"][3]["interval_95"],
    }
    (pair,) = content["comparisons"]
    assert (pair["first"], pair["second"]) == ("model0.tflite", "model1.tflite")
    assert pair["agreement_images"] == 53 and pair["both_right"] == 52
    assert (pair["first_only_right"], pair["second_only_right"]) == (4, 3)


def test_json_of_a_thousand_classes_is_no_million_lines(tmp_path):
    labels = np.arange(1000)
    content = to_dict(make_evaluation(tmp_path, 1000, [labels], labels), {})
    text = to_json(content)
    assert json.loads(text) == json.loads(json.dumps(content))
    assert len(text.splitlines()) < 10_000


@pytest.mark.parametrize(
    "value", [{}, [], [[]], {"a": {}}, [1, 2], "x", None, {"a": [{"b": [1, [2]]}], "c": "ä\n"}]
)
def test_json_is_what_it_was(value):
    assert json.loads(to_json(value)) == value


@pytest.mark.parametrize("classes", [6, 60])
def test_the_picture(tmp_path, classes):
    pytest.importorskip("matplotlib")
    from PIL import Image

    labels = np.arange(classes)
    right = make_evaluation(tmp_path, classes, [labels, labels], labels)
    wrong = make_evaluation(tmp_path, classes, [labels[::-1], labels], labels)
    panels = []
    for name, evaluation in (("right", right), ("wrong", wrong)):
        draw(evaluation, tmp_path / f"{name}.png", "a note")
        with Image.open(tmp_path / f"{name}.png") as image:
            panels.append(np.asarray(image.convert("L")))
    first, second = np.array_split(panels[0] != panels[1], 2, axis=1)
    # The first model's panel differs, and the second's does not.
    assert first.sum() > 100 and second.sum() == 0


def test_the_picture_of_many_classes_names_the_most_confused(tmp_path):
    pytest.importorskip("matplotlib")
    labels = np.arange(1000)
    evaluation = make_evaluation(tmp_path, 1000, [np.where(labels == 7, 900, labels)], labels)
    draw(evaluation, tmp_path / "many.svg", "a note")
    svg = (tmp_path / "many.svg").read_text()
    assert "class900" in svg and "class950" not in svg
    assert "30 of 1,000 classes" in svg and "1 of 1 mistakes" in svg


def test_of_many_classes_those_are_drawn_that_are_taken_for_one_another():
    confusion = np.diag(np.full(1000, 40))
    confusion[7, 900], confusion[41, 7], confusion[500, 501] = 9, 8, 3
    shown = most_confused([confusion, np.diag(np.full(1000, 50))]).tolist()
    assert len(shown) == 30 and {7, 41, 500, 501, 900} < set(shown)
    assert most_confused([confusion[:60, :60]]).tolist() == list(range(60))
