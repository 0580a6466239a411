import dataclasses
import json
import pathlib

import keras
import numpy as np
import pytest
from PIL import Image

from care_keras.data.overrides import GEOMETRY, InputOverrides
from care_keras.data.preprocessing import normalization, normalize, resize_and_crop
from care_keras.data.sources import open_source
from care_keras.metrics import top_k
from tests.tflite.picking_models import RECORD, write_picking
from tests.tflite.several_ends import EXTRA_WEIGHTS, write_several_ends
from tests.tflite.tiny_classifiers import (
    CLASSES,
    PREPROCESSING,
    expected_scores,
    tiny_classifier,
)
from tflite.evaluate import models as models_module
from tflite.evaluate.evaluation import evaluate
from tflite.evaluate.models import open_models
from tflite.evaluate.opened import check_threads_of
from tflite.inputs.image_file import ImageFile

NAMES = tuple("abcdef")
GIVEN = InputOverrides(mean=PREPROCESSING.mean, std=PREPROCESSING.std, crop_ratio=1.0)


@pytest.fixture(scope="module")
def photos():
    """Bundled photos, sorted into six classes by what the tiny classifiers see in most of them."""
    source = open_source("bundled:test").sample(300)
    scores = expected_scores(pixels_of(source))
    # Every third image is of another class than its best.
    labels = (np.argmax(scores, axis=-1) + (np.arange(300) % 3 == 0)) % CLASSES
    return dataclasses.replace(source, labels=labels, class_names=NAMES)


def pixels_of(source, record=PREPROCESSING):
    return np.stack([resize_and_crop(source[i], record) for i in range(len(source))])


@pytest.fixture
def write(tmp_path):
    def write(kind, name=None, labels=NAMES, **record):
        path = tmp_path / f"{name or kind}.tflite"
        path.write_bytes(tiny_classifier(kind))
        pixels = kind in ("uint8", "int32")
        description = {
            "input": {"kind": "rgb_uint8" if pixels else "float"},
            "preprocessing": dataclasses.replace(PREPROCESSING, **record).to_dict(),
            "labels": None if labels is None else list(labels),
        }
        path.with_suffix(".json").write_text(json.dumps(description))
        return str(path)

    return write


def test_several_threads_are_held_against_one(photos, write, monkeypatch):
    path = write("uint8")
    (model,) = open_models([path], num_threads=2)
    pixels = pixels_of(photos)[:8]
    assert model.thread_check(pixels).passed
    assert check_threads_of([model], photos) == []
    (alone,) = open_models([path])
    assert alone.thread_check is None

    class Wrong(ImageFile):
        """A runtime whose first output is off where several threads compute it."""

        def __init__(self, path, prepared, num_threads):
            super().__init__(path, prepared, num_threads)
            self._several = num_threads > 1

        def run(self, inputs):
            outputs = super().run(inputs)
            for array in outputs.values():
                array[:, 0] += self._several * 10.0
            return outputs

    monkeypatch.setattr(models_module, "ImageFile", Wrong)
    (model,) = open_models([path], num_threads=2)
    (line,) = check_threads_of([model], photos)
    assert line.startswith("uint8.tflite with 2 threads 17% of the output values are not those")


@pytest.fixture
def keras_file(tmp_path):
    """The same function as the tiny classifiers in Keras, for any size."""
    inputs = keras.Input((None, None, 3))
    means = keras.layers.GlobalAveragePooling2D()(inputs)
    model = keras.Model(inputs, keras.layers.Dense(CLASSES, use_bias=False)(means))
    model.layers[-1].set_weights([_weights()])
    model.save(tmp_path / "model.keras")
    return str(tmp_path / "model.keras")


def _weights():
    """Of the tiny classifiers, from what they say to pure colours."""
    colours = np.concatenate([np.zeros((1, 3)), 255 * np.eye(3)]).astype(np.uint8)
    scores = expected_scores(np.tile(colours[:, None, None], (1, 8, 8, 1)))
    return (scores[1:] - scores[0]) * np.asarray(PREPROCESSING.std)[:, None]


