"""Detection as a task: boxes, judged by COCO's average precision."""

import dataclasses

import keras
import numpy as np

from care_keras.console.optional import require
from care_keras.data.detection import DetectionSource, open_detection
from care_keras.detection import postprocessing
from care_keras.detection.anchors import Anchors
from care_keras.detection.average_precision import DetectionEvaluation, Detections
from care_keras.detection.drawing import beside, draw_boxes, draw_detections
from care_keras.detection.loss import DetectionLoss
from care_keras.models import CAREBackbone, RetinaNet
from care_keras.training.config import TrainingConfig
from care_keras.training.dense_task import Judge, in_batches, readable
from care_keras.training.dense_task_maker import DenseTaskMaker
from care_keras.training.images.dense_pipeline import DetectionPipeline

# Of all figures those that an epoch's log has.
_FIGURES = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")


class DetectionMaker(DenseTaskMaker):
    """Of a `RetinaNet`."""

    network = RetinaNet
    pipeline = DetectionPipeline

    def open(self, config: TrainingConfig, split: str) -> DetectionSource:
        # Of the evaluation, which comes after epochs.
        require("pycocotools", "detection")
        return open_detection(config.data, split)

    def build(self, config: TrainingConfig, backbone: CAREBackbone, **described) -> RetinaNet:
        return RetinaNet(backbone, head=config.head, levels=config.levels or None, **described)

    def trained(self, model, like, config, source) -> dict:
        size = like.preprocessing.height, like.preprocessing.width
        loss = DetectionLoss(like.anchors, size)
        # One loss sees both outputs: scores learn how good boxes are.
        joined = keras.layers.Concatenate(-1, dtype="float32")(model.outputs)
        trained = keras.Model(model.inputs, joined)
        # By it Keras knows that float16 needs its losses scaled.
        trained.dtype_policy = model.dtype_policy
        return {
            "model": trained,
            "loss": loss,
            "metrics": tuple(
                keras.metrics.MeanMetricWrapper(getattr(loss, part), name=part)
                for part in ("class_loss", "box_loss")
            ),
            "judge": DetectionJudge(like.anchors, size),
        }


class DetectionJudge(Judge):
    """COCO's average precision.

    Args:
        anchors: The detector's.
        size: Height and width of its input.
    """

    figure = "ap"

    def __init__(self, anchors: Anchors, size: tuple[int, int]):
        self._anchors, self._size = anchors.boxes(size), size

    def figures(self, source, outputs) -> dict[str, float]:
        found = [
            self.detections(values, readable(source.image_size, index))
            for index, values in in_batches(source, outputs)
        ]
        figures = dataclasses.asdict(DetectionEvaluation(source, found).figures)
        return {name: figures[name] for name in _FIGURES}

    def detections(self, outputs: list[np.ndarray], image_size: tuple[int, int]) -> Detections:
        """What was found in an image, boxes in pixels of it."""
        boxes, scores, labels = postprocessing.detections(*outputs, self._anchors, self._size)
        return postprocessing.on_image(boxes, self._size, image_size), scores, labels

    def picture(self, image, outputs, source, index) -> np.ndarray:
        found = self.detections(outputs, image.shape[:2])
        names, known = source.class_names, source.objects(index)
        return beside(
            draw_detections(image, found, names),
            draw_boxes(image, known.boxes, known.labels, names),
        )
