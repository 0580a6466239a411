"""How right boxes are: COCO's average precision, by pycocotools, with intervals over images.

pycocotools matches boxes and objects; resampled images are accumulated anew from
what it found for each image, without matching again.
"""

import contextlib
import dataclasses
import io
import math
from collections.abc import Sequence

import numpy as np

from care_keras.console.optional import require
from care_keras.data.detection import DetectionSource
from care_keras.metrics import bootstrap_interval

# Boxes of one image as they were found: boxes, scores, labels.
Detections = tuple[np.ndarray, np.ndarray, np.ndarray]

# Places of pycocotools' IoU thresholds, 0.5 to 0.95.
_THRESHOLDS = {"ap": slice(None), "ap50": slice(0, 1), "ap75": slice(5, 6)}
_RECALLS = np.linspace(0.0, 1.0, 101)
_EPSILON = np.spacing(1)


@dataclasses.dataclass(frozen=True)
class AveragePrecision:
    """COCO's figures, shares from 0 to 1; `None` where there are no such objects.

    Attributes:
        ap: Mean over IoU thresholds from 0.5 to 0.95 and over classes.
        ap50: At an IoU of 0.5.
        ap75: At an IoU of 0.75.
        ap_small: Of objects of less than 32x32 pixels.
        ap_medium: Of up to 96x96.
        ap_large: Of more.
        ar100: Mean recall of the best 100 boxes of an image.
        per_class: `ap` of each class.
        images: How many images they are of.
    """

    ap: float | None
    ap50: float | None
    ap75: float | None
    ap_small: float | None
    ap_medium: float | None
    ap_large: float | None
    ar100: float | None
    per_class: tuple[float | None, ...]
    images: int


class DetectionEvaluation:
    """What was found in images, held against what is there.

    Args:
        source: The images.
        detections: For each image `(boxes, scores, labels)`: float `(n, 4)` as ymin,
            xmin, ymax, xmax in pixels of the image, float `(n,)` and integers `(n,)`.

    Attributes:
        figures: Of all images.

    Raises:
        ValueError: If the detections do not fit, or an image's objects cannot be read.
        MissingDependencyError: If pycocotools is not installed.
    """

    def __init__(self, source: DetectionSource, detections: Sequence[Detections]):
        require("pycocotools", "detection")
        if len(source) != len(detections):
            raise ValueError(
                "There must be detections for each image, if none. "
                f"Received: {len(detections)} for {len(source)} images"
            )
        self._images = len(source)
        evaluator = _evaluated(source, detections)
        self.figures = _figures(evaluator, self._images)
        classes = range(len(source.class_names))
        order = _order(source)
        self._classes = [_OfClass.of(evaluator, label, order) for label in classes]

    def figure(self, name: str = "ap", drawn: np.ndarray | None = None) -> float:
        """AP of images that were drawn so many times each; NaN without objects.

        Args:
            name: `"ap"`, `"ap50"` or `"ap75"`.
            drawn: int `(images,)`; each image once if `None`.
        """
        drawn = np.ones(self._images, np.int64) if drawn is None else drawn
        found = [one.precision(_THRESHOLDS[name], drawn) for one in self._classes]
        known = [one for one in found if not math.isnan(one)]
        return float(np.mean(known)) if known else math.nan

    def interval(
        self, name: str = "ap", resamples: int = 1000, seed: int = 0
    ) -> tuple[float, float] | None:
        """95 % interval of a figure over images; see `bootstrap_interval`."""
        return bootstrap_interval(
            lambda drawn: self.figure(name, drawn), self._images, resamples, seed, (0.0, 1.0)
        )

    def difference_interval(
        self, other: "DetectionEvaluation", name: str = "ap", resamples: int = 1000, seed: int = 0
    ) -> tuple[float, float] | None:
        """95 % interval of the other's figure less this one's, on the same images.

        Raises:
            ValueError: If they are of different images, as far as the objects tell.
        """
        pairs = zip(self._classes, other._classes, strict=False)
        same = self._images == other._images and len(self._classes) == len(other._classes)
        if not same or not all(np.array_equal(one.objects, two.objects) for one, two in pairs):
            raise ValueError(
                "A paired difference needs the same images in the same order. "
                f"Received: {self._images} and {other._images} images"
            )
        return bootstrap_interval(
            lambda drawn: other.figure(name, drawn) - self.figure(name, drawn),
            self._images,
            resamples,
            seed,
        )


