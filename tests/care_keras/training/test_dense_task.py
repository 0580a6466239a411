"""Segmentation and detection as tasks, each run on few real images."""

import json
import pathlib
import shutil
import sys

import keras
import numpy as np
import pytest
from PIL import Image

from care_keras.console.cli import UserError
from care_keras.console.optional import MissingDependencyError
from care_keras.data.detection import open_detection
from care_keras.data.preprocessing import normalize, prepare
from care_keras.data.segmentation import open_segmentation
from care_keras.loading import load_any
from care_keras.metrics import snr_db
from care_keras.models import RetinaNet, SemanticFPN
from care_keras.training import trainer
from care_keras.training.devices.distribution import Distribution
from care_keras.training.recipe import training_config
from care_keras.training.run.epoch_log import EpochLog
from care_keras.training.task_maker import task_maker
from care_keras.training.trainer import train
from tests.care_keras.helpers import numpy_of
from tests.care_keras.training.runs import assert_same_run, log_of

pytestmark = pytest.mark.usefixtures("tiny_config", "without_graphs")

TASKS = {"segmentation": SemanticFPN, "detection": RetinaNet}
FIGURES = {"segmentation": "mean_iou", "detection": "ap"}
# A step an epoch: eager ones take long.
COUNTS = {"train": 4, "val": 2}


def few_of_camvid(camvid, folder):
    """Its first images of each split, with their maps."""
    for name in ("images", "labels"):
        (folder / name).mkdir()
    shutil.copy(camvid / "classes.txt", folder)
    for split, count in COUNTS.items():
        names = (camvid / f"{split}.txt").read_text().split()[:count]
        (folder / f"{split}.txt").write_text("\n".join(names))
        for name in names:
            stem = name.rpartition(".")[0] or name
            for path in (*(camvid / "images").glob(f"{stem}.*"), *camvid.glob(f"labels/{stem}.*")):
                shutil.copy(path, folder / path.parent.name)
    return folder


def few_of_bccd(bccd, folder):
    """Its first images of each split, with their boxes."""
    (folder / "images").mkdir()
    for split, count in COUNTS.items():
        content = json.loads((bccd / f"{split}.json").read_text())
        content["images"] = content["images"][:count]
        kept = {image["id"] for image in content["images"]}
        content["annotations"] = [one for one in content["annotations"] if one["image_id"] in kept]
        (folder / f"{split}.json").write_text(json.dumps(content))
        for image in content["images"]:
            shutil.copy(bccd / "images" / image["file_name"], folder / "images")
    return folder


@pytest.fixture(scope="module")
def folders(dense_folder, tmp_path_factory):
    return {
        "segmentation": few_of_camvid(dense_folder / "camvid", tmp_path_factory.mktemp("camvid")),
        "detection": few_of_bccd(dense_folder / "bccd", tmp_path_factory.mktemp("bccd")),
    }


def settings(task, folders, run_dir, **changes):
    given = {
        "task": task,
        "model": "two_blocks",
        "data": str(folders[task]),
        "run_dir": run_dir,
        "eval_split": "val",
        "size": "64x96",
        "epochs": 2,
        "batch_size": 4,
        "eval_every": 1,
        "tensorboard": False,
        "seed": 2,
        "drop_path": 0.5,
        "ema_momentum": 0.5,
        "warmup_epochs": 1,
    }
    return training_config(task, {**given, **changes})


@pytest.fixture(scope="module", params=TASKS)
def run(request, folders, tiny_config, without_graphs, tmp_path_factory):
    """Task, folder of a finished run, and what `train` returned."""
    run_dir = tmp_path_factory.mktemp(request.param)
    return request.param, run_dir, train(settings(request.param, folders, run_dir))


@pytest.mark.every_backend
def test_files_and_figures_of_a_run(run):
    task, run_dir, result = run
    assert {path.name for path in run_dir.iterdir()} == {
        *("best.keras", "checkpoints", "config.json", "curves.png", "environment.json"),
        *("log.csv", "model.keras", "predictions.png", "result.json"),
    }
    figure = FIGURES[task]
    assert json.loads((run_dir / "result.json").read_text()) == result
    log = log_of(run_dir)
    assert result[figure] == pytest.approx(float(log[-1][f"val_{figure}"]), abs=1e-4)
    assert result["best"][f"val_{figure}"] == max(float(row[f"val_{figure}"]) for row in log)
    parts = {"segmentation": ["pixel_accuracy"], "detection": ["class_loss", "box_loss"]}[task]
    assert all(float(row[name]) > 0 for row in log for name in parts)
    if task == "detection":
        for row in log:
            whole = float(row["class_loss"]) + 2 * float(row["box_loss"])
            assert float(row["loss"]) == pytest.approx(whole, rel=1e-3)


