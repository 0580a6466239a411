"""Files that take more than images, or give more than one output."""

import numpy as np
import pytest

from care_keras.data.overrides import InputOverrides
from care_keras.data.preprocessing import normalization, normalize
from care_keras.litert.file import LiteRTFile
from care_keras.tflite_file import read_graph
from tests.tflite.several_ends import EXTRA_WEIGHTS, keras_file, several_ends
from tests.tflite.tiny_classifiers import PREPROCESSING, expected_scores, tiny_classifier
from tflite.inputs.chosen_output import chosen_output
from tflite.inputs.image_file import ImageFile
from tflite.inputs.model_inputs import image_tensor, read_model_input
from tflite.inputs.real_and_extreme import make_inputs

GIVEN = InputOverrides(mean=PREPROCESSING.mean, std=PREPROCESSING.std, crop_ratio=1.0)


@pytest.fixture
def opened(tmp_path):
    def open_file(content, **options):
        path = tmp_path / "model.tflite"
        path.write_bytes(content)
        return ImageFile(path, read_model_input(path, GIVEN), **options)

    return open_file


def pixels_of(count):
    return np.random.default_rng(1).integers(0, 256, (count, 8, 8, 3)).astype(np.uint8)


def test_all_outputs_of_any_number_of_images(opened):
    file, pixels = opened(several_ends("batch")), pixels_of(6)
    assert (file.image, file.others, file.batch) == ("images", ("extra",), 4)
    outputs, extra = file.run_on(pixels), file.encode(pixels)["extra"]
    expected = expected_scores(pixels)
    np.testing.assert_allclose(outputs["scores"], expected + extra @ EXTRA_WEIGHTS, atol=1e-5)
    np.testing.assert_allclose(outputs["box"], 2 * expected[:, :2], atol=1e-5)
    # The noise is an image's, not a batch's.
    np.testing.assert_array_equal(file.run_on(pixels[3:], 3)["scores"], outputs["scores"][3:])
    assert not np.array_equal(file.run_on(pixels[3:], 4)["scores"], outputs["scores"][3:])


@pytest.mark.parametrize("kind", ["inputs", "unlike", "scalar"])
def test_inputs_of_any_shape_and_type(opened, kind):
    file, pixels = opened(several_ends(kind), seed=3), pixels_of(3)
    extra, scores = file.encode(pixels)["extra"], expected_scores(pixels)
    expected = {
        "inputs": lambda: scores + extra @ EXTRA_WEIGHTS,
        "unlike": lambda: scores + EXTRA_WEIGHTS[extra],
        "scalar": lambda: scores * extra[:, None],
    }[kind]()
    np.testing.assert_allclose(file.run_on(pixels)["scores"], expected, atol=1e-5)


def test_codes_beside_images(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(keras_file("int8"))
    file = ImageFile(path, read_model_input(path, GIVEN))
    encoded = file.encode(np.zeros((50, 16, 16, 3), np.uint8))
    assert encoded["extra"].dtype == encoded["images"].dtype == np.int8
    assert encoded["extra"].min() < -100 and encoded["extra"].max() > 100


def test_one_output_is_one(opened):
    file, pixels = opened(tiny_classifier("batch")), pixels_of(5)
    (scores,) = file.run_on(pixels).values()
    np.testing.assert_allclose(scores, expected_scores(pixels), atol=1e-5)


def test_which_input_takes_images(tmp_path):
    graph = read_graph(several_ends("both"))
    assert image_tensor(graph).shape == (1, 8, 8, 3)
    # Of two the first of the file; the other is fed noise.
    graph = read_graph(several_ends("images"))
    assert image_tensor(graph) is graph.inputs[0]


def test_real_and_extreme_images_beside_noise(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(several_ends("both"))
    inputs = make_inputs(path, "bundled", 8, 0, GIVEN)
    file = LiteRTFile(path)
    (noise,) = inputs.others.values()
    assert set(inputs.others) == {file.inputs["extra"].index} and noise.shape == (8, 5)
    assert inputs.shape == (1, 8, 8, 3) and inputs.values.shape == (8, 8, 8, 3)


def test_the_output_that_is_asked_for():
    assert chosen_output(["a"], None, "m", "--output") == "a"
    assert chosen_output(["a"], "b", "m", "--output") == "a"
    assert chosen_output(["a", "b"], "b", "m", "--output") == "b"
    message = "several outputs: choose one with --output=NAME. Received: outputs a, b of m"
    with pytest.raises(ValueError, match=message):
        chosen_output(["a", "b"], None, "m", "--output")
    with pytest.raises(ValueError, match="it has a, b. Received: --output=c for m"):
        chosen_output(["a", "b"], "c", "m", "--output")


def test_pixels_as_the_model_takes_them(opened):
    file, pixels = opened(several_ends("both")), pixels_of(2)
    np.testing.assert_array_equal(file.encode(pixels)["images"], normalize(pixels, PREPROCESSING))


def test_two_inputs_of_images(opened):
    file, pixels = opened(several_ends("images")), pixels_of(3)
    outputs = file.run_on(pixels)["scores"]
    encoded = file.encode(pixels)
    np.testing.assert_array_equal(encoded[file.image], normalize(pixels, PREPROCESSING))
    (other,) = file.others
    assert {file.image, other} == {"images", "more"} and encoded[other].shape == (3, 8, 8, 3)
    scale, offset = normalization(PREPROCESSING)
    as_pixels = (encoded[other] - offset) / scale
    expected = expected_scores(pixels) + expected_scores(as_pixels)
    np.testing.assert_allclose(outputs, expected, atol=1e-4)


def test_grey_images(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(tiny_classifier("grey"))
    said = InputOverrides(mean=(0.5,), std=(0.25,), crop_ratio=1.0)
    inputs = make_inputs(path, "bundled", 12, 0, said)
    assert inputs.shape == (1, 8, 8, 1) and inputs.values.shape == (12, 8, 8, 1)
    file = ImageFile(path, read_model_input(path, said))
    grey = pixels_of(2)[..., :1]
    (outputs,) = file.run_on(grey).values()
    # The file gives the value to each of three channels.
    values = np.repeat(normalize(grey, file.prepared.preprocessing), 3, axis=-1)
    scale, offset = normalization(PREPROCESSING)
    np.testing.assert_allclose(outputs, expected_scores((values - offset) / scale), atol=1e-4)