@dataclasses.dataclass(frozen=True)
class _OfClass:
    """The boxes of one class, the best first.

    Attributes:
        objects: int64 `(images,)`: how many objects each image has.
        image: int64 `(boxes,)`: of which image each box is.
        right: bool `(thresholds, boxes)`: whether it found an object.
        wrong: Likewise, whether it counts as wrong. Of a crowd it is neither.
    """

    objects: np.ndarray
    image: np.ndarray
    right: np.ndarray
    wrong: np.ndarray

    @classmethod
    def of(cls, evaluator, label, order) -> "_OfClass":
        images, areas = len(order), len(evaluator.params.areaRng)
        thresholds = len(evaluator.params.iouThrs)
        # Classes, then ranges of area, of which the first is all, then images.
        start = label * areas * images
        of_images = evaluator.evalImgs[start : start + images]
        objects = np.zeros(images, np.int64)
        scores, image = [np.zeros(0)], [np.zeros(0, np.int64)]
        matched, ignored = ([np.zeros((thresholds, 0), bool)] for _ in range(2))
        for place, one in zip(order, of_images, strict=True):
            if one is None:
                continue
            objects[place] = np.count_nonzero(np.asarray(one["gtIgnore"]) == 0)
            scores.append(np.asarray(one["dtScores"], float))
            image.append(np.full(len(one["dtScores"]), place))
            matched.append(one["dtMatches"] > 0)
            ignored.append(one["dtIgnore"].astype(bool))
        order = np.argsort(-np.concatenate(scores), kind="stable")
        matched, ignored = (np.concatenate(part, axis=1)[:, order] for part in (matched, ignored))
        return cls(objects, np.concatenate(image)[order], matched & ~ignored, ~matched & ~ignored)

    def precision(self, thresholds, drawn):
        """Mean of the precision at 101 recalls and the thresholds; NaN without objects."""
        total = int(self.objects @ drawn)
        if not total:
            return math.nan
        weights = drawn[self.image]
        right, wrong = (
            np.cumsum(part[thresholds] * weights, axis=1, dtype=float)
            for part in (self.right, self.wrong)
        )
        precision = right / (wrong + right + _EPSILON)
        # The best at this recall or any greater one.
        precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        # A recall that is not reached has a precision of 0.
        precision = np.concatenate([precision, np.zeros((len(precision), 1))], axis=1)
        recall = right / total
        return float(
            np.mean(
                [
                    of_threshold[np.searchsorted(reached, _RECALLS)]
                    for of_threshold, reached in zip(precision, recall, strict=True)
                ]
            )
        )


def _evaluated(source, detections):
    """The evaluator after its matching; its numbers of classes and images are their places."""
    from pycocotools.cocoeval import COCOeval

    objects, boxes = [], []
    for place, image in enumerate(_order(source)):
        there = source.objects(image)
        columns = (there.boxes, there.labels, there.areas, there.crowd)
        for box, label, area, crowd in zip(*columns, strict=True):
            objects.append(_annotation(place, box, label, area=float(area), iscrowd=int(crowd)))
        found, scores, labels = _checked(detections[image], source, image)
        for box, label, score in zip(found, labels, scores, strict=True):
            box_area = (box[2] - box[0]) * (box[3] - box[1])
            boxes.append(_annotation(place, box, label, area=box_area, score=score, iscrowd=0))
    evaluator = COCOeval(iouType="bbox")
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator.cocoGt, evaluator.cocoDt = (
            _coco(annotations, source) for annotations in (objects, boxes)
        )
        evaluator.params.imgIds = list(range(len(source)))
        evaluator.params.catIds = list(range(len(source.class_names)))
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator


def _order(source):
    """By the images' own ids, where they are numbers: boxes of equal score are ranked so."""
    ids = source.image_ids
    if not all(isinstance(one, int) for one in ids):
        return range(len(source))
    return sorted(range(len(source)), key=lambda place: ids[place])


def _annotation(image, box, label, **more):
    ymin, xmin, ymax, xmax = (float(edge) for edge in box)
    bbox = [xmin, ymin, xmax - xmin, ymax - ymin]
    return {"image_id": image, "category_id": int(label), "bbox": bbox, **more}


def _checked(detections, source, image):
    """Detections of one image as float64, which pycocotools computes with."""
    boxes, scores, labels = (np.asarray(part) for part in detections)
    count, name = len(scores), source.item_names[image]
    if boxes.shape != (count, 4) or scores.shape != (count,) or labels.shape != (count,):
        raise ValueError(
            "Detections are boxes (n, 4), scores (n,) and labels (n,). "
            f"Received: {boxes.shape}, {scores.shape} and {labels.shape} of {name}"
        )
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise ValueError(f"Boxes and scores must be finite. Received: others of {name}")
    classes = len(source.class_names)
    if count and not (labels.dtype.kind in "iu" and 0 <= labels.min() <= labels.max() < classes):
        raise ValueError(
            f"Labels must be integers from 0 to {classes - 1}. "
            f"Received: {labels.dtype} from {labels.min()} to {labels.max()} of {name}"
        )
    return boxes.astype(np.float64), scores.astype(np.float64), labels


def _coco(annotations, source):
    from pycocotools.coco import COCO

    coco = COCO()
    coco.dataset = {
        "images": [{"id": place} for place in range(len(source))],
        "categories": [{"id": place} for place in range(len(source.class_names))],
        # From 1: to pycocotools a match with number 0 is none.
        "annotations": [{**one, "id": place + 1} for place, one in enumerate(annotations)],
    }
    coco.createIndex()
    return coco


def _figures(evaluator, images):
    # Of summarize(): AP, AP50, AP75, of three sizes, and recalls, of which the third is AR100.
    known = [None if one < 0 else float(one) for one in evaluator.stats]
    # (thresholds, recalls, classes, areas, most boxes), -1 where there are no objects.
    of_classes = evaluator.eval["precision"][:, :, :, 0, -1].mean(axis=(0, 1))
    per_class = tuple(None if one < 0 else float(one) for one in of_classes)
    return AveragePrecision(*known[:6], known[8], per_class, images)
