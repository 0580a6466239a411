"""The flat list of calls: it computes what the model computes, in the order Keras runs it in."""

import pathlib
import re

import keras
import numpy as np
import pytest
from keras import ops

import care_keras
from care_keras.graph import Ref, unfold
from tests.care_keras.helpers import infer, numpy_of, tiny_backbone, tiny_classifier

SHAPE = (6, 8, 3)


def images(count=2, shape=SHAPE, seed=0):
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype(np.float32)


def block(name, channels=3):
    """A model to be put inside of others."""
    inputs = keras.Input((None, None, channels))
    x = keras.layers.Conv2D(channels, 3, padding="same", activation="relu")(inputs)
    return keras.Model(inputs, keras.layers.Add()([x, inputs]), name=name)


def plain():
    x = inputs = keras.Input(SHAPE)
    for size in (4, 5):
        x = keras.layers.Conv2D(size, 3)(x)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))


def branches():
    inputs = keras.Input(SHAPE)
    left = keras.layers.Conv2D(4, 1)(inputs)
    right = keras.layers.DepthwiseConv2D(3, padding="same")(inputs)
    deep = keras.layers.Conv2D(4, 1)(keras.layers.ReLU()(right))
    return keras.Model(inputs, keras.layers.Concatenate()([left, deep, right]))


def shared_layer():
    inputs = keras.Input(SHAPE)
    conv = keras.layers.Conv2D(3, 3, padding="same")
    return keras.Model(inputs, conv(keras.layers.ReLU()(conv(conv(inputs)))))


def shared_model():
    inputs = keras.Input(SHAPE)
    inner = block("inner")
    return keras.Model(inputs, inner(keras.layers.ReLU()(inner(inputs))))


def nested_twice():
    inner = keras.Input(SHAPE)
    middle = keras.Model(inner, block("inner")(keras.layers.ReLU()(inner)), name="middle")
    inputs = keras.Input(SHAPE)
    return keras.Model(inputs, keras.layers.Add()([middle(inputs), block("inner2")(inputs)]))


def sequential():
    layers = [keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.Flatten()]
    return keras.Sequential([keras.Input(SHAPE), *layers, keras.layers.Dense(3)])


def sequential_inside():
    inputs = keras.Input(SHAPE)
    return keras.Model(inputs, keras.layers.Dense(2)(sequential()(inputs)))


def operations():
    """What `keras.ops` and Python's operators make, with constants and keywords."""
    x = inputs = keras.Input(SHAPE)
    x = (x + 1.0) * 2.0 - x
    x = ops.transpose(x, (0, 2, 1, 3))
    x = ops.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0)))
    x = x[..., 0:] + x[:, :, None, 0]
    x = ops.concatenate([x[:, 1:], ops.sum(x, axis=1, keepdims=True)], axis=1)
    return keras.Model(inputs, ops.matmul(x, np.ones((3, 5), np.float32)))


def several_outputs_of_a_call():
    inputs = keras.Input(SHAPE)
    first, second = ops.split(inputs, 2, axis=2)
    return keras.Model(inputs, keras.layers.Subtract()([second, first]))


def attention():
    inputs = keras.Input((7, 4))
    x = keras.layers.MultiHeadAttention(2, 4)(inputs, inputs, key=inputs)
    return keras.Model(inputs, keras.layers.LayerNormalization()(x))


def a_dict_comes_out():
    inputs = keras.Input(SHAPE)
    x = keras.layers.ReLU()(inputs)
    return keras.Model(inputs, {"z": x, "a": keras.layers.Flatten()(x), "list": [inputs, x]})


def several_inputs():
    inputs = {name: keras.Input(SHAPE, name=name) for name in ("z", "a")}
    x = keras.layers.Subtract()([inputs["z"], inputs["a"]])
    return keras.Model(inputs, keras.layers.ReLU()(x))


def an_inner_model_of_two_inputs():
    inner = [keras.Input(SHAPE, name=name) for name in ("left", "right")]
    inner = keras.Model(inner, [keras.layers.Subtract()(inner), inner[0]], name="inner")
    inputs = keras.Input(SHAPE)
    difference, left = inner([keras.layers.ReLU()(inputs), inputs])
    return keras.Model(inputs, keras.layers.Concatenate()([left, difference]))


MODELS = (
    plain,
    branches,
    shared_layer,
    shared_model,
    nested_twice,
    sequential,
    sequential_inside,
    operations,
    several_outputs_of_a_call,
    attention,
    a_dict_comes_out,
    several_inputs,
    an_inner_model_of_two_inputs,
    tiny_classifier,
    tiny_backbone,
)


