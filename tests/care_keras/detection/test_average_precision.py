"""Against pycocotools fed from the JSON itself."""

import contextlib
import dataclasses
import io
import json

import numpy as np
import pytest

from care_keras.console import optional
from care_keras.data.detection import Objects, open_detection
from care_keras.detection.average_precision import DetectionEvaluation
from tests.care_keras.training.images.made_objects import made_source
from tests.needed import need_package

EMPTY = (np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))


@pytest.fixture(scope="module", autouse=True)
def pycocotools():
    need_package("pycocotools", "detection")


@pytest.fixture(scope="module", params=["bccd", "coco_mini"])
def source(dense_folder, request):
    return open_detection(str(dense_folder / request.param), "val")


def guesses(source, noise=0.1, seed=0):
    """Most objects, not quite where they are, some of another class, and boxes of nothing.

    Scores have two digits, so that many are equal; some images have no guess at all.
    """
    generator = np.random.default_rng(seed)
    found = []
    for index in range(len(source)):
        objects = source.objects(index)
        if index % 20 == 5:
            found.append(EMPTY)
            continue
        kept = generator.random(len(objects)) < 0.8
        sides = np.tile(objects.boxes[:, 2:] - objects.boxes[:, :2], 2)
        boxes = (objects.boxes + noise * generator.standard_normal(sides.shape) * sides)[kept]
        labels = objects.labels[kept]
        other = generator.random(len(labels)) < 0.1
        labels = np.where(
            other, generator.integers(0, len(source.class_names), len(labels)), labels
        )
        corner = generator.uniform(0, 200, (3, 2))
        boxes = np.concatenate([boxes, np.concatenate([corner, corner + 50], axis=1)])
        labels = np.concatenate([labels, generator.integers(0, len(source.class_names), 3)])
        scores = np.round(generator.random(len(labels)), 2)
        found.append((boxes.astype(np.float32), scores.astype(np.float32), labels))
    return found


@pytest.fixture(scope="module")
def evaluation(source):
    return DetectionEvaluation(source, guesses(source))


