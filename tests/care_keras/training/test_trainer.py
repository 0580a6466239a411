import csv
import dataclasses
import json
import pathlib

import keras
import numpy as np
import pytest
from PIL import Image

from care_keras.cli import UserError
from care_keras.data.sources import open_source
from care_keras.models import CONFIGS
from care_keras.training import trainer
from care_keras.training.batches import EvaluationBatches, load_pixels
from care_keras.training.config import TrainingConfig
from care_keras.training.trainer import SmoothedCrossentropy, train
from tests.care_keras.helpers import TINY


@pytest.fixture(scope="module", autouse=True)
def tiny_config():
    with pytest.MonkeyPatch.context() as patch:
        # Its second block may be dropped; the last one never is.
        patch.setitem(CONFIGS, "tiny", dataclasses.replace(TINY, depths=(2, 1)))
        yield


@pytest.fixture(scope="module", autouse=True)
def without_graphs():
    """Steps that TensorFlow runs eagerly: tracing a graph takes longer than this training."""
    if keras.backend.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def write_split(folder, source, per_class, classes=("cat", "dog", "frog")):
    """Real images of some classes, in class folders."""
    for name in classes:
        (folder / name).mkdir(parents=True)
        indices = np.flatnonzero(source.labels == source.class_names.index(name))[:per_class]
        for i in indices:
            Image.fromarray(source[i]).save(folder / name / f"{i}.png")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder of three classes: 24 images to train on, 12 to evaluate on."""
    folder = tmp_path_factory.mktemp("images")
    write_split(folder / "train", open_source("bundled", "train"), 8)
    write_split(folder / "test", open_source("bundled", "test"), 4)
    return folder


def settings(images, run_dir, **changes):
    arguments = {
        "model": "tiny",
        "data": str(images),
        "run_dir": run_dir,
        "epochs": 3,
        "batch_size": 6,
        "drop_path": 0.6,
        "low_resolution": 8,
        "low_resolution_epochs": 1,
        "eval_every": 2,
        "seed": 3,
    }
    return TrainingConfig(**{**arguments, **changes})


@pytest.fixture(scope="module")
def unbroken(images, tmp_path_factory):
    """Folder of a finished run, and what `train` returned."""
    run_dir = tmp_path_factory.mktemp("unbroken")
    return run_dir, train(settings(images, run_dir))


def log_of(run_dir):
    with (run_dir / "log.csv").open() as stream:
        return list(csv.DictReader(stream))


def test_files_of_a_run(unbroken):
    run_dir, _ = unbroken
    assert sorted(path.name for path in run_dir.iterdir()) == [
        "config.json",
        "last.weights.h5",
        "log.csv",
        "model.keras",
        "result.json",
    ]


def test_log_has_every_epoch_of_both_resolutions(unbroken):
    log = log_of(unbroken[0])
    assert [row["epoch"] for row in log] == ["0", "1", "2"]
    assert all(float(row["loss"]) > 0 for row in log)
    assert [row["val_loss"] != "NA" for row in log] == [False, True, False]


def test_result_is_that_of_the_saved_model(unbroken, images):
    run_dir, result = unbroken
    assert json.loads((run_dir / "result.json").read_text()) == result
    model = keras.models.load_model(run_dir / "model.keras")
    assert not hasattr(model, "optimizer") or model.optimizer is None
    assert model.labels == ("cat", "dog", "frog")
    assert model.preprocessing == TINY.preprocessing
    source = open_source(str(images), "test")
    pixels = load_pixels(source, TINY.preprocessing)
    batches = EvaluationBatches(pixels, source.labels, TINY.preprocessing, 5)
    logits = np.concatenate([model.predict_on_batch(batches[i][0]) for i in range(3)])
    assert result["top1"] == pytest.approx((logits.argmax(-1) == source.labels).mean(), abs=1e-4)
    assert (result["images"], result["seed"]) == (12, 3)
    assert "--low_resolution_epochs=1" in result["command"]


class Kill(trainer.ProgressLines):
    """Ends the run in the middle of its second epoch."""

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == 1 and batch == 1:
            raise KeyboardInterrupt


def test_a_killed_run_ends_as_an_unbroken_one(unbroken, images, tmp_path, monkeypatch):
    run_dir, result = unbroken
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(trainer, "ProgressLines", Kill)
        train(settings(images, tmp_path))
    assert [row["epoch"] for row in log_of(tmp_path)] == ["0"]
    assert not (tmp_path / "model.keras").exists()
    # Other random numbers: the run depends on its seed and its checkpoint alone.
    keras.utils.set_random_seed(99)
    resumed = train(settings(images, tmp_path))
    assert resumed["top1"] == result["top1"]
    expected = keras.models.load_model(run_dir / "model.keras")
    actual = keras.models.load_model(tmp_path / "model.keras")
    # Of a bias before a BatchNorm the gradient is rounding noise, which Adam makes steps of; other
    # masks, another order or rate would move weights by hundredths.
    for weight, other in zip(actual.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(weight, other, rtol=0, atol=5e-4)
    losses = [[float(row["loss"]) for row in log_of(folder)] for folder in (tmp_path, run_dir)]
    np.testing.assert_allclose(*losses, rtol=1e-4)


def test_a_finished_run_only_evaluates_again(unbroken, images, monkeypatch):
    run_dir, result = unbroken
    weights = (run_dir / "last.weights.h5").read_bytes()
    # Named in another way, it is still the same folder.
    monkeypatch.chdir(run_dir.parent)
    again = train(settings(images, run_dir.relative_to(run_dir.parent)))
    assert again["top1"] == result["top1"]
    assert (run_dir / "last.weights.h5").read_bytes() == weights
    assert len(log_of(run_dir)) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "huge"}, "--model must be one of .*nano.*, not 'huge'"),
        ({"data": "no/such/folder"}, r"No such folder .*'no/such/folder'"),
        ({"train_split": "extra"}, "splits test, train"),
        ({"data": "bundled:dev"}, r"splits \('train', 'test'\)"),
        ({"eval_split": "train"}, "share images: .* --train_split and --eval_split"),
        ({"batch_size": 25}, "--batch_size=25 is more than the 24 images of .*train"),
        ({"low_resolution": 7}, "--low_resolution must be from 8 to 16 .*, not 7"),
        ({"low_resolution": 17}, "--low_resolution must be from 8 to 16 .*, not 17"),
    ],
)
def test_flags_that_cannot_be(images, tmp_path, change, message):
    with pytest.raises(UserError, match=message) as error:
        train(settings(images, tmp_path, **change))
    assert "\n" not in str(error.value)


def test_unlabelled_images(images, tmp_path):
    with pytest.raises(UserError, match="has no labels to train or evaluate with"):
        train(settings(images / "train" / "cat", tmp_path))


def test_splits_of_different_classes(tmp_path):
    source = open_source("bundled", "test")
    write_split(tmp_path / "images" / "train", source, 4)
    write_split(tmp_path / "images" / "test", source, 2, classes=("cat", "frog"))
    with pytest.raises(UserError, match="have different classes"):
        train(settings(tmp_path / "images", tmp_path / "run"))


def test_unreadable_image(tmp_path):
    source = open_source("bundled", "test")
    for split, count in (("train", 3), ("test", 2)):
        write_split(tmp_path / "images" / split, source.take(np.arange(count * 100)), count)
    bad = tmp_path / "images" / "train" / "dog" / "bad.png"
    bad.write_bytes(b"no image")
    for path in (tmp_path / "images" / "test").rglob("*.png"):
        path.rename(path.with_name(f"test_{path.name}"))
    with pytest.raises(UserError, match=r"Cannot decode the image\. Received: .*bad\.png"):
        train(settings(tmp_path / "images", tmp_path / "run"))


def test_other_settings_in_the_folder(unbroken, images):
    with pytest.raises(UserError, match=r"other settings \(epochs, seed\): give its flags, or"):
        train(settings(images, unbroken[0], epochs=4, seed=5))


@pytest.mark.parametrize("content", ["{", "[]"])
def test_settings_that_cannot_be_read(images, tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(UserError, match=r"config\.json does not hold the settings of a run"):
        train(settings(images, tmp_path))


def test_run_dir_that_is_a_file(images, tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(UserError, match=r"--run_dir=.*run cannot be used: File exists"):
        train(settings(images, tmp_path / "run"))


def test_damaged_checkpoint(images, tmp_path):
    (tmp_path / "last.weights.h5").write_bytes(b"\x89HDF damaged")
    with pytest.raises(UserError, match=r"last\.weights\.h5 is damaged"):
        train(settings(images, tmp_path))


def test_full_disk(images, tmp_path, full_disk):
    with full_disk(), pytest.raises(UserError, match=r"--run_dir=.* cannot be written to: "):
        train(settings(images, tmp_path, low_resolution_epochs=0))
    assert not (tmp_path / "last.weights.h5").exists()
    assert not list(tmp_path.glob(".*"))


def test_a_loss_that_is_not_a_number(images, tmp_path):
    changes = {"learning_rate": 1e30, "warmup_epochs": 0.0, "low_resolution_epochs": 0}
    with pytest.raises(UserError, match=r"not a number at step \d+; lower --learning_rate"):
        train(settings(images, tmp_path, **changes))
    assert not (tmp_path / "last.weights.h5").exists()
    assert not (tmp_path / "model.keras").exists()


def test_smoothed_crossentropy_is_its_formula():
    logits = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    labels = np.array([0, 3, 1, 1, 2])
    targets = np.full((5, 4), 0.2 / 4)
    targets[np.arange(5), labels] += 0.8
    log_softmax = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    expected = -(targets * log_softmax).sum(axis=-1).mean()
    for shape in ((5,), (5, 1)):
        loss = SmoothedCrossentropy(4, 0.2)(labels.reshape(shape), logits)
        assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_every_setting_is_a_flag():
    from care_keras import train as command

    names = TrainingConfig("nano", "bundled", pathlib.Path("run")).to_dict().keys()
    assert names == {flag.name for flag in command.flags.FLAGS.get_key_flags_for_module(command)}


def test_a_run_starts_from_another_model(unbroken, images, tmp_path):
    start = unbroken[0] / "model.keras"
    changes = {"epochs": 1, "learning_rate": 0.0, "low_resolution_epochs": 0}
    train(settings(images, tmp_path, start_from=str(start), **changes))
    expected = keras.models.load_model(start).trainable_variables
    actual = keras.models.load_model(tmp_path / "model.keras").trainable_variables
    for before, after in zip(expected, actual, strict=True):
        np.testing.assert_array_equal(before, after)


def test_another_model_s_weights_are_refused(unbroken, images, tmp_path, monkeypatch):
    monkeypatch.setitem(CONFIGS, "tiny", TINY)
    with pytest.raises(UserError, match="holds another model than --model=tiny"):
        train(settings(images, tmp_path, start_from=str(unbroken[0] / "model.keras")))
