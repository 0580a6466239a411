"""Detection: boxes, held against known ones by COCO's average precision."""

import numpy as np

from care_keras.detection.average_precision import DetectionEvaluation
from care_keras.detection.drawing import draw_boxes, draw_detections
from care_keras.detection.postprocessing import detections, on_image
from tflite.evaluate.accuracy import NO_CLASS
from tflite.evaluate.dense.task import DenseTask, Tally


class Detection(DenseTask):
    """See `DenseTask`."""

    name = "detection"
    columns = (
        ("ap", "AP"),
        ("ap50", "AP50"),
        ("ap75", "AP75"),
        ("ap_small", "AP small"),
        ("ap_medium", "medium"),
        ("ap_large", "large"),
        ("ar100", "AR100"),
    )
    of_class = "AP"
    counted = "objects"
    packages = ("pycocotools",)

    def known(self, source, index):
        return source.objects(index)

    def answer(self, model, outputs, classes, size):
        location, score = outputs
        # Untrained boxes may be of any size.
        with np.errstate(over="ignore", invalid="ignore"):
            found = detections(location, score, model.anchors, model.size)
        boxes, scores, labels = found
        labels = classes[labels]
        kept = np.isfinite(boxes).all(axis=1) & np.isfinite(scores) & (labels != NO_CLASS)
        return on_image(boxes[kept], model.size, size), scores[kept], labels[kept]

    def tally(self, class_count, models):
        return _Boxes(class_count, models)

    def draw(self, image, scale, answer, names):
        if isinstance(answer, tuple):
            boxes, scores, labels = answer
            return draw_detections(image, (boxes * scale, scores, labels), names)
        return draw_boxes(image, answer.boxes * scale, answer.labels, names)


class _Boxes(Tally):
    def __init__(self, class_count, models):
        self._found = [[] for _ in range(models)]
        self._counts = np.zeros(class_count, np.int64)

    def add(self, known, answers):
        self._counts += np.bincount(known.labels[~known.crowd], minlength=len(self._counts))
        for found, answer in zip(self._found, answers, strict=True):
            found.append(answer)

    def evaluations(self, source):
        return [DetectionEvaluation(source, found) for found in self._found]

    def class_counts(self):
        return self._counts
