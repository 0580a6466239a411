import json
import shutil

import keras
import numpy as np
import pytest

from care_keras.console.cli import UserError
from care_keras.data.preprocessing import normalize
from care_keras.data.sources import open_source
from care_keras.models import CONFIGS
from care_keras.training import trainer
from care_keras.training.trainer import train
from tests.care_keras.helpers import TINY
from tests.care_keras.training.runs import log_of, pixels_of, settings, write_split

pytestmark = pytest.mark.usefixtures("tiny_config", "without_graphs")


def test_files_of_a_run(unbroken):
    run_dir, _ = unbroken
    assert sorted(path.name for path in run_dir.iterdir()) == [
        "best.keras",
        "checkpoints",
        "config.json",
        "curves.png",
        "environment.json",
        "log.csv",
        "model.keras",
        "result.json",
    ]


def test_log_has_every_epoch_of_both_resolutions(unbroken):
    log = log_of(unbroken[0])
    assert [row["epoch"] for row in log] == ["1", "2", "3"]
    assert all(float(row["loss"]) > 0 for row in log)
    assert [row["val_loss"] != "" for row in log] == [False, True, True]


def test_result_is_that_of_the_saved_model(unbroken, images):
    run_dir, result = unbroken
    assert json.loads((run_dir / "result.json").read_text()) == result
    model = keras.models.load_model(run_dir / "model.keras")
    assert not hasattr(model, "optimizer") or model.optimizer is None
    assert model.labels == ("cat", "dog", "frog")
    assert model.preprocessing == TINY.preprocessing
    assert result["top1"] == pytest.approx(accuracy_of(model, images), abs=1e-4)
    assert (result["images"], result["seed"]) == (12, 3)
    assert "--low_resolution_epochs=1" in result["command"]


def accuracy_of(model, images):
    source = open_source(str(images), "test")
    inputs = normalize(pixels_of(source, TINY.preprocessing), TINY.preprocessing)
    logits = model.predict(inputs, batch_size=5, verbose=0)
    return (logits.argmax(-1) == source.labels).mean()


def test_the_best_model_is_that_of_its_epoch(unbroken, images):
    run_dir, result = unbroken
    # Every second epoch is evaluated, and the last one.
    found = {n: row["val_accuracy"] for n, row in enumerate(log_of(run_dir), 1)}
    assert [n for n, value in found.items() if value] == [2, 3]
    assert result["best"]["val_accuracy"] == max(float(found[2]), float(found[3]))
    assert result["best"]["val_accuracy"] == float(found[result["best"]["epoch"]])
    best = keras.models.load_model(run_dir / "best.keras")
    assert result["best"]["val_accuracy"] == pytest.approx(accuracy_of(best, images), abs=1e-4)


def test_a_finished_run_only_evaluates_again(unbroken, images, monkeypatch):
    run_dir, result = unbroken
    checkpoints = {path: path.stat().st_mtime_ns for path in (run_dir / "checkpoints").iterdir()}
    # Named in another way, it is still the same folder.
    monkeypatch.chdir(run_dir.parent)
    # How a run is run may change on the way.
    again = train(settings(images, run_dir.relative_to(run_dir.parent), checkpoint_steps=1))
    assert again["top1"] == result["top1"]
    assert again["best"] == result["best"]
    assert checkpoints == {path: path.stat().st_mtime_ns for path in checkpoints}
    assert len(log_of(run_dir)) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "huge"}, "--model must be one of .*nano.*, not 'huge'"),
        ({"data": "no/such/folder"}, r"No such folder .*'no/such/folder'"),
        ({"train_split": "extra"}, "splits test, train"),
        ({"data": "bundled:dev"}, r"splits \('train', 'test'\)"),
        ({"eval_split": "train"}, "share images: .* --train_split and --eval_split"),
        ({"low_resolution": 7}, "--low_resolution must be from 8 to 16 .*, not 7"),
        ({"low_resolution": 17}, "--low_resolution must be from 8 to 16 .*, not 17"),
        ({"crop": "none"}, "--low_resolution is a size of crops: it needs another --crop"),
        ({"float_layers": ("head",)}, "--float_layers and --int16_layers go with --qat"),
    ],
)
def test_flags_that_cannot_be(images, tmp_path, change, message):
    with pytest.raises(UserError, match=message) as error:
        train(settings(images, tmp_path, **change))
    assert "\n" not in str(error.value)


def test_unlabelled_images(images, tmp_path):
    with pytest.raises(UserError, match="has no labels to train or evaluate with"):
        train(settings(images / "train" / "cat", tmp_path))


def test_one_class(images, tmp_path):
    """As unlabelled photos in one folder look."""
    shutil.copytree(images / "train" / "cat", tmp_path / "data" / "photos")
    with pytest.raises(UserError, match="has one class alone, 'photos': a folder must have a"):
        train(settings(tmp_path / "data", tmp_path / "run"))


def test_a_run_that_fails_to_begin_leaves_no_settings(images, tmp_path, monkeypatch):
    def fail(*_):
        raise MemoryError("too large")

    monkeypatch.setattr(trainer, "_compile", fail)
    with pytest.raises(MemoryError):
        train(settings(images, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


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
        train(settings(tmp_path / "images", tmp_path / "run", batch_size=10))


def test_a_full_disk(images, tmp_path, full_disk):
    with full_disk(), pytest.raises(UserError, match=r"--run_dir=.* cannot be written to: "):
        train(settings(images, tmp_path, low_resolution_epochs=0))
    assert not list((tmp_path / "checkpoints").iterdir())


def test_a_loss_that_is_not_a_number(images, tmp_path):
    changes = {"learning_rate": 1e30, "warmup_epochs": 0.0, "low_resolution_epochs": 0}
    with pytest.raises(UserError, match=r"not a number at step [1-4]: lower --learning_rate"):
        train(settings(images, tmp_path, **changes))
    assert not (tmp_path / "checkpoints").exists()
    assert not (tmp_path / "model.keras").exists()


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


def test_a_batch_of_more_than_all_images_is_cut(images, tmp_path, capsys):
    train(settings(images, tmp_path, batch_size=25, epochs=1))
    assert "--batch_size=25 is cut to the 24 images" in capsys.readouterr().err


def test_one_folder_of_class_folders_is_divided(images, tmp_path):
    changes = {"epochs": 1, "low_resolution_epochs": 0, "batch_size": 7}
    result = train(settings(images / "train", tmp_path, **changes))
    assert result["evaluated_on"].endswith("train (held out)") and result["images"] == 3