def test_figures_are_those_of_numpy(photos, write):
    models = open_models([write("float32"), write("uint8"), write("batch"), write("int32")])
    evaluation = evaluate(photos, models)
    scores = expected_scores(pixels_of(photos))
    best = np.argmax(scores, axis=-1)
    for accuracy in evaluation.accuracies:
        assert accuracy.top1.value == top_k(scores, photos.labels, 1)
        assert accuracy.top5.value == top_k(scores, photos.labels, 5)
        for i in range(CLASSES):
            for j in range(CLASSES):
                assert accuracy.confusion[i, j] == np.sum((photos.labels == i) & (best == j))
    assert 0.6 < evaluation.accuracies[0].top1.value < 0.7
    assert all(one.agreement.value == 1.0 for one in evaluation.comparisons.values())
    assert list(evaluation.comparisons) == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]


def test_quantized_files_are_nearly_as_right(photos, write):
    models = open_models([write("float32"), write("int8"), write("uint8_quantized")])
    evaluation = evaluate(photos, models)
    for i in (1, 2):
        assert evaluation.comparisons[0, i].agreement.value > 0.95
        assert abs(evaluation.comparisons[0, i].top1_difference) < 0.05


def test_a_keras_model_is_the_float_reference(photos, write, keras_file, monkeypatch):
    models = open_models([keras_file, write("float32")], dataclasses.replace(GIVEN, size=(8, 8)))
    evaluation = evaluate(photos, models, workers=2)
    assert [model.form for model in evaluation.models] == ["keras", "tflite"]
    assert evaluation.comparisons[0, 1].agreement.value == 1.0
    # As one graph, that longer runs are worth.
    monkeypatch.setattr("tflite.inputs.keras_runner._GRAPH_EXAMPLES", 1)
    as_graph = evaluate(photos, models[:1], workers=2)
    assert np.array_equal(
        as_graph.answers.models[0].predicted, evaluation.answers.models[0].predicted
    )


def test_the_number_of_workers_is_of_no_matter(photos, write):
    models = open_models([write("float32"), write("int8"), write("batch")])
    alone, three = (evaluate(photos, models, workers).answers for workers in (1, 3))
    for one, other in zip(alone.models, three.models, strict=True):
        assert np.array_equal(one.predicted, other.predicted)
        assert np.array_equal(one.label_ranks, other.label_ranks)


def test_models_of_different_sizes_in_one_pass(photos, write):
    decoded = []

    def read(index):
        decoded.append(index)
        return photos.read(index)

    paths = [write("float32"), write("float32", "cropped", crop_ratio=0.5)]
    paths.append(write("float32", "stretched", crop_ratio=0.5, fit="stretch"))
    paths.append(write("open", height=20, width=12))
    evaluation = evaluate(dataclasses.replace(photos, read=read), open_models(paths))
    assert sorted(decoded) == list(range(len(photos)))
    for model, answers in zip(evaluation.models, evaluation.answers.models, strict=True):
        best = np.argmax(expected_scores(pixels_of(photos, model.input.preprocessing)), axis=-1)
        assert np.array_equal(answers.predicted, best)
    assert evaluation.comparisons[0, 1].agreement.value < 1.0


def test_grey_and_rgb_in_one_pass(photos, write):
    grey = {"mean": (0.5,), "std": (0.25,)}
    evaluation = evaluate(photos, open_models([write("float32"), write("grey", **grey)]))
    for model, answers in zip(evaluation.models, evaluation.answers.models, strict=True):
        values = normalize(pixels_of(photos, model.input.preprocessing), model.input.preprocessing)
        # The file of grey images gives their value to each of three channels.
        scale, offset = normalization(PREPROCESSING)
        as_pixels = (np.broadcast_to(values, (*values.shape[:3], 3)) - offset) / scale
        best = np.argmax(expected_scores(as_pixels), axis=-1)
        assert np.array_equal(answers.predicted, best)


def test_classes_in_another_order(photos, write):
    order = [3, 1, 5, 0, 2, 4]
    paths = [write("float32"), write("float32", "turned", [NAMES[i] for i in order])]
    right, turned = evaluate(photos, open_models(paths)).accuracies
    # The second file's first output now means the class d.
    best = np.asarray(order)[np.argmax(expected_scores(pixels_of(photos)), axis=-1)]
    assert turned.top1.count == np.sum(best == photos.labels) != right.top1.count


def test_classes_that_the_data_lacks(photos, write):
    labels = np.minimum(photos.labels, 4)
    five = dataclasses.replace(photos, labels=labels, class_names=NAMES[:5])
    models = open_models([write("float32")])
    with pytest.raises(ValueError, match="5 classes without 'f' of the 6 labels of float32.tflite"):
        evaluate(five, models)
    accuracy = evaluate(five, models, label_match="subset").accuracies[0]
    best = np.argmax(expected_scores(pixels_of(photos)), axis=-1)
    assert accuracy.confusion.shape == (5, 5)
    assert accuracy.without_class == np.sum(best == 5) > 0
    assert accuracy.top1.count == np.sum(best == labels)


