import time

import numpy as np
import pytest

from care_keras.training.throughput import images_per_second


class Slow:
    """Batches of 10 images, one in `seconds`; the first takes longer."""

    def __init__(self, steps, seconds):
        self.steps = steps
        self.seconds = seconds
        self.taken = 0

    def epoch(self, index):
        assert index == 2
        for step in range(self.steps):
            time.sleep(self.seconds * (5 if step == 0 and self.steps > 1 else 1))
            self.taken += 1
            yield np.zeros((10, 1)), None


@pytest.mark.parametrize("steps", [1, 8])
def test_rate_is_that_of_the_batches(steps):
    rate = images_per_second(Slow(steps, 0.02), epoch=2)
    # A sleep may last longer on a busy machine, never shorter.
    assert 100 < rate <= 500


def test_it_ends_after_the_time_given():
    pipeline = Slow(1000, 0.01)
    assert images_per_second(pipeline, epoch=2, seconds=0.05) <= 1000
    assert 2 <= pipeline.taken <= 8
