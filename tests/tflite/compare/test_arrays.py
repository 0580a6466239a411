"""Models compared on arrays of what their inputs take, images or not."""

import dataclasses
import json

import keras
import numpy as np
import pytest

from care_keras.deploy import fuse
from care_keras.emit.network import emit_tflite
from care_keras.tflite_file import read_graph
from tests.care_keras.quantization.samples import SIZE, deploy_form
from tests.tflite.commands import run_here
from tests.tflite.compare.test_faults import shuffled, with_constant, writer_of
from tests.tflite.several_ends import (
    converted_by_tensorflow,
    keras_file,
    keras_model,
)
from tflite.compare.comparison import compare
from tflite.compare.feeds import ArrayFeed, chunks
from tflite.compare.opened import open_pair, open_pair_of_arrays
from tflite.compare.text import to_dict, verdict

EXAMPLES = 10


@pytest.fixture(scope="module")
def sensor():
    """A model without images."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((12,), name="accelerations")
    x = keras.layers.Dense(16, "relu", name="hidden")(inputs)
    return keras.Model(inputs, keras.layers.Dense(3, name="motion")(x))


def random_arrays(model):
    generator = np.random.default_rng(0)
    shapes = {tensor.name: (EXAMPLES, *tensor.shape[1:]) for tensor in model.inputs}
    return {name: generator.normal(size=x).astype(np.float32) for name, x in shapes.items()}


def written(folder, model, content, **arrays):
    """Paths of the Keras model, the file and the arrays."""
    model.save(folder / "model.keras")
    (folder / "model.tflite").write_bytes(content)
    np.savez(folder / "data.npz", **(arrays or random_arrays(model)))
    return [str(folder / name) for name in ("model.keras", "model.tflite", "data.npz")]


def compared(folder, model, content):
    paths = written(folder, model, content)
    pair, arrays = open_pair_of_arrays(*paths)
    feed = ArrayFeed(pair, arrays, paths[-1])
    assert len(feed) == EXAMPLES and len(feed.sample(7, seed=0)) == 7
    return compare(pair, feed, 5), pair


@pytest.mark.parametrize(("precision", "least_db"), [("float32", 100.0), ("int8", 15.0)])
def test_inputs_with_and_without_images(tmp_path, precision, least_db):
    result, pair = compared(tmp_path, keras_model(), keras_file(precision))
    assert pair.kind == precision and verdict(result, 0.9) is None
    assert [output.images for output in result.outputs] == [EXAMPLES] * 2
    assert all(output.figures.total_snr_db > least_db for output in result.outputs)
    assert result.layer_images == result.layer_images_identical == 5
    told = to_dict(pair, result, {}, None)
    assert not told["inputs_of_noise"] and told["passed"]


def test_a_file_of_batches(tmp_path, sensor):
    content = emit_tflite(fuse(sensor), (1, 1), batch=4)
    result, pair = compared(tmp_path, sensor, content)
    assert pair.litert.batch == 4 and result.unit == "examples"
    assert result.output.images == EXAMPLES and result.output.figures.total_snr_db > 100.0


def test_a_broken_layer_is_named(tmp_path, sensor):
    content = emit_tflite(fuse(sensor), (1, 1))
    index = writer_of(content, "hidden_product")
    result, _ = compared(tmp_path, sensor, with_constant(content, index, 1, shuffled))
    assert result.layers.first_wrong.operator_index == index
    assert "of the examples" in verdict(result, 1.01)


def test_examples_in_their_own_types(tmp_path):
    """Indices reach both as integers, as no float16 would hold them."""
    rows = keras.Input((), dtype="int32", name="row")
    model = keras.Model(rows, keras.layers.Embedding(5000, 4, name="table")(rows))
    content = converted_by_tensorflow(model)
    paths = written(tmp_path, model, content, row=np.arange(4990, 5000))
    pair, arrays = open_pair_of_arrays(*paths)
    result = compare(pair, ArrayFeed(pair, arrays, "rows"), 5)
    assert result.output.figures.max_difference == 0.0


def test_values_beyond_the_file_s_codes_are_counted(tmp_path):
    keras_path, path, data = written(tmp_path, keras_model(), keras_file("int8"))
    pair, arrays = open_pair_of_arrays(keras_path, path, data)
    feed = ArrayFeed(pair, arrays, data)
    list(chunks(feed, 3))
    assert feed.outside.get("extra", 0.0) < 0.1
    large = ArrayFeed(pair, {**arrays, "extra": 100 * arrays["extra"]}, data)
    list(chunks(large, 3))
    assert large.outside["extra"] > 0.9 and large.outside.get("images") == feed.outside.get(
        "images"
    )


def test_outputs_without_classes_or_layers_have_their_noise_judged(tmp_path, sensor):
    """Of a model of one number that is no graph there is nothing else."""
    result, _ = compared(tmp_path, sensor, emit_tflite(fuse(sensor), (1, 1)))
    noisy = dataclasses.replace(result.output.figures, total_snr_db=12.0)
    output = dataclasses.replace(result.output, agreement=None, figures=noisy)
    alone = dataclasses.replace(result, output=output, outputs=(output,), layers=None)
    assert verdict(alone, 0.9) == "the output has an SNR of 12.0 dB, 60 dB are asked for"
    assert verdict(result, 0.9) is None


def test_what_cannot_be_compared(tmp_path, sensor):
    content = emit_tflite(fuse(sensor), (1, 1))
    paths = written(tmp_path, sensor, content)
    with pytest.raises(ValueError, match=r"takes no images: .*which takes 'accelerations' \(12,\)"):
        open_pair(*paths[:2])
    wrong = {"accelerations": np.zeros((4, 11), np.float32)}
    with pytest.raises(ValueError, match=r"does not fit its input.* float32 \(4, 11\)"):
        open_pair_of_arrays(*written(tmp_path, sensor, content, **wrong))
    alone = {"extra": np.zeros((4, 5), np.float32)}
    with pytest.raises(ValueError, match=r"Received: no array for 'images' \(16, 16, 3\) in "):
        open_pair_of_arrays(*written(tmp_path, keras_model(), keras_file(), **alone))
    with pytest.raises(ValueError, match="do not fit together: inputs images, extra in"):
        open_pair_of_arrays(*written(tmp_path, keras_model(), content))
    anything = keras.Sequential([keras.Input((None, 3), name="track"), keras.layers.Dense(2)])
    open_size = converted_by_tensorflow(anything)
    assert -1 in read_graph(open_size).inputs[0].shape_signature[1:]
    with pytest.raises(ValueError, match="leaves sizes of an input open"):
        open_pair_of_arrays(*written(tmp_path, anything, open_size, track=np.zeros((2, 8, 3))))


def test_pixels_are_no_normalized_values(tmp_path):
    model = deploy_form()
    content = emit_tflite(model, SIZE, input_kind="rgb_uint8")
    paths = written(tmp_path, model, content, images=np.zeros((2, *SIZE, 3), np.float32))
    description = {"input": {"kind": "rgb_uint8"}, "preprocessing": model.preprocessing.to_dict()}
    (tmp_path / "model.json").write_text(json.dumps(description))
    with pytest.raises(ValueError, match="takes pixels and the Keras model normalized values"):
        open_pair_of_arrays(*paths)


def test_the_command(tmp_path, sensor):
    keras_path, path, data = written(tmp_path, sensor, emit_tflite(fuse(sensor), (1, 1)))
    given = (f"--keras={keras_path}", f"--model={path}", f"--data={data}")
    output = tmp_path / "run.json"
    done = run_here("tflite.compare", *given, f"--output_json={output}")
    assert done.returncode == 0, done.stderr
    assert "examples  same largest" in done.stdout and "on 10 examples." in done.stdout
    assert json.loads(output.read_text())["settings"]["data"] == data
    for flags, reason in (
        (("--size=32",), "of no use to arrays"),
        ((f"--data={tmp_path}/none.npz",), "cannot be read: No such file"),
    ):
        done = run_here("tflite.compare", *given, *flags)
        assert done.returncode == 2 and reason in done.stderr
