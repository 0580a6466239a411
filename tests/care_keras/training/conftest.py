import keras
import pytest

from care_keras.models import CONFIGS
from care_keras.training import trainer

pytest.register_assert_rewrite("tests.care_keras.training.runs")

from tests import processes  # noqa: E402
from tests.care_keras.training import runs  # noqa: E402


@pytest.fixture
def full_disk():
    """A context in which no file can grow beyond 100 kB, as on a disk that fills up."""
    return processes.full_disk


@pytest.fixture(scope="module")
def tiny_config():
    """The configs of short runs, while the tests of a file run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CONFIGS, "tiny", runs.TINY_RUN)
        patch.setitem(CONFIGS, "tiniest", runs.TINIEST_RUN)
        patch.setitem(CONFIGS, "two_blocks", runs.TWO_BLOCKS_RUN)
        yield


@pytest.fixture(scope="module")
def without_graphs():
    """Steps that TensorFlow runs eagerly: tracing a graph takes longer than such a training."""
    if keras.backend.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """A folder of three classes: 24 images to train on, 12 to evaluate on."""
    return runs.write_images(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def unbroken(images, tiny_config, without_graphs, tmp_path_factory):
    """Folder of a finished run, and what `train` returned."""
    run_dir = tmp_path_factory.mktemp("unbroken")
    return run_dir, trainer.train(runs.settings(images, run_dir))
