import keras
import numpy as np
import pytest

from care_keras.models import CAREClassifier, build_model
from care_keras.weights import (
    ImportSummary,
    checkpoint_entries,
    import_checkpoint,
    import_weights,
)

HEAD_WEIGHT = "head.fc.weight"


def weights_of(model):
    return [keras.ops.convert_to_numpy(weight) for weight in model.weights]


def assert_untouched(model, before):
    for weight, value in zip(weights_of(model), before, strict=True):
        np.testing.assert_array_equal(weight, value)


def with_classes(state_dict, classes):
    return state_dict | {
        name: np.zeros((classes, *array.shape[1:]), "float32")
        for name, array in state_dict.items()
        if ".fc." in name
    }


def test_every_weight_is_assigned_in_its_layout(tiny_model, state_dict):
    summary = import_weights(tiny_model, state_dict)
    entries = checkpoint_entries(tiny_model)
    for entry in entries:
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(entry.variable), entry.to_keras(state_dict[entry.name])
        )
    statistics = sum(int(np.prod(w.shape)) for w in tiny_model.non_trainable_weights)
    parameters = tiny_model.count_params() - statistics
    assert summary == ImportSummary(len(entries), parameters, statistics, new_heads=False)


def test_step_counters_may_be_absent(tiny_model, state_dict):
    plain = {n: a for n, a in state_dict.items() if not n.endswith("num_batches_tracked")}
    assert len(plain) < len(state_dict)
    assert import_weights(tiny_model, plain).arrays == len(plain)


def test_one_error_names_every_entry_that_does_not_fit(tiny_model, state_dict):
    before = weights_of(tiny_model)
    del state_dict["stem.0.bias"]
    state_dict["surplus"] = np.zeros((2, 3), "float32")
    state_dict["stem.0.weight"] = np.zeros((16, 3, 2, 2), "float32")
    state_dict["stem.1.weight"] = np.zeros(16, "int64")
    state_dict["stem.1.bias"][3] = np.nan
    state_dict["stem.1.running_mean"] = np.full(16, 1e300)
    with pytest.raises(ValueError) as error:
        import_weights(tiny_model, state_dict)
    message = str(error.value)
    assert message.startswith("6 entries do not fit care_tiny: ")
    for part in (
        "missing stem.0.bias (expected (16,), found none)",
        "unexpected surplus (expected none, found (2, 3))",
        "mis-shaped stem.0.weight (expected (16, 3, 4, 4), found (16, 3, 2, 2))",
        "not floating-point stem.1.weight (found int64)",
        "not finite stem.1.bias (1 of 16 values are NaN or infinite)",
        "not finite stem.1.running_mean (16 of 16 values are NaN or infinite)",
    ):
        assert part in message
    assert "Received: " in message.rpartition(". ")[2]
    assert "\n" not in message
    assert_untouched(tiny_model, before)


def test_another_class_count_is_an_error_that_names_the_way_out(tiny_model, state_dict):
    before = weights_of(tiny_model)
    with pytest.raises(ValueError, match=r"has 5 classes, the model 7: --classes=5 ") as error:
        import_weights(tiny_model, with_classes(state_dict, 5))
    assert "mis-shaped dist_head.fc.bias (expected (7,), found (5,))" in str(error.value)
    assert str(error.value).startswith("4 entries")
    assert_untouched(tiny_model, before)


def test_new_heads_keep_the_backbone_of_the_checkpoint(tiny_model, state_dict):
    heads = weights_of(tiny_model.classifier)
    summary = import_weights(tiny_model, with_classes(state_dict, 5), new_heads=True)
    assert summary.new_heads
    assert summary.arrays == len(tiny_model.backbone.weights)
    assert_untouched(tiny_model.classifier, heads)
    stem = tiny_model.backbone.get_layer("stem_conv").bias
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(stem), state_dict["stem.0.bias"])


def test_new_heads_has_no_effect_on_equal_class_counts(tiny_model, state_dict):
    summary = import_weights(tiny_model, state_dict, new_heads=True)
    assert not summary.new_heads
    assert summary.arrays == len(tiny_model.weights)


@pytest.mark.parametrize("damage", ["missing", "width", "two counts"])
def test_new_heads_excuse_nothing_but_the_class_count(tiny_model, state_dict, damage):
    state_dict = with_classes(state_dict, 5)
    if damage == "missing":
        del state_dict[HEAD_WEIGHT]
    elif damage == "width":
        state_dict[HEAD_WEIGHT] = np.zeros((5, 95), "float32")
    else:
        state_dict[HEAD_WEIGHT] = np.zeros((6, 96), "float32")
    with pytest.raises(ValueError, match=HEAD_WEIGHT):
        import_weights(tiny_model, state_dict, new_heads=True)


def test_only_a_classifier_can_be_filled(tiny, state_dict):
    with pytest.raises(ValueError, match=r"must be a CAREClassifier\. Received: model="):
        import_weights(build_model(tiny, include_top=False), state_dict)


def test_the_file_is_a_whole_classifier(tiny, tiny_model, state_dict, safetensors_file, tmp_path):
    output = tmp_path / "care.keras"
    import_checkpoint("tiny", safetensors_file(state_dict), output)
    model = keras.models.load_model(output)
    assert isinstance(model, CAREClassifier)
    assert not model.compiled
    assert model.classifier_activation is keras.activations.linear
    assert model.preprocessing == tiny.preprocessing
    assert model.input_shape == (None, None, None, 3)
    import_weights(tiny_model, state_dict)
    assert_untouched(model, weights_of(tiny_model))


def test_classes_argument(tiny, state_dict, safetensors_file, tmp_path):
    output = tmp_path / "care.keras"
    assert not import_checkpoint("tiny", safetensors_file(state_dict), output, 7).new_heads
    assert import_checkpoint("tiny", safetensors_file(state_dict), output, 3).new_heads
    assert keras.models.load_model(output).classes == 3
    other = safetensors_file(with_classes(state_dict, 5), "other.safetensors")
    assert not import_checkpoint("tiny", other, output, 5).new_heads
    output.unlink()
    with pytest.raises(ValueError, match="--classes=5"):
        import_checkpoint("tiny", other, output)
    assert not output.exists()


def test_nothing_is_written_on_an_error(tiny, state_dict, safetensors_file, tmp_path):
    state_dict["stem.0.bias"][0] = np.inf
    checkpoint = safetensors_file(state_dict)
    output = tmp_path / "care.keras"
    output.write_text("as it was")
    files = sorted(tmp_path.iterdir())
    with pytest.raises(ValueError, match=r"not finite stem\.0\.bias"):
        import_checkpoint("tiny", checkpoint, output)
    assert sorted(tmp_path.iterdir()) == files
    assert output.read_text() == "as it was"


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"arch": "s9"}, r"`arch` must be one of s0, .*\. Received: arch='s9'"),
        ({"classes": 0}, r"`classes` must be positive. Received: classes=0"),
        ({"output": "a.h5"}, r"must end in \.keras\. Received: output="),
        ({"output": "none/a.keras"}, r"folder does not exist\. Received: output="),
        ({"output": "folder.keras"}, r"output is a folder\. Received: output="),
    ],
)
def test_arguments_are_checked_before_the_checkpoint_is_read(tiny, tmp_path, arguments, message):
    (tmp_path / "folder.keras").mkdir()
    arguments = {"arch": "tiny", "output": "a.keras"} | arguments
    arguments["output"] = tmp_path / arguments["output"]
    with pytest.raises(ValueError, match=message):
        import_checkpoint(checkpoint=tmp_path / "none.pth", **arguments)
