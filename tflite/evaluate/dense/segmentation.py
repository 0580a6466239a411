"""Segmentation: a class for each pixel, held against known ones by the mean IoU."""

import numpy as np

from care_keras.data.segmentation import VOID
from care_keras.segmentation.drawing import draw_classes
from care_keras.segmentation.mean_iou import SegmentationEvaluation
from care_keras.segmentation.postprocessing import class_map
from tflite.evaluate.accuracy import NO_CLASS
from tflite.evaluate.dense.task import DenseTask, Tally


class Segmentation(DenseTask):
    """See `DenseTask`."""

    name = "segmentation"
    columns = (("mean_iou", "mean IoU"), ("pixel_accuracy", "pixel accuracy"))
    of_class = "IoU"
    counted = "pixels"

    def known(self, source, index):
        return source.mask(index)

    def answer(self, model, outputs, classes, size):
        # Of classes that the data lacks nothing can be right.
        kept = np.flatnonzero(classes != NO_CLASS)
        found = class_map(outputs[0][..., kept], size)
        return classes[kept].astype(np.uint8)[found]

    def tally(self, class_count, models):
        return _Pixels(class_count, models)

    def draw(self, image, scale, answer, names):
        rows, columns = (
            ((np.arange(small) + 0.5) * of / small).astype(int)
            for small, of in zip(image.shape[:2], answer.shape, strict=True)
        )
        return draw_classes(image, answer[np.ix_(rows, columns)], len(names))


class _Pixels(Tally):
    def __init__(self, class_count, models):
        self._evaluations = [SegmentationEvaluation(class_count) for _ in range(models)]
        self._counts = np.zeros(class_count, np.int64)

    def add(self, known, answers):
        counts = np.bincount(known[known != VOID], minlength=len(self._counts))
        self._counts += counts[: len(self._counts)]
        for evaluation, answer in zip(self._evaluations, answers, strict=True):
            evaluation.add(known, answer)

    def evaluations(self, source):
        return self._evaluations

    def class_counts(self):
        return self._counts
