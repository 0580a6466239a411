"""How fast the input pipeline is alone."""

import time

from care_keras.console.cli import UserError
from care_keras.training.config import TrainingConfig
from care_keras.training.devices.distribution import Distribution
from care_keras.training.images.input_pipeline import TrainingPipeline, reading_errors
from care_keras.training.recipe import model_config
from care_keras.training.task import fitted, training_pipeline
from care_keras.training.task_maker import task_maker


def images_per_second(pipeline: TrainingPipeline, epoch: int = 0, seconds: float = 3.0) -> float:
    """Takes batches from a pipeline, and does nothing with them, for a moment.

    The first batch, which waits for graphs to be traced, does not count unless
    it is the only one. Of a batch divided among processes this one's share counts.

    Args:
        pipeline: The pipeline.
        epoch: The epoch whose batches are taken.
        seconds: How long; the batch that is being made then is waited for.
    """
    batches = iter(pipeline.epoch(epoch))
    started = time.perf_counter()
    first, _ = next(batches)
    begun = time.perf_counter()
    images = 0
    for batch, _ in batches:
        images += len(batch)
        if time.perf_counter() - begun > seconds:
            break
    if not images:
        images, begun = len(first), started
    return images / (time.perf_counter() - begun)


def measure_input(config: TrainingConfig, seconds: float = 10.0) -> float:
    """Prints, and returns, how fast the input pipeline of a run would be on this machine.

    Raises:
        UserError: If the flags or the data cannot be used.
    """
    maker = task_maker(config)
    if config.qat:
        raise UserError("--measure_input measures a training in float: leave --qat out")
    source, evaluation = maker.open_sources(config)
    config = fitted(config, source)
    if config.task == "classification":
        preprocessing = model_config(config).preprocessing
        pipeline = training_pipeline(config, source, preprocessing, Distribution())
    else:
        pipeline = maker.float_task(config, source, evaluation, Distribution()).training
    with reading_errors(pipeline):
        rate = images_per_second(pipeline, seconds=seconds)
    height, width = pipeline.size(0)
    print(f"input pipeline {rate:,.0f} images/s of {height}x{width} pixels from {source.name}")
    return rate
