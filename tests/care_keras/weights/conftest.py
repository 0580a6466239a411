import importlib.util
import pathlib

import pytest

from care_keras.models import CONFIGS, CAREConfig, Preprocessing, build_model
from care_keras.weights import checkpoint_entries

GOLDEN = pathlib.Path(__file__).parents[2] / "golden"


@pytest.fixture(scope="session")
def golden_folder():
    return GOLDEN


@pytest.fixture(scope="session")
def weights_rule():
    """The module that makes golden weights; the folder is no package."""
    spec = importlib.util.spec_from_file_location("weights_rule", GOLDEN / "weights_rule.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tiny(monkeypatch):
    """The config of a small model with every part, known as `"tiny"`."""
    config = CAREConfig(
        name="care_tiny",
        depths=(1, 2),
        channels=(16, 32),
        expansion_ratios=((2, 2), (2, 3)),
        head_dims=(None, 8),
        stem_stride=4,
        preprocessing=Preprocessing(height=40, width=24, crop_ratio=0.9),
        classes=7,
    )
    monkeypatch.setitem(CONFIGS, "tiny", config)
    return config


@pytest.fixture
def tiny_model(tiny):
    return build_model(tiny, classifier_activation=None)


@pytest.fixture
def state_dict(tiny_model, weights_rule):
    """A state dict for `tiny_model`, with the step counters that PyTorch writes."""
    shapes = {entry.name: list(entry.shape) for entry in checkpoint_entries(tiny_model)}
    means = [name for name in shapes if name.endswith("running_mean")]
    shapes |= {name.replace("running_mean", "num_batches_tracked"): [] for name in means}
    return weights_rule.make_state_dict(shapes)


@pytest.fixture
def safetensors_file(tmp_path):
    """Writes a state dict to a file and returns its path."""
    numpy_module = pytest.importorskip("safetensors.numpy", reason="safetensors not installed")

    def write(state_dict, name="weights.safetensors"):
        numpy_module.save_file(state_dict, tmp_path / name)
        return tmp_path / name

    return write
