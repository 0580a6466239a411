import keras
import numpy as np
import pytest

from care_keras.data.segmentation import VOID, open_segmentation
from care_keras.segmentation.mean_iou import SegmentationEvaluation, confusion_matrix


def predictions(source, share, seed):
    """The labels with a share of 8x8 blocks replaced by another class, and a guess at no class."""
    generator = np.random.default_rng(seed)
    for index in range(len(source)):
        mask = source.mask(index)
        wrong = np.kron(generator.random((45, 60)) < share, np.ones((8, 8))).astype(bool)
        guess = np.where(mask == VOID, 3, mask)
        yield mask, np.where(wrong, generator.integers(0, len(source.class_names)), guess)


@pytest.fixture(scope="module")
def source(dense_folder):
    return open_segmentation(str(dense_folder / "camvid"), "val").take(range(0, 101, 7))


def evaluated(source, share, seed=0):
    evaluation = SegmentationEvaluation(len(source.class_names))
    for mask, predicted in predictions(source, share, seed):
        evaluation.add(mask, predicted)
    return evaluation


def test_figures_are_those_of_keras(source):
    classes = len(source.class_names)
    mean = keras.metrics.MeanIoU(classes, ignore_class=VOID)
    each = [
        keras.metrics.IoU(classes, [label], ignore_class=VOID, sparse_y_pred=True)
        for label in range(classes)
    ]
    right, said = 0, 0
    evaluation = SegmentationEvaluation(classes)
    for mask, predicted in predictions(source, 0.3, 0):
        evaluation.add(mask, predicted)
        for metric in (mean, *each):
            metric.update_state(mask.astype(np.int32), predicted.astype(np.int32))
        right += np.sum((mask == predicted) & (mask != VOID))
        said += np.sum(mask != VOID)
    figures = evaluation.figures()
    assert figures.mean_iou == pytest.approx(float(mean.result()), abs=1e-6)
    assert figures.per_class == pytest.approx([float(one.result()) for one in each], abs=1e-6)
    assert figures.pixel_accuracy == pytest.approx(right / said, abs=1e-12)
    assert figures.images == evaluation.images == 15
    assert evaluation.confusion.sum() == said


def test_classes_that_do_not_occur_count_as_keras_counts_them():
    """Neither labelled nor predicted: left out; predicted alone: 0."""
    labels = np.array([[0, 0, 1, VOID]], np.uint8)
    predicted = np.array([[0, 2, 1, 3]])
    evaluation = SegmentationEvaluation(5)
    evaluation.add(labels, predicted)
    figures = evaluation.figures()
    assert figures.per_class == (0.5, 1.0, 0.0, None, None)
    metric = keras.metrics.MeanIoU(5, ignore_class=VOID)
    metric.update_state(labels.astype(np.int32), predicted)
    assert figures.mean_iou == pytest.approx(float(metric.result())) == 0.5
    assert figures.pixel_accuracy == pytest.approx(2 / 3)


def test_without_any_class():
    for evaluation in (SegmentationEvaluation(2), SegmentationEvaluation(2)):
        assert evaluation.figures().mean_iou is None
        evaluation.add(np.full((2, 2), VOID, np.uint8), np.zeros((2, 2), int))
        figures = evaluation.figures()
        assert (figures.mean_iou, figures.pixel_accuracy) == (None, None)
        assert figures.per_class == (None, None) and evaluation.interval(20) is None


def test_intervals_are_of_images(source):
    """Resampled by hand: the images' predictions counted as often as they are drawn."""
    evaluation = evaluated(source, 0.3)
    low, high = evaluation.interval(resamples=200, seed=4)
    pairs = list(predictions(source, 0.3, 0))
    generator = np.random.default_rng(4)
    by_hand = []
    for _ in range(200):
        counts = generator.multinomial(15, np.full(15, 1 / 15))
        matrix = sum(
            count * confusion_matrix(*pair, 11) for count, pair in zip(counts, pairs, strict=True)
        )
        union = matrix.sum(0) + matrix.sum(1) - np.diag(matrix)
        by_hand.append(np.mean(np.diag(matrix)[union > 0] / union[union > 0]))
    mean_iou = evaluation.figures().mean_iou
    expected = 2 * mean_iou - np.quantile(by_hand, [0.975, 0.025])
    assert (low, high) == pytest.approx(expected, abs=1e-12)
    assert low < mean_iou < high


def test_paired_differences(source):
    good, better = evaluated(source, 0.3), evaluated(source, 0.28)
    difference = better.figures().mean_iou - good.figures().mean_iou
    low, high = good.difference_interval(better, 300)
    assert low < difference < high
    whole = good.interval(300)
    assert high - low < 0.8 * (whole[1] - whole[0])
    assert good.difference_interval(good, 20) == (0.0, 0.0)
    other = evaluated(source.take(range(14)), 0.3)
    with pytest.raises(ValueError, match=r"same images .* Received: 15 and 14 images$"):
        good.difference_interval(other)


@pytest.mark.parametrize(
    ("labels", "predicted", "message"),
    [
        ([[0, 1]], [[0]], r"its label's size\. Received: \(1, 1\) for \(1, 2\)$"),
        ([[0, 1]], [[0, 4]], r"The predictions must be classes from 0 to 2\. Received: 0 to 4$"),
        ([[0, 1]], [[-1, 0]], r"The predictions .* Received: -1 to 0$"),
        ([[3, VOID]], [[0, 9]], r"The labels must be .* Received: 3 to 3$"),
    ],
)
def test_what_is_no_map_of_classes(labels, predicted, message):
    with pytest.raises(ValueError, match=message):
        SegmentationEvaluation(3).add(np.array(labels, np.uint8), np.array(predicted))
