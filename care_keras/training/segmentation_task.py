"""Segmentation as a task: a class for each pixel, judged by the mean IoU."""

import keras
import numpy as np

from care_keras.data.segmentation import SegmentationSource, open_segmentation
from care_keras.detection.drawing import beside
from care_keras.models import SemanticFPN
from care_keras.segmentation.drawing import draw_classes
from care_keras.segmentation.loss import SegmentationLoss, pixel_accuracy
from care_keras.segmentation.mean_iou import SegmentationEvaluation
from care_keras.segmentation.postprocessing import class_map
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
from care_keras.training.images.dense_pipeline import SegmentationPipeline


def open_sources(config: TrainingConfig) -> tuple[SegmentationSource, SegmentationSource]:
    """Images with maps of classes, to train and to evaluate on; see `open_pair`."""
    return open_pair(
        lambda split: open_segmentation(config.data, split, config.first_class), config
    )


def float_task(
    config: TrainingConfig,
    train_source: SegmentationSource,
    eval_source: SegmentationSource,
    distribution: Distribution,
) -> DenseTask:
    """A segmenter, from random weights or those of `--from`."""

    def build(dtype: str = "float32") -> SemanticFPN:
        return SemanticFPN(
            backbone_of(config, dtype),
            classes=len(train_source.class_names),
            head=config.head,
            preprocessing=record_of(config),
            labels=train_source.class_names,
            name=f"{config.model}_segmenter",
        )

    with user_errors():
        model = build(config.dtype)
    if config.start_from:
        start_from(config, model)
    return _task(config, model, train_source, eval_source, distribution, build)


def quantized_task(
    config: TrainingConfig,
    train_source: SegmentationSource,
    eval_source: SegmentationSource,
    distribution: Distribution,
) -> DenseTask:
    """The quantized form of the segmenter of `--from`."""
    start = load_trained(config, SemanticFPN, train_source)
    model = quantized_of(config, start, train_source)

    def build():
        return type(model).from_config(model.get_config())

    return _task(config, model, train_source, eval_source, distribution, build, start)


def _task(config, model, train_source, eval_source, distribution, build, start=None):
    training = SegmentationPipeline(
        train_source,
        model.preprocessing,
        config.batch_size,
        config,
        seed=config.seed,
        shard_index=distribution.shard_index,
        shard_count=distribution.shard_count,
        cache_megabytes=config.cache_megabytes,
    )
    return DenseTask(
        model=model,
        training=training,
        evaluation=Judged(eval_source.name, len(eval_source)),
        loss=SegmentationLoss(),
        metrics=(keras.metrics.MeanMetricWrapper(pixel_accuracy, name="pixel_accuracy"),),
        pipelines=(training,),
        blank=build,
        judge=SegmentationJudge(),
        eval_source=eval_source,
        record=model.preprocessing,
        start=start,
    )


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