def test_the_saved_model_is_a_networks_own(run, folders):
    task, run_dir, _ = run
    model = load_any(run_dir / "model.keras")
    assert type(model) is TASKS[task] and model.preprocessing.fit == "stretch"
    assert (model.preprocessing.height, model.preprocessing.width) == (64, 96)
    opener = {"segmentation": open_segmentation, "detection": open_detection}[task]
    assert model.labels == opener(str(folders[task]), "val").class_names


def test_levels_may_leave_out_the_backbones_coarsest_stage(tiny_config, folders, tmp_path):
    """Which stays a part of the network: what is saved has its weights, what is trained has not."""
    config = settings("detection", folders, tmp_path, model="tiny", levels=(2,))
    maker = task_maker(config)
    task = maker.float_task(config, *maker.open_sources(config), Distribution())
    assert len(task.weights()) > len(task.model.get_weights())
    saved = task.blank()
    saved.set_weights(task.weights())
    images = np.random.default_rng(0).normal(size=(1, 64, 96, 3)).astype("float32")
    expected = keras.ops.concatenate(saved(images), axis=-1)
    np.testing.assert_allclose(numpy_of(task.model(images)), numpy_of(expected), atol=1e-5)
    assert set(task.figures(Distribution())) >= {"ap", "ap50"}


def test_mean_iou_is_that_of_keras(folders, run):
    task, run_dir, result = run
    if task != "segmentation":
        return
    model = load_any(run_dir / "model.keras")
    source = open_segmentation(str(folders[task]), "val")
    metric = keras.metrics.MeanIoU(len(source.class_names), ignore_class=255)
    for index in range(len(source)):
        logits = model(prepare(source[index], model.preprocessing)[None])
        known = source.mask(index)
        enlarged = keras.ops.image.resize(logits, known.shape, data_format="channels_last")
        metric.update_state(known, keras.ops.argmax(enlarged[0], axis=-1))
    assert result["mean_iou"] == pytest.approx(float(metric.result()), abs=2e-4)


def test_a_picture_shows_each_image(run):
    _, run_dir, _ = run
    with Image.open(run_dir / "predictions.png") as picture:
        assert picture.width > 2 * 300 and picture.height >= COUNTS["val"] * 300
        assert np.asarray(picture).std() > 20


def test_goes_on_as_if_it_had_not_stopped(run, folders, tmp_path):
    task, run_dir, _ = run
    if task == "segmentation":
        return
    config = settings(task, folders, tmp_path / "run")
    with pytest.MonkeyPatch.context() as patch:
        begin = EpochLog.on_epoch_begin

        def stop(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt
            begin(self, epoch, logs)

        patch.setattr(EpochLog, "on_epoch_begin", stop)
        with pytest.raises(KeyboardInterrupt):
            train(config)
    train(config)
    assert_same_run(tmp_path / "run", run_dir)


def test_a_trained_backbone_is_taken(run, folders, tmp_path, capfd):
    """Of a network for another task: its backbone alone."""
    task, run_dir, _ = run
    if task == "segmentation":
        return
    other, start = "segmentation", run_dir / "model.keras"
    config = settings(other, folders, tmp_path, start_from=str(start), epochs=1, learning_rate=0.0)
    train(config)
    assert "weights of the backbone" in capfd.readouterr().err
    trained, model = load_any(start), load_any(tmp_path / "model.keras")
    pairs = zip(trained.backbone.trainable_weights, model.backbone.trainable_weights, strict=True)
    for weight, other_weight in pairs:
        np.testing.assert_array_equal(weight, other_weight)


def test_goes_on_quantized(run, folders, tmp_path):
    task, run_dir, result = run
    if task == "segmentation":
        return
    config = settings(
        task, folders, tmp_path, start_from=str(run_dir / "model.keras"), qat=True, epochs=1
    )
    trained = train(config)
    model = load_any(tmp_path / "model.keras")
    assert model.precisions == {} and model.task["name"] == task
    # What the float network has on the same images is told beside it.
    assert trained["float_ap"] == pytest.approx(result["ap"], abs=1e-3)


def test_a_quantized_form_sees_what_its_network_saw(run, folders, tmp_path):
    """It takes raw pixels: normalized ones would be next to black."""
    task, run_dir, _ = run
    start = str(run_dir / "model.keras")
    batches, answers = [], []
    for qat in (False, True):
        # Larger and smaller: with colour around them.
        changes = {"start_from": start, "qat": qat, "scale_range": (0.5, 2.0), "color_jitter": 0.3}
        config = settings(task, folders, tmp_path, **changes)
        maker = task_maker(config)
        make = maker.quantized_task if qat else maker.float_task
        made = make(config, *maker.open_sources(config), Distribution())
        images, _ = next(iter(made.training.epoch(0)))
        batches.append(images.numpy())
        answers.append([numpy_of(one) for one in keras.tree.flatten(made.model(batches[-1]))])
    np.testing.assert_allclose(
        normalize(batches[1], load_any(start).preprocessing), batches[0], atol=1e-2
    )
    for expected, found in zip(*answers, strict=True):
        assert snr_db(found, expected) > 5.0


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mixup": 0.5}, "--mixup goes with --task=classification, not"),
        ({"size": "64x98"}, "multiples of 4 pixels high and wide .*64x98"),
        ({"eval_split": "train"}, "share images"),
        ({"data": "nowhere"}, "nowhere"),
        ({"qat": True}, "--qat needs --from"),
        ({"start_from": "care_nano_cifar10"}, "no backbone as --model=two_blocks has it"),
        ({"start_from": "care_nano_cifar10", "qat": True}, "is no"),
    ],
)
def test_mistakes_are_named(task, changes, message, folders, tmp_path):
    with pytest.raises(UserError, match=message):
        train(settings(task, folders, tmp_path / "run", **changes))
    assert not list(tmp_path.rglob("*.keras"))


