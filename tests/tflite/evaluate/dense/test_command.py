"""The command on real images, against what others compute from the file's own outputs."""

import contextlib
import io
import json
import shutil

import keras
import numpy as np
import pytest
from PIL import Image

from care_keras.data.detection import open_detection
from care_keras.data.preprocessing import resize_and_crop
from care_keras.data.segmentation import open_segmentation
from care_keras.detection.anchors import Anchors
from care_keras.detection.boxes import detections
from care_keras.litert.file import LiteRTFile
from tests.tflite.commands import run_here
from tests.tflite.dense_models import CLASSES, RECORD

IMAGES = 12
OPENERS = {"detection": open_detection, "segmentation": open_segmentation}
FIGURES = {"detection": "ap", "segmentation": "mean_iou"}


def evaluate(folder, *arguments):
    """What the command wrote, and how it ended."""
    flags = (f"--samples={IMAGES}", "--output_json=figures.json", *arguments)
    done = run_here("tflite.evaluate", *flags, folder=folder)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "figures.json").read_text()), done


@pytest.fixture(scope="module")
def result(made, tmp_path_factory):
    """The Keras model and its int8 file, each saying itself what it is for."""
    _, saved, converted, data = made
    folder = tmp_path_factory.mktemp("result")
    flags = (f"--model={converted}", f"--model={saved}", f"--data={data}", "--picture=found.png")
    return folder, *evaluate(folder, *flags)


def outputs_of(path, source):
    """Of each image the file's outputs as real values, by LiteRT itself."""
    file = LiteRTFile(path)
    (name,) = file.inputs
    for index in range(len(source)):
        codes = file.run({name: resize_and_crop(source[index], RECORD)[None]})
        yield index, {key: file.outputs[key].dequantize(one) for key, one in codes.items()}


def figures_of_coco(path, data):
    """pycocotools fed from the JSON itself, with boxes that Keras has decoded and suppressed."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    source = open_detection(str(data), "val").sample(IMAGES)
    anchors = Anchors.from_dict(
        json.loads(path.with_suffix(".json").read_text())["task"]["anchors"]
    )
    rows = []
    for index, values in outputs_of(path, source):
        height, width = source.image_size(index)
        found = detections(values["location"], values["score"], anchors, (64, 96))
        for box, score, label in zip(*(np.asarray(one)[0] for one in found), strict=True):
            if label >= 0:
                top, left, bottom, right = box * np.tile([height / 64, width / 96], 2)
                rows.append(
                    {
                        "image_id": source.image_ids[index],
                        "category_id": source.category_ids[label],
                        "bbox": [left, top, right - left, bottom - top],
                        "score": score,
                    }
                )
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO(data / "val.json")
        evaluator = COCOeval(known, known.loadRes(rows), "bbox")
        evaluator.params.imgIds = list(source.image_ids)
        for step in (evaluator.evaluate, evaluator.accumulate, evaluator.summarize):
            step()
    return dict(zip(("ap", "ap50", "ap75"), evaluator.stats, strict=False))


def figures_of_keras(path, data):
    """Keras's own metrics of logits that Keras has enlarged."""
    source = open_segmentation(str(data), "val").sample(IMAGES)
    classes = len(source.class_names)
    mean_iou = keras.metrics.MeanIoU(classes, ignore_class=255)
    of_class = keras.metrics.IoU(classes, [1], ignore_class=255)
    right = total = 0
    for index, values in outputs_of(path, source):
        known = source.mask(index)
        (logits,) = values.values()
        enlarged = keras.ops.image.resize(logits, known.shape, data_format="channels_last")[0]
        found = keras.ops.convert_to_numpy(keras.ops.argmax(enlarged, axis=-1))
        mean_iou.update_state(known, found)
        of_class.update_state(known, found)
        right, total = right + np.sum(found == known), total + np.sum(known != 255)
    return {
        "mean_iou": float(mean_iou.result()),
        "pixel_accuracy": right / total,
        CLASSES["segmentation"][1]: float(of_class.result()),
    }


def test_figures_are_those_of_others(made, result):
    task, _, converted, data = made
    model = result[1]["models"][0]
    if task == "detection":
        expected = figures_of_coco(converted, data)
        assert expected["ap50"] > 0.001
    else:
        expected = figures_of_keras(converted, data)
        assert expected["pixel_accuracy"] > 0.02
    told = {**model, **dict(zip(result[1]["class_names"], model["per_class"], strict=True))}
    # Keras's resizing and ours round logits of equal size to one side or the other.
    tolerance = {"detection": 1e-5, "segmentation": 5e-4}[task]
    assert {name: told[name] for name in expected} == pytest.approx(expected, abs=tolerance)


def assert_difference_is_known_better(content, figure):
    """Of the same images the difference is known far better than either."""
    low, high = content["comparisons"][0][f"{figure}_difference_interval_95"]
    own_low, own_high = content["models"][0][f"{figure}_interval_95"]
    assert high - low < own_high - own_low


def test_what_is_printed_is_what_is_written(made, result):
    task, saved, converted, _ = made
    _, content, done = result
    assert content["settings"]["task"] == task and content["images"] == IMAGES
    assert content["schema"] == f"care_keras.tflite.{task}/1"
    figure = FIGURES[task]
    values = [model[figure] for model in content["models"]]
    for model, path in zip(content["models"], (converted, saved), strict=True):
        low, high = model[f"{figure}_interval_95"]
        assert model["model"] == path.name and low <= model[figure] <= high
        row = next(line for line in done.stdout.splitlines() if line.startswith(path.name))
        assert f"{model[figure]:.2%}" in row and f"{low:.2%} to {high:.2%}" in row
    (comparison,) = content["comparisons"]
    difference = comparison[f"{figure}_difference"]
    low, high = comparison[f"{figure}_difference_interval_95"]
    assert difference == values[1] - values[0] and low <= difference <= high
    if task == "segmentation":
        # The AP of drawn weights is next to nothing, and so is its interval: see the bundled one.
        assert_difference_is_known_better(content, figure)
    assert "evaluating, image 12/12" in done.stderr and "wrote found.png" in done.stdout