def test_labels_that_do_not_fit(photos, write):
    with pytest.raises(ValueError, match="Received: 5 labels for the 6 outputs of float32.tflite"):
        evaluate(photos, open_models([write("float32", labels=NAMES[:5])]))
    seven = dataclasses.replace(photos, class_names=(*NAMES, "g"))
    with pytest.raises(ValueError, match="Received: 6 outputs of float32.tflite for 7 classes"):
        evaluate(seven, open_models([write("float32", labels=None)]))
    with pytest.raises(ValueError, match="no labels to evaluate with"):
        evaluate(dataclasses.replace(photos, labels=None), open_models([write("float32")]))


def test_nan_is_counted_and_wrong(photos, write):
    models = open_models([write("nan"), write("float32")])
    evaluation = evaluate(photos, models)
    dark = pixels_of(photos)[:, 0, 0, 0] / 255 < PREPROCESSING.mean[0]
    assert evaluation.answers.models[0].nan_images == np.sum(dark) > 0
    assert evaluation.accuracies[0].without_class == np.sum(dark)
    assert evaluation.accuracies[0].top1.count < evaluation.accuracies[1].top1.count


def test_the_output_that_has_the_logits(photos, tmp_path):
    path = str(write_several_ends(tmp_path / "model.tflite", "outputs"))
    (model,) = open_models([path], output="scores")
    accuracy = evaluate(photos, [model]).accuracies[0]
    assert accuracy.top1.value == top_k(expected_scores(pixels_of(photos)), photos.labels, 1)
    assert (model.output, model.outputs, model.other_inputs) == ("scores", CLASSES, ())
    message = "several outputs: choose one with --output=NAME. Received: outputs scores, box of /"
    with pytest.raises(ValueError, match=message):
        open_models([path])
    with pytest.raises(ValueError, match="it has scores, box. Received: --output=logits for /"):
        open_models([path], output="logits")
    # It is that output's classes which are the data's.
    with pytest.raises(ValueError, match="Received: 2 outputs of model.tflite for 6 classes"):
        evaluate(photos, open_models([path], output="box"))


def test_an_output_among_models_that_have_one(photos, write, tmp_path):
    path = str(write_several_ends(tmp_path / "several.tflite", "outputs"))
    models = open_models([write("float32"), path], output="scores")
    assert evaluate(photos, models).comparisons[0, 1].agreement.value == 1.0
    with pytest.raises(ValueError, match="No model has that output. Received: --output=scores for"):
        open_models([write("float32")], output="scores")


def test_noise_beside_images(photos, tmp_path):
    (model,) = open_models([write_several_ends(tmp_path / "model.tflite", "both")], output="scores")
    assert model.other_inputs == ("extra",)
    noise = ImageFile(model.path, model.input).encode(pixels_of(photos))["extra"]
    scores = expected_scores(pixels_of(photos)) + noise @ EXTRA_WEIGHTS
    one, three = (evaluate(photos, [model], workers).accuracies[0] for workers in (1, 3))
    assert one.top1.value == three.top1.value == top_k(scores, photos.labels, 1)


def test_a_keras_model_of_several_outputs(photos, tmp_path):
    inputs = keras.Input((8, 8, 3))
    means = keras.layers.GlobalAveragePooling2D()(inputs)
    box = keras.layers.Dense(2, name="box")(means)
    scores = keras.layers.Dense(CLASSES, use_bias=False, name="scores")
    model = keras.Model(inputs, {"a_box": box, "scores": scores(means)})
    scores.set_weights([_weights()])
    model.save(tmp_path / "model.keras")
    path = str(tmp_path / "model.keras")
    (opened,) = open_models([path], GIVEN, output="scores")
    expected = top_k(expected_scores(pixels_of(photos)), photos.labels, 1)
    assert evaluate(photos, [opened]).accuracies[0].top1.value == expected
    with pytest.raises(ValueError, match="Received: outputs a_box, scores of "):
        open_models([path], GIVEN)


@pytest.fixture
def folder(tmp_path):
    """Photos of two classes, 40 each."""
    source = open_source("bundled:test")
    for i in range(80):
        path = tmp_path / "photos" / "ab"[i % 2] / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(source[i]).save(path)
    return tmp_path / "photos"


