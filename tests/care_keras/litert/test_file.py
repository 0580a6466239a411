"""Files of several inputs and outputs, opened, run and read."""

import copy

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from care_keras.litert.file import LiteRTFile, whole_batches
from care_keras.litert.layer_runner import LayerRunner
from care_keras.litert.model import LiteRTModel
from care_keras.tflite_file import read_graph
from care_keras.tflite_file.writer import pack, unpack
from tests.tflite.several_ends import EXTRA_WEIGHTS, keras_file, several_ends
from tests.tflite.tiny_classifiers import tiny_classifier
from tests.tflite.tiny_models import tiny_model
from tflite.benchmark.worker import delegated_ops


def inputs_for(file, seed=0):
    generator = np.random.default_rng(seed)
    return {
        name: tensor.quantize(generator.standard_normal(tensor.shape))
        for name, tensor in file.inputs.items()
    }


@pytest.mark.parametrize("kind", ["both", "float32", "int8"])
def test_outputs_are_those_of_the_signature(kind):
    content = several_ends(kind) if kind == "both" else keras_file(kind)
    file = LiteRTFile(content)
    assert list(file.inputs) == ["extra", "images"]
    inputs = inputs_for(file)
    outputs = file.run(inputs)
    assert {name: (array.shape, array.dtype) for name, array in outputs.items()} == {
        name: (tensor.shape, tensor.dtype) for name, tensor in file.outputs.items()
    }
    expected = LiteRTFile(content).interpreter.get_signature_runner("serving_default")(**inputs)
    assert outputs.keys() == expected.keys() and len(outputs) == 2
    for name, array in outputs.items():
        np.testing.assert_array_equal(array, expected[name])


def test_each_input_is_where_it_belongs():
    file = LiteRTFile(several_ends("both"))
    inputs = inputs_for(file)
    plain = file.run(inputs | {"extra": np.zeros((1, 5), np.float32)})
    change = file.run(inputs)["scores"] - plain["scores"]
    np.testing.assert_allclose(change, inputs["extra"] @ EXTRA_WEIGHTS, atol=1e-5)
    np.testing.assert_allclose(plain["box"], 2 * plain["scores"][:, :2], rtol=1e-5)


def test_one_sample_after_the_other():
    file = LiteRTFile(several_ends("both"))
    rows = [inputs_for(file, seed) for seed in range(3)]
    samples = {
        tensor.index: np.stack([one[name] for one in rows]) for name, tensor in file.inputs.items()
    }
    found = [file.results()["scores"] for _ in file.inferences(samples)]
    np.testing.assert_array_equal(found, [file.run(one)["scores"] for one in rows])
    assert not np.array_equal(found[0], found[2])


def test_inputs_that_do_not_fit():
    file = LiteRTFile(several_ends("both"))
    inputs = inputs_for(file)
    with pytest.raises(ValueError, match="each of extra, images. Received: images, more for "):
        file.run({"images": inputs["images"], "more": inputs["extra"]})
    with pytest.raises(ValueError, match="an array for each of extra, images. Received: extra for"):
        file.run(inputs["images"])
    with pytest.raises(ValueError, match=r"fails to run. Received: \d+ bytes .*Dimension mismatch"):
        file.run(inputs | {"extra": np.zeros((1, 6), np.float32)})


def test_a_lone_input_needs_no_name():
    file = LiteRTFile(several_ends("outputs"))
    inputs = inputs_for(file)
    by_name, alone = file.run(inputs), file.run(inputs["images"])
    assert by_name.keys() == {"scores", "box"}
    assert all(np.array_equal(by_name[name], alone[name]) for name in by_name)


@pytest.mark.parametrize(
    "shapes",
    [
        (2, 9, 7, 3),
        {"images": (2, 9, 7, 3)},
        lambda details: {name: (2, 9, 7, one["shape"][3]) for name, one in details.items()},
    ],
)
def test_sizes_that_the_file_leaves_open(shapes):
    file = LiteRTFile(tiny_model("open"), input_shapes=shapes)
    assert file.inputs["images"].shape == (2, 9, 7, 3)
    (output,) = file.run(np.ones((2, 9, 7, 3), np.float32)).values()
    assert output.shape == (2, 9, 7, 3)


def test_shapes_that_do_not_fit():
    both = several_ends("both")
    with pytest.raises(ValueError, match=r"2 inputs: give .*Received: \(1, 5\) for extra, images"):
        LiteRTFile(both, input_shapes=(1, 5))
    with pytest.raises(ValueError, match="it has extra, images. Received: shapes of more"):
        LiteRTFile(both, input_shapes={"more": (1, 5)})
    # Sizes that the file fixes stay, unless they need not.
    message = "cannot open the model, with 1x8x8x3 for its input 'images' of 1x16x16x3. Received: "
    with pytest.raises(ValueError, match=message):
        LiteRTFile(tiny_model("conv"), input_shapes=(1, 8, 8, 3))
    file = LiteRTFile(tiny_model("conv"), input_shapes=(1, 8, 8, 3), strict=False)
    assert file.inputs["images"].shape == (1, 8, 8, 3)