def call(operation, *args, **kwargs):
    return operation(*args, **kwargs)


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_it_computes_what_the_model_computes(make):
    model = make()
    graph = unfold(model)
    shapes = [tensor.shape[1:] for tensor in model.inputs]
    shapes = [shape if None not in shape else (16, 24, 3) for shape in shapes]
    values = [images(2, shape, seed) for seed, shape in enumerate(shapes)]
    given = values[0]
    if make is several_inputs:
        given = dict(zip(("a", "z"), values, strict=True))
    expected = infer(model, given)
    actual = graph.run([ops.convert_to_tensor(value) for value in values], call)
    keras.tree.assert_same_structure(actual, expected)
    for one, other in zip(keras.tree.flatten(actual), keras.tree.flatten(expected), strict=True):
        np.testing.assert_allclose(numpy_of(one), numpy_of(other), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_a_value_is_given_before_it_is_read(make):
    graph = unfold(make())
    known = set(range(graph.input_count))
    for step in graph.steps:
        assert set(step.inputs) <= known and known.isdisjoint(step.outputs)
        known |= set(step.outputs)
        assert not isinstance(step.operation, (keras.Model, keras.layers.InputLayer))
        assert graph.producers[step.outputs[0]] is step
    assert graph.returned <= known
    for index, steps in graph.readers.items():
        assert all(index in step.inputs for step in steps)


# The order decides how files are written: Keras's own is asked for here, and nowhere else.
@pytest.mark.parametrize(
    "make", [plain, branches, shared_layer, operations, attention], ids=lambda make: make.__name__
)
def test_the_order_is_that_of_keras(make):
    model, seen = make(), []

    def record(operation, *_, **__):
        seen.append(operation.name)
        return operation.output

    model._run_through_graph(model.inputs, call_fn=record)
    assert [step.operation.name for step in unfold(model).steps] == seen


def test_calls_of_models_are_told_apart():
    graph = unfold(shared_model())
    within = [step.within for step in graph.steps]
    assert [len(one) for one in within] == [1, 1, 0, 1, 1]
    (first,), (second,) = within[0], within[-1]
    assert first[0] is second[0] and first != second
    assert within[0] == within[1] and within[3] == within[4]


def test_a_layer_called_twice_is_two_steps():
    graph = unfold(shared_layer())
    names = [step.operation.name for step in graph.steps]
    assert len(names) == 4 and len(set(names)) == 2


def test_arguments_are_kept_as_they_were_given():
    split, subtract = unfold(several_outputs_of_a_call()).steps
    assert len(split.outputs) == 2 and subtract.inputs == split.outputs[::-1]
    assert subtract.args == ([Ref(split.outputs[1]), Ref(split.outputs[0])],)


def test_a_model_is_read_once():
    model = plain()
    assert unfold(model) is unfold(model)
    growing = sequential()
    before = len(unfold(growing).steps)
    growing.add(keras.layers.ReLU())
    assert len(unfold(growing).steps) == before + 1


def test_layers_that_cannot_say_their_config_are_called_all_the_same():
    """As some of KerasHub: a model of them is loaded by its own class's config."""

    class Silent(keras.layers.Layer):
        def call(self, inputs):
            return 2.0 * inputs

        def get_config(self):
            raise AttributeError("no such setting")

    silent = Silent(name="silent")
    inner = keras.Input(SHAPE)
    inner = keras.Model(inner, silent(keras.layers.ReLU()(inner)), name="inner")
    inputs = keras.Input(SHAPE)
    model = keras.Model(inputs, silent(inner(inputs)))
    x = images()
    np.testing.assert_array_equal(numpy_of(unfold(model).run([x], call)), infer(model, x))
    with pytest.raises(AttributeError, match="no such setting"):
        silent.get_config()


def test_what_has_no_graph_is_refused():
    class Subclassed(keras.Model):
        def call(self, inputs):
            return inputs

    for model in (Subclassed(), keras.Sequential([keras.layers.Dense(2)])):
        with pytest.raises(ValueError, match="Only functional and sequential.*Received: model="):
            unfold(model)
    with pytest.raises(ValueError, match="has 1 inputs. Received: 2 values"):
        unfold(plain()).run([1, 2], call)


def test_the_product_uses_no_private_attribute_of_a_graph():
    private = re.compile(
        r"_run_through_graph|_keras_history|_outbound_nodes|_inbound_nodes|_nodes_by_depth"
        r"|(from|import) keras\.src"
    )
    root = pathlib.Path(care_keras.__file__).parents[1]
    files = [
        path
        for folder in ("care_keras", "tflite", "android_bench")
        for path in sorted((root / folder).rglob("*.py"))
    ]
    assert len(files) > 200
    found = [
        f"{path.relative_to(root)}: {line.strip()}"
        for path in files
        for line in path.read_text().splitlines()
        if private.search(line)
    ]
    assert not found