def test_an_unreadable_image(folder, write):
    models = open_models([write("float32")])
    for name in ("b/71.png", "a/30.png"):
        path = folder / name
        path.write_bytes(path.read_bytes()[:200])
    source = open_source(str(folder))
    # The first of the two, whatever worker comes first.
    with pytest.raises(ValueError, match="--skip_unreadable .*Received: .*a/30.png"):
        evaluate(source, models, workers=3, label_match="subset")
    result = evaluate(source, models, 3, label_match="subset", skip_unreadable=True)
    assert result.images == 78
    assert [name[-8:] for name in result.answers.unreadable] == ["a/30.png", "b/71.png"]


def test_no_readable_image(folder, write):
    for path in folder.glob("*/*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(ValueError, match="None of the 80 images is readable"):
        evaluate(
            open_source(str(folder)),
            open_models([write("float32")]),
            label_match="subset",
            skip_unreadable=True,
        )


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_truncated_files(tmp_path, share):
    content = tiny_classifier("float32")
    path = tmp_path / "model.tflite"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=f"The file is truncated or corrupt.*Received: {path}"):
        open_models([path], GIVEN)


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "No such file or directory"),
        (b"", "The file is empty"),
        (np.random.default_rng(0).bytes(5000), "The file is no TFLite model"),
        (b"\x1c\0\0\0TFL3" + np.random.default_rng(0).bytes(5000), "truncated or corrupt"),
    ],
)
def test_files_that_are_no_model(tmp_path, content, message):
    path = tmp_path / "model.tflite"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{message}.*Received: {path}"):
        open_models([path], GIVEN)


def test_a_damaged_keras_file(tmp_path, keras_file):
    path = tmp_path / "damaged.keras"
    path.write_bytes(pathlib.Path(keras_file).read_bytes()[:2000])
    with pytest.raises(ValueError, match="Not a .keras file, or a damaged one. Received: "):
        open_models([str(path)], GIVEN)


def test_models_that_are_no_classifiers(write):
    with pytest.raises(ValueError, match="Received: an output of 1x8x8x6 in"):
        open_models([write("map")])
    with pytest.raises(ValueError, match="is given twice"):
        open_models([write("map"), write("map")])
    with pytest.raises(ValueError, match="unresolved custom op: MatrixInverse"):
        open_models([write("custom")])


def test_files_of_one_name_are_told_apart(write, tmp_path):
    (tmp_path / "other").mkdir()
    path = write("float32")
    other = tmp_path / "other" / "float32.tflite"
    other.write_bytes(tiny_classifier("float32"))
    models = open_models([path, str(other)], GIVEN)
    assert [model.name for model in models] == [path, str(other)]


def test_a_class_instead_of_scores(photos, tmp_path):
    """File and Keras model; classes that the data lacks count as wrong, and there is no top-5."""
    path, model = write_picking(tmp_path, "class", "float32")
    names = tuple("abcdefghij")
    source = dataclasses.replace(photos, class_names=names)
    geometry = {name: getattr(RECORD, name) for name in GEOMETRY}
    said = InputOverrides(mean=(0.5,) * 3, std=(0.5,) * 3, **geometry)
    found = open_models([str(path), model], said)
    assert all(one.gives_class for one in found)
    result = evaluate(source, found, workers=2)
    pixels = normalize(pixels_of(source, found[0].input.preprocessing), RECORD)
    expected = keras.ops.convert_to_numpy(keras.models.load_model(model)(pixels))
    for answers, accuracy in zip(result.answers.models, result.accuracies, strict=True):
        np.testing.assert_array_equal(answers.predicted, expected)
        assert accuracy.top1.count == np.sum(expected == source.labels)
        assert accuracy.top5 is None and accuracy.without_class == 0
    few = evaluate(dataclasses.replace(photos, labels=photos.labels % 2), found[:1])
    known = expected < len(NAMES)
    assert few.accuracies[0].without_class == np.sum(~known) > 0
    assert few.accuracies[0].top1.count == np.sum(known & (expected == photos.labels % 2))


def test_a_map_of_classes_is_no_classifier(tmp_path):
    path, _ = write_picking(tmp_path, "map", "float32")
    with pytest.raises(ValueError, match=r"or the class as an integer.*integers of 1x16x16 in"):
        open_models([str(path)])
