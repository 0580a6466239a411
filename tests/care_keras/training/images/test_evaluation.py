import keras
import numpy as np
import pytest

from care_keras.console.cli import UserError
from care_keras.data.sources import open_source
from care_keras.models import Preprocessing
from care_keras.training.devices.distribution import Distribution
from care_keras.training.images.evaluation import Evaluation
from tests.care_keras.helpers import COMPILE
from tests.care_keras.training.images.batches import arrays_of

PREPROCESSING = Preprocessing(height=12, width=10, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))

pytestmark = pytest.mark.usefixtures("each_engine")


class Several(Distribution):
    """Rows of one of several processes with several devices each, before an engine takes them."""

    def __init__(self, shard_index, shard_count, local_replicas=1):
        self.shard_index = shard_index
        self.shard_count = shard_count
        self.replicas = shard_count * local_replicas


def parts_of(source, processes, devices, batch_size):
    """What each process gets: batches of images, targets and weights."""
    parts = []
    for index in range(processes):
        evaluation = Evaluation(
            source, PREPROCESSING, Several(index, processes, devices), batch_size
        )
        dataset = evaluation.dataset()
        batches = arrays_of(dataset)
        assert evaluation.images == len(source)
        parts.append(batches)
    return parts


@pytest.fixture(scope="module")
def source():
    return open_source("bundled", "test").sample(23)


@pytest.fixture(scope="module")
def whole(source):
    images, targets = [], []
    for batch in Evaluation(source, PREPROCESSING, Distribution(), 8).dataset():
        assert len(batch) == 2
        images.append(np.asarray(batch[0]))
        targets.append(np.asarray(batch[1]))
    assert [len(batch) for batch in images] == [8, 8, 7]
    return np.concatenate(images), np.concatenate(targets)


# 12 and 11 images for two processes in batches of 4 and 12: the second has a batch less to fill.
@pytest.mark.parametrize(
    ("processes", "devices", "batch_size"),
    [(1, 2, 8), (2, 1, 8), (2, 3, 12), (3, 1, 250), (2, 1, 1)],
)
def test_each_image_counts_once(source, whole, processes, devices, batch_size):
    parts = parts_of(source, processes, devices, batch_size)
    # Processes go in step, with equally many rows, which their devices divide.
    rows = {len(images) for batches in parts for images, _, _ in batches}
    assert len(rows) == 1 and rows.pop() % devices == 0
    assert len({len(batches) for batches in parts}) == 1
    images, targets, weights = (
        np.concatenate([batch[i] for batches in parts for batch in batches]) for i in range(3)
    )
    assert weights.sum() == pytest.approx(len(weights), rel=1e-6)
    assert len(set(weights[weights > 0].tolist())) == 1
    # In another order, all of them.
    counted = images[weights > 0]
    assert counted.shape == whole[0].shape
    order = [int(np.argmin(np.abs(counted - image).sum((1, 2, 3)))) for image in whole[0]]
    assert sorted(order) == list(range(len(source)))
    np.testing.assert_array_equal(counted[order], whole[0])
    np.testing.assert_array_equal(targets[weights > 0][order], whole[1])


def test_the_figures_are_those_of_the_images_alone(source, whole):
    inputs = keras.Input((12, 10, 3))
    model = keras.Model(inputs, keras.layers.Dense(10)(keras.layers.Flatten()(inputs)))
    model.compile(
        loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
        weighted_metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
        **COMPILE,
    )
    expected = model.evaluate(*whole, batch_size=23, return_dict=True, verbose=0)
    evaluation = Evaluation(source, PREPROCESSING, Several(0, 1, 2), 8)
    assert model.evaluate(evaluation.dataset(), return_dict=True, verbose=0) == pytest.approx(
        expected, rel=1e-5
    )


def test_fewer_images_than_processes(source):
    with pytest.raises(UserError, match="has fewer images than there are processes"):
        Evaluation(source.sample(3), PREPROCESSING, Several(0, 4))