def test_what_is_inside():
    content = tiny_model("conv")
    first, second = read_graph(content).operators
    file = LiteRTFile(content, keep_all=True)
    image = np.random.default_rng(0).random((1, 16, 16, 3), np.float32)
    (output,) = file.run(image).values()
    inner = file.tensor(first.outputs[0])
    assert inner.std() > 0.0
    # The second operator is the first, on what that gives.
    (again,) = LiteRTFile(content).run(inner).values()
    np.testing.assert_array_equal(file.tensor(second.outputs[0]), output)
    assert not np.array_equal(again, output)
    (whole,) = LiteRTFile(content).run(image).values()
    np.testing.assert_array_equal(whole, output)


def test_without_xnnpack():
    counts = [
        delegated_ops(LiteRTFile(tiny_model("conv"), xnnpack=xnnpack).interpreter)["delegated_ops"]
        for xnnpack in (True, False)
    ]
    assert counts == [2, 0]


def test_a_kernel_that_fails():
    file = LiteRTFile(tiny_model("two"))
    inputs = {"indices": np.full(4, 99, np.int32), "table": np.ones((8, 3), np.float32)}
    with pytest.raises(ValueError, match=r"fails to run. Received: \d+ bytes \(.*GATHER"):
        file.run(inputs)


def test_an_output_that_no_kernel_writes():
    model = unpack(tiny_model("conv"))
    graph = model.subgraphs[0]
    loose = copy.copy(graph.tensors[graph.outputs[0]])
    graph.tensors.append(loose)
    loose.name, loose.buffer = b"loose", 0
    graph.outputs = [len(graph.tensors) - 1]
    model.signatureDefs = []
    file = LiteRTFile(pack(model))
    with pytest.raises(ValueError, match=r"fails to run. Received: \d+ bytes \("):
        file.run(np.ones(file.inputs[next(iter(file.inputs))].shape, np.float32))


def test_words_of_the_runtime_that_quote_a_long_name():
    model = unpack(tiny_model("custom"))
    model.operatorCodes[0].customCode = b"x" * 3000
    with pytest.raises(ValueError, match=r"LiteRT cannot open .*custom op: x+\)$") as error:
        LiteRTFile(pack(model))
    assert len(str(error.value)) < 600


@pytest.mark.parametrize("content", [b"", b"no model" * 99, None])
def test_what_cannot_be_opened(content, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(tiny_model("custom") if content is None else content)
    with pytest.raises(ValueError, match="LiteRT cannot open the model. Received: /.*model.tflite"):
        LiteRTFile(path)


def test_batches_are_filled_up():
    values = np.arange(7)
    parts = [(part.tolist(), count) for part, count in whole_batches(values, 3)]
    assert parts == [([0, 1, 2], 3), ([3, 4, 5], 3), ([6, 6, 6], 1)]


def test_a_model_of_one_input_and_one_output():
    content = tiny_classifier("batch")
    model, file = LiteRTModel(content), LiteRTFile(content)
    assert model.inputs == file.inputs == {"images": model.input}
    assert model.outputs == file.outputs and list(model.outputs.values()) == [model.output]
    images = np.random.default_rng(0).standard_normal((6, 8, 8, 3)).astype(np.float32)
    np.testing.assert_array_equal(model.run(images[:4]), file.run(images[:4])["output_0"])
    np.testing.assert_allclose(model.predict(images)[:4], model.run(images[:4]))
    assert model.predict(images).shape == (6, 6)
    for kind, count in (("both", "2 inputs and 2 outputs"), ("outputs", "1 inputs and 2 outputs")):
        with pytest.raises(ValueError, match=f"one input and one output. Received: {count}"):
            LiteRTModel(several_ends(kind))


def test_every_tensor_of_a_file_that_has_them_for_outputs():
    runner = LayerRunner(several_ends("outputs"))
    images = np.random.default_rng(0).standard_normal((1, 8, 8, 3)).astype(np.float32)
    assert runner.tensors.keys() == runner.values(images).keys() == {"scores", "box"}


def test_a_name_that_is_no_text():
    content = keras_file("float32").replace(b"extra", b"e\x80tra")
    with pytest.raises(ValueError, match="cannot (open|read the names in) the model. Received: "):
        list(LiteRTFile(content).inputs)
