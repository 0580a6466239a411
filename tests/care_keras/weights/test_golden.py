"""The published implementation's numbers, through the import of its checkpoints."""

import types

import keras
import numpy as np
import pytest
from keras import ops

from care_keras.models import CONFIGS, build_model
from care_keras.weights import import_checkpoint, import_weights, load_checkpoint

STAGES = {"stem": "stem", "stage1": "P2", "stage2": "P3", "stage3": "P4", "stage4": "P5"}
FILES = ("care_s0_224x224", "care_s0_192x256", "care_s1_224x224", "care_s2_224x224")
# The form in which each checkpoint is stored before it is imported.
FORMATS = {"s0": ".safetensors", "s1": ".pth.tar", "s2": ".safetensors"}


@pytest.fixture(scope="module")
def import_model(weights_rule, tmp_path_factory):
    """Returns a function from an arch to its model, imported from a checkpoint file.

    S0 takes the whole way to a `.keras` file and back, the others the import alone.
    """
    models = {}

    def import_one(arch, salt):
        if (arch, salt) in models:
            return models[arch, salt]
        state_dict = weights_rule.make_state_dict(weights_rule.state_dict_shapes(arch), salt)
        folder = tmp_path_factory.mktemp(arch)
        checkpoint = folder / f"care_{arch}{FORMATS[arch]}"
        if checkpoint.suffix == ".safetensors":
            safetensors = pytest.importorskip(
                "safetensors.numpy", reason="safetensors not installed"
            )
            safetensors.save_file(state_dict, checkpoint)
        else:
            torch = pytest.importorskip("torch", reason="PyTorch not installed")
            tensors = {name: torch.tensor(array) for name, array in state_dict.items()}
            torch.save(tensors, checkpoint)
        with pytest.MonkeyPatch.context() as patch:
            # A weight that the import leaves out makes every output NaN.
            patch.setattr(keras.initializers.TruncatedNormal, "__call__", _all_nan)
            if arch == "s0":
                import_checkpoint(arch, checkpoint, folder / "care.keras")
                model = keras.models.load_model(folder / "care.keras")
            else:
                model = build_model(CONFIGS[arch], classifier_activation=None)
                import_weights(model, load_checkpoint(checkpoint))
        models[arch, salt] = model
        return model

    return import_one


def _all_nan(self, shape, dtype=None):
    return ops.full(shape, np.nan, dtype)


@pytest.fixture(scope="module", params=FILES)
def golden(request, golden_folder, import_model):
    """`expected` arrays of one file and the `actual` ones of the Keras model."""
    expected = np.load(golden_folder / f"{request.param}.npz")
    model = import_model(request.param.split("_")[1], str(expected["salt"]))
    images = _preprocess(expected["images_uint8"], model.preprocessing)
    backbone = model.backbone
    probe = keras.Model(
        backbone.input,
        {"stem": backbone.get_layer("stem_norm").output, **backbone.pyramid_outputs},
    )
    features = probe(images, training=False)
    pooled = ops.gelu(ops.mean(features["P5"], axis=(1, 2)), approximate=False)
    actual = {name: features[level] for name, level in STAGES.items()} | {
        "logits_head": model.classifier.head(pooled),
        "logits_dist_head": model.classifier.dist_head(pooled),
        "logits": model.classifier(features["P5"], training=False),
    }
    actual = {name: ops.convert_to_numpy(value) for name, value in actual.items()}
    return types.SimpleNamespace(expected=expected, actual=actual)


def _preprocess(pixels, record):
    return ((pixels / 255.0 - record.mean) / record.std).astype("float32")


def assert_close(actual, expected, tolerance):
    """`tolerance` is absolute for values below 1, and relative to the largest above."""
    assert actual.shape == expected.shape
    scale = max(1.0, float(np.abs(expected).max()))
    assert float(np.abs(actual - expected).max()) <= tolerance * scale


@pytest.mark.every_backend
@pytest.mark.parametrize("output", ["logits_head", "logits_dist_head", "logits"])
def test_logits(golden, output):
    assert_close(golden.actual[output], golden.expected[output], 1e-4)


@pytest.mark.parametrize("stage", STAGES)
def test_features(golden, weights_rule, stage):
    features, expected = golden.actual[stage], golden.expected
    assert features.shape == tuple(expected[f"{stage}_shape"])
    assert_close(features.mean(axis=(0, 1, 2)), expected[f"{stage}_mean"], 1e-3)
    assert_close(weights_rule.sample(features), expected[f"{stage}_sample"], 1e-3)


def test_the_whole_model_called_on_images(golden_folder, import_model):
    expected = np.load(golden_folder / "care_s0_192x256.npz")
    model = import_model("s0", str(expected["salt"]))
    assert model.compiled is False
    images = _preprocess(expected["images_uint8"][:1], model.preprocessing)
    logits = ops.convert_to_numpy(model(images, training=False))
    assert_close(logits, expected["logits"][:1], 1e-4)