def test_a_quantized_form_keeps_its_size(run, folders, tmp_path):
    task, run_dir, _ = run
    changes = {"start_from": str(run_dir / "model.keras"), "qat": True, "size": "96x96"}
    with pytest.raises(UserError, match="64x96, which --qat keeps: leave --size=96x96 out"):
        train(settings(task, folders, tmp_path / "run", **changes))


@pytest.mark.parametrize("task", TASKS)
def test_losses_in_half_precision_are_scaled(task, folders, tmp_path):
    config = settings(task, folders, tmp_path, dtype="mixed_float16")
    maker = task_maker(config)
    made = maker.float_task(config, *maker.open_sources(config), Distribution())
    trainer._compile(made, config)
    assert isinstance(made.model.optimizer, keras.optimizers.LossScaleOptimizer)


@pytest.mark.parametrize("task", TASKS)
def test_nothing_to_find_is_no_figure(task, folders, tmp_path, capsys):
    """And no end of a run in a traceback."""
    data = shutil.copytree(folders[task], tmp_path / "data")
    if task == "segmentation":
        names = {pathlib.Path(name).stem for name in (data / "val.txt").read_text().split()}
        for path in (path for path in (data / "labels").iterdir() if path.stem in names):
            with Image.open(path) as mask:
                Image.new("L", mask.size, 255).save(path)
    else:
        content = json.loads((data / "val.json").read_text())
        (data / "val.json").write_text(json.dumps({**content, "annotations": []}))
    changes = {"data": str(data), "epochs": 1}
    result = train(settings(task, folders, tmp_path / "run", **changes))
    assert result[FIGURES[task]] is None and result["best"] is None
    assert "not known, as there is nothing to find on 2 images" in capsys.readouterr().out


def test_one_class_is_not_told_apart(folders, tmp_path):
    """As masks of 0 and 255 have it."""
    data = shutil.copytree(folders["segmentation"], tmp_path / "data")
    (data / "classes.txt").unlink()
    for path in (data / "labels").iterdir():
        with Image.open(path) as mask:
            pixels = np.where(np.asarray(mask) == 1, 255, 0).astype(np.uint8)
        Image.fromarray(pixels).save(path)
    with pytest.raises(UserError, match="two classes or more; 255 in a label image is none"):
        train(settings("segmentation", folders, tmp_path / "run", data=str(data)))


def test_values_of_no_class_are_one_line(folders, tmp_path):
    data = shutil.copytree(folders["segmentation"], tmp_path / "data")
    (data / "classes.txt").write_text("sky\nroad\n")
    changes = {"data": str(data), "class_balance": True}
    with pytest.raises(UserError, match="and the 2 classes are 0 to 1"):
        train(settings("segmentation", folders, tmp_path / "run", **changes))
    assert not (tmp_path / "run").exists()


def test_what_judges_boxes_is_asked_for_first(folders, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with pytest.raises(MissingDependencyError, match=r"pycocotools is needed .*\[detection\]"):
        train(settings("detection", folders, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_the_last_epoch_is_evaluated(folders, tmp_path):
    """A run of fewer epochs than lie between evaluations has a best model too."""
    result = train(settings("segmentation", folders, tmp_path, epochs=1, eval_every=5))
    assert result["best"]["epoch"] == 1 and (tmp_path / "best.keras").exists()


def test_a_preset_is_for_its_task():
    with pytest.raises(UserError, match="--preset=coco_1x is for --task=detection, not segm"):
        training_config("coco_1x", {"task": "segmentation", "data": "x"})
