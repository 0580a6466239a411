"""How fast the input pipeline is alone."""

import time

from care_keras.training.input_pipeline import TrainingPipeline


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
