import pytest

from care_keras.training.images import grouped_pipeline, input_pipeline
from care_keras.training.images.choose_engine import choose_engine


@pytest.fixture(params=["tf.data", "numpy"])
def each_engine(request, monkeypatch):
    """What makes a batch where nothing is said of it: with TensorFlow, and without."""
    for module in (grouped_pipeline, input_pipeline):
        monkeypatch.setattr(module, "choose_engine", lambda: choose_engine(request.param))
