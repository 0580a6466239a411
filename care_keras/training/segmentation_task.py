"""Segmentation as a task: a class for each pixel, judged by the mean IoU."""

import keras
import numpy as np

from care_keras.data.segmentation import VOID, SegmentationSource, open_segmentation
from care_keras.detection.drawing import beside
from care_keras.models import CAREBackbone, SemanticFPN
from care_keras.segmentation.drawing import draw_classes
from care_keras.segmentation.loss import SegmentationLoss, class_weights, pixel_accuracy
from care_keras.segmentation.mean_iou import SegmentationEvaluation
from care_keras.segmentation.postprocessing import class_map
from care_keras.training.config import TrainingConfig
from care_keras.training.dense_task import Judge, in_batches, readable
from care_keras.training.dense_task_maker import DenseTaskMaker, user_errors
from care_keras.training.images.dense_pipeline import SegmentationPipeline


class SegmentationMaker(DenseTaskMaker):
    """Of a `SemanticFPN`."""

    network = SemanticFPN
    pipeline = SegmentationPipeline

    def open(self, config: TrainingConfig, split: str) -> SegmentationSource:
        source = open_segmentation(config.data, split, config.first_class)
        if len(source.class_names) < 2:
            raise ValueError(
                f"There must be two classes or more; {VOID} in a label image is none. "
                f"Received: {source.name} with {source.class_names[0]!r} alone"
            )
        return source

    def build(self, config: TrainingConfig, backbone: CAREBackbone, **described) -> SemanticFPN:
        return SemanticFPN(backbone, head=config.head, **described)

    def trained(self, model, like, config, source) -> dict:
        with user_errors():
            weights = class_weights(_pixels(source)) if config.class_balance else None
        return {
            "model": model,
            "loss": SegmentationLoss(weights),
            "metrics": (keras.metrics.MeanMetricWrapper(pixel_accuracy, name="pixel_accuracy"),),
            "judge": SegmentationJudge(),
        }


def _pixels(source):
    """int64 `(classes,)`: how many pixels of each class the images have."""
    counts = np.zeros(256, np.int64)
    for index in range(len(source)):
        counts += np.bincount(readable(source.mask, index).ravel(), minlength=256)
    return counts[: len(source.class_names)]


class SegmentationJudge(Judge):
    """Mean IoU at the size of the labels."""

    figure = "mean_iou"

    def figures(self, source, outputs) -> dict[str, float]:
        evaluation = SegmentationEvaluation(len(source.class_names))
        for index, (logits,) in in_batches(source, outputs):
            known = readable(source.mask, index)
            evaluation.add(known, class_map(logits, known.shape))
        figures = evaluation.figures()
        return {"mean_iou": figures.mean_iou, "pixel_accuracy": figures.pixel_accuracy}

    def picture(self, image, outputs, source, index) -> np.ndarray:
        found, known = class_map(outputs[0], image.shape[:2]), source.mask(index)
        count = len(source.class_names)
        return beside(image, *(draw_classes(image, one, count) for one in (found, known)))
