"""Detection as a task: boxes, judged by COCO's average precision."""

import dataclasses

import keras
import numpy as np

from care_keras.data.detection import DetectionSource, open_detection
from care_keras.detection import postprocessing
from care_keras.detection.anchors import Anchors
from care_keras.detection.average_precision import DetectionEvaluation, Detections
from care_keras.detection.drawing import beside, draw_boxes, draw_detections
from care_keras.detection.loss import DetectionLoss
from care_keras.models import RetinaNet
from care_keras.training.config import TrainingConfig
from care_keras.training.dense_task import (
    DenseTask,
    Judge,
    Judged,
    backbone_of,
    in_batches,
    load_trained,
    open_pair,
    quantized_of,
    readable,
    record_of,
    start_from,
    user_errors,
)
from care_keras.training.devices.distribution import Distribution
from care_keras.training.images.dense_pipeline import DetectionPipeline

# Of all figures those that an epoch's log has.
_FIGURES = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")


def open_sources(config: TrainingConfig) -> tuple[DetectionSource, DetectionSource]:
    """Images with boxes, to train and to evaluate on; see `open_pair`."""
    return open_pair(lambda split: open_detection(config.data, split), config)


def float_task(
    config: TrainingConfig,
    train_source: DetectionSource,
    eval_source: DetectionSource,
    distribution: Distribution,
) -> DenseTask:
    """A detector, from random weights or those of `--from`."""

    def build(dtype: str = "float32") -> RetinaNet:
        return RetinaNet(
            backbone_of(config, dtype),
            classes=len(train_source.class_names),
            head=config.head,
            levels=config.levels or None,
            preprocessing=record_of(config),
            labels=train_source.class_names,
            name=f"{config.model}_detector",
        )

    with user_errors():
        model = build(config.dtype)
    if config.start_from:
        start_from(config, model)
    return _task(config, model, model.anchors, train_source, eval_source, distribution, build)


def quantized_task(
    config: TrainingConfig,
    train_source: DetectionSource,
    eval_source: DetectionSource,
    distribution: Distribution,
) -> DenseTask:
    """The quantized form of the detector of `--from`."""
    start = load_trained(config, RetinaNet, train_source)
    model = quantized_of(config, start, train_source)

    def build():
        return type(model).from_config(model.get_config())

    sources = train_source, eval_source
    return _task(config, model, start.anchors, *sources, distribution, build, start)


def _task(config, model, anchors, train_source, eval_source, distribution, build, start=None):
    record = model.preprocessing
    training = DetectionPipeline(
        train_source,
        record,
        config.batch_size,
        config,
        seed=config.seed,
        shard_index=distribution.shard_index,
        shard_count=distribution.shard_count,
        cache_megabytes=config.cache_megabytes,
    )
    loss = DetectionLoss(anchors, (record.height, record.width))
    return DenseTask(
        # One loss sees both outputs: scores learn how good boxes are.
        model=keras.Model(model.inputs, keras.layers.Concatenate(-1)(model.outputs)),
        training=training,
        evaluation=Judged(eval_source.name, len(eval_source)),
        loss=loss,
        metrics=tuple(
            keras.metrics.MeanMetricWrapper(getattr(loss, part), name=part)
            for part in ("class_loss", "box_loss")
        ),
        pipelines=(training,),
        blank=build,
        judge=DetectionJudge(anchors, (record.height, record.width)),
        eval_source=eval_source,
        record=record,
        start=start,
    )


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