@pytest.fixture(scope="module")
def reference(source):
    """pycocotools' evaluator of the same guesses, from the JSON and COCO's own ids."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    results = []
    for image, found in zip(source.image_ids, guesses(source), strict=True):
        for box, score, label in zip(*found, strict=True):
            ymin, xmin, ymax, xmax = box.tolist()
            results.append(
                {
                    "image_id": image,
                    "category_id": source.category_ids[label],
                    "bbox": [xmin, ymin, xmax - xmin, ymax - ymin],
                    "score": float(score),
                }
            )
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(source.name)
        evaluator = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator


def test_figures_are_those_of_pycocotools(source, evaluation, reference, capfd):
    figures = DetectionEvaluation(source, guesses(source)).figures
    assert capfd.readouterr().out == ""
    assert figures == evaluation.figures and figures.images == len(source)
    expected = [None if one == -1 else one for one in [*reference.stats[:6], reference.stats[8]]]
    fields = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar100")
    for name, value in zip(fields, expected, strict=True):
        assert getattr(figures, name) == (value and pytest.approx(value, abs=1e-6)), name
    precision = reference.eval["precision"][:, :, :, 0, 2].mean(axis=(0, 1))
    for own, value in zip(figures.per_class, precision, strict=True):
        assert own == (None if value == -1 else pytest.approx(value, abs=1e-6))
    assert 0.1 < figures.ap < 0.9 and figures.ap50 > figures.ap75


def test_each_image_once_is_the_figure(source, evaluation, reference):
    for name, place in (("ap", 0), ("ap50", 1), ("ap75", 2)):
        assert evaluation.figure(name) == pytest.approx(
            getattr(evaluation.figures, name), abs=1e-12
        )
        assert evaluation.figure(name) == pytest.approx(reference.stats[place], abs=1e-6)


def test_drawn_images_are_what_pycocotools_makes_of_copies(source):
    """Scores are all different here: of equal ones the order of the images decides."""
    found = [
        (boxes, scores + np.linspace(0, 0.009, len(scores)) + index * 1e-5, labels)
        for index, (boxes, scores, labels) in enumerate(guesses(source, seed=3))
    ]
    evaluation = DetectionEvaluation(source, found)
    generator = np.random.default_rng(0)
    for _ in range(3):
        chosen = np.sort(generator.integers(0, len(source), len(source)))
        drawn = np.bincount(chosen, minlength=len(source))
        copies = dataclasses.replace(source.take(chosen), image_ids=tuple(range(len(chosen))))
        again = DetectionEvaluation(copies, [found[index] for index in chosen])
        for name in ("ap", "ap50", "ap75"):
            expected = getattr(again.figures, name)
            assert evaluation.figure(name, drawn) == pytest.approx(expected, abs=1e-12)


def test_intervals(source, evaluation):
    low, high = evaluation.interval(resamples=60)
    # Where classes are rare it lies below the figure, which is then too high.
    assert 0 < low < min(high, evaluation.figures.ap) and high < evaluation.figures.ap + 0.1
    assert evaluation.interval(resamples=60) == (low, high)
    better = DetectionEvaluation(source, guesses(source, noise=0.07))
    difference = better.figures.ap - evaluation.figures.ap
    paired = evaluation.difference_interval(better, resamples=60)
    assert 0 < paired[0] < difference < paired[1]
    assert paired[1] - paired[0] < 0.8 * (high - low)
    assert evaluation.difference_interval(evaluation, resamples=5) == (0.0, 0.0)
    fewer = DetectionEvaluation(source.take(range(50)), guesses(source)[:50])
    with pytest.raises(ValueError, match=rf"same images .* Received: {len(source)} and 50 images$"):
        evaluation.difference_interval(fewer)


def test_order_of_the_images_makes_no_difference(source, evaluation):
    order = np.random.default_rng(0).permutation(len(source))
    found = guesses(source)
    turned = DetectionEvaluation(source.take(order), [found[index] for index in order])
    assert turned.figures == evaluation.figures
    drawn = np.random.default_rng(1).integers(0, 3, len(source))
    assert turned.figure("ap", drawn[order]) == evaluation.figure("ap", drawn)


def test_what_is_right_and_nothing_is(source):
    objects = [source.objects(index) for index in range(len(source))]
    exact = [(one.boxes, np.ones(len(one)), one.labels) for one in objects]
    real = [
        tuple(part[~one.crowd] for part in three) for one, three in zip(objects, exact, strict=True)
    ]
    assert DetectionEvaluation(source, real).figures.ap == pytest.approx(1.0)
    nothing = DetectionEvaluation(source, [EMPTY] * len(source))
    assert nothing.figures.ap == nothing.figures.ar100 == nothing.figure() == 0.0
    assert nothing.interval(resamples=5) == (0.0, 0.0)


def test_images_without_objects():
    objects = Objects(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0, bool), np.zeros(0))
    evaluation = DetectionEvaluation(made_source(objects), [EMPTY] * 4)
    figures = evaluation.figures
    assert (figures.ap, figures.ap_small, figures.ar100) == (None, None, None)
    assert figures.per_class == (None, None) and evaluation.interval(resamples=5) is None


def test_crowds_count_neither_way():
    """A box in a crowd is no fault; one beside it is."""
    boxes = np.array([[0, 0, 10, 10], [20, 0, 40, 80]], np.float32)
    objects = Objects(boxes, np.zeros(2, int), np.array([False, True]), np.array([100.0, 1600]))
    in_crowd = np.array([[20, 0, 30, 9], [0, 0, 10, 10], [0, 30, 9, 39]], np.float32)
    for rows, expected in (([0, 1], 1.0), ([2, 1], 0.5)):
        found = (in_crowd[rows], np.array([0.9, 0.8]), np.zeros(2, int))
        figures = DetectionEvaluation(made_source(objects), [found] * 4).figures
        assert figures.ap == pytest.approx(expected, abs=1e-9)
        assert figures.per_class[1] is None


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ((np.zeros((2, 4)), np.zeros(1), np.zeros(1, int)), r"\(2, 4\), \(1,\) and \(1,\) of w$"),
        (
            (np.full((1, 4), np.nan), np.zeros(1), np.zeros(1, int)),
            "finite. Received: others of w$",
        ),
        (
            (np.zeros((1, 4)), np.zeros(1), np.full(1, 2)),
            r"0 to 1\. Received: int64 from 2 to 2 of w",
        ),
        (
            (np.zeros((1, 4)), np.zeros(1), np.zeros(1)),
            r"Received: float64 from 0\.0 to 0\.0 of w$",
        ),
    ],
)
def test_what_are_no_detections(found, message):
    objects = Objects(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0, bool), np.zeros(0))
    with pytest.raises(ValueError, match=message):
        DetectionEvaluation(made_source(objects), [found] * 4)
    with pytest.raises(ValueError, match=r"for each image.* Received: 3 for 4 images$"):
        DetectionEvaluation(made_source(objects), [EMPTY] * 3)


def test_without_pycocotools(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(optional.importlib, "import_module", missing)
    with pytest.raises(optional.MissingDependencyError, match=r"pip install .*\[detection\]'"):
        DetectionEvaluation(None, [])


def test_real_json_has_what_the_tests_are_about(dense_folder):
    content = json.loads((dense_folder / "coco_mini" / "val.json").read_text())
    assert sum(one["iscrowd"] for one in content["annotations"]) > 5