def test_the_picture_has_a_column_for_each_model_and_for_what_is_known(result):
    with Image.open(result[0] / "found.png") as picture:
        pixels = np.asarray(picture).astype(int)
    column = pixels.shape[1] // 3
    first, known = pixels[:, :column], pixels[:, -column:]
    assert column > 400 and np.abs(first - known).mean() > 0.3


def test_the_number_of_workers_and_the_order_of_classes_are_of_no_matter(made, result, tmp_path):
    _, _, converted, data = made
    described = json.loads(converted.with_suffix(".json").read_text())
    for name, labels in (("same", described["labels"]), ("other", described["labels"][::-1])):
        shutil.copy(converted, tmp_path / f"{name}.tflite")
        (tmp_path / f"{name}.json").write_text(json.dumps(described | {"labels": labels}))
    flags = ("--model=same.tflite", "--model=other.tflite", f"--data={data}", "--workers=3")
    content, done = evaluate(tmp_path, *flags)
    same, other = content["models"]
    expected = result[1]["models"][0]
    assert same["per_class"] == expected["per_class"] != other["per_class"]
    assert "other.tflite has other classes than the data, or another order" in done.stderr


def test_images_that_cannot_be_read(made, tmp_path):
    task, _, converted, data = made
    source = OPENERS[task](str(data), "val").sample(IMAGES)
    copied = tmp_path / "data"
    shutil.copytree(data, copied)
    name = source.item_names[3]
    (copied / "images" / name.rpartition("/")[2]).write_bytes(b"no image")
    flags = (f"--model={converted}", "--data=data", f"--samples={IMAGES}")
    done = run_here("tflite.evaluate", *flags, folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: An image, or what is known of it, can")
    content, done = evaluate(tmp_path, *flags, "--skip_unreadable")
    assert content["images"] == IMAGES - 1 and len(content["unreadable_images"]) == 1
    assert "warning: left out 1 unreadable images" in done.stderr


def test_bundled_images_have_boxes_and_no_maps(made, tmp_path):
    task, _, converted, _ = made
    done = run_here("tflite.evaluate", f"--model={converted}", folder=tmp_path)
    if task == "detection":
        assert done.returncode == 0 and "bccd/test.json" in done.stdout
    else:
        assert done.returncode == 2
        last = done.stderr.splitlines()[-1]
        assert last == "error: --task=segmentation needs --data: no label images are bundled"


def test_the_bundled_detector_by_its_name(tmp_path):
    words = ("--model=care_xs_bccd", "--precision=float16", "--check_samples=2")
    done = run_here("care_keras.convert", *words, "--output=half.tflite", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    models = ("--model=half.tflite", "--model=care_xs_bccd")
    content, _ = evaluate(tmp_path, *models, "--samples=8", "--picture=boxes.png")
    assert content["images"] == 8
    for model in content["models"]:
        assert model["ap50"] > 0.5 and len(model["sha256"]) == 64
    assert_difference_is_known_better(content, "ap")
    assert (tmp_path / "boxes.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--task=classification"], "All models must be for one of"),
        (["--picture=found.svg"], "--picture must end in .png, not 'found.svg'"),
        (["--split=nothing"], "nothing"),
        (["--fit=crop"], "--fit=stretch shows it all"),
        (["--labels=labels.txt"], "Labels are of no use: all models name their classes"),
    ],
)
def test_what_does_not_go_is_one_line(made, tmp_path, flags, message):
    _, _, converted, data = made
    (tmp_path / "labels.txt").write_text("one")
    given = [f"--model={converted}", f"--data={data}", *flags]
    done = run_here("tflite.evaluate", *given, folder=tmp_path)
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: ") and message in last
    assert [path.name for path in tmp_path.iterdir()] == ["labels.txt"]


def test_a_file_without_a_description(made, tmp_path):
    """A segmenter needs but the task; a detector's boxes are nothing without anchors."""
    task, _, converted, data = made
    shutil.copy(converted, tmp_path / "alone.tflite")
    flags = ("--model=alone.tflite", f"--data={data}", f"--task={task}", "--fit=stretch")
    if task == "segmentation":
        _, done = evaluate(tmp_path, *flags, "--interpolation=bilinear")
        assert "alone.tflite does not name its classes" in done.stderr
        return
    done = run_here("tflite.evaluate", *flags, folder=tmp_path)
    assert done.returncode == 2
    assert "Nothing says the anchors that boxes are decoded with" in done.stderr.splitlines()[-1]


def test_test_serves_where_there_is_no_val(made, tmp_path):
    task, saved, _, data = made
    if task == "detection":
        for name in ("train.json", "test.json"):
            shutil.copy(data / name, tmp_path)
    else:
        for name in ("train.txt", "test.txt", "classes.txt"):
            shutil.copy(data / name, tmp_path)
        (tmp_path / "labels").symlink_to(data / "labels")
    (tmp_path / "images").symlink_to(data / "images")
    flags = (f"--model={saved}", f"--data={tmp_path}", "--samples=2")
    done = run_here("tflite.evaluate", *flags, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"{tmp_path / 'test'}." in done.stdout
    done = run_here("tflite.evaluate", *flags, "--split=val", folder=tmp_path)
    assert done.returncode == 2
    assert "Received: split='val'" in done.stderr.splitlines()[-1]
