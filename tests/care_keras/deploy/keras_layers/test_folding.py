"""What is folded into the operation beside it, and what must not be."""

import keras
import numpy as np
import pytest
from keras import layers

from care_keras import primitives as p
from care_keras.deploy import Rewrites, fuse
from tests.care_keras.deploy.keras_layers.harness import (
    SIZE,
    LayerCase,
    arrays_of,
    check_fused,
    run,
)
from tests.care_keras.deploy.keras_layers.test_affine import CASES as AFFINE

# An offset does not commute with padding, and a sum or an activation lies between.
NOT_FOLDED = {
    "at the input",
    "at the input, before same padding",
    "behind an addition",
    "behind a concatenation, with ReLU behind",
    "twice",
    "of rank 3",
    "of one channel",
    "of another axis than the last",
    "rescaling",
    "normalization by one number",
    "normalization by given numbers",
    "normalization undone",
    "before a product over two axes",
}


def one_taps(model):
    """Depthwise convolutions that are but a factor and an offset."""
    return [
        layer.name
        for layer in model.layers
        if isinstance(layer, p.DepthwiseConv2D) and layer.kernel_size == (1, 1)
    ]


def kinds(model):
    return [type(layer).__name__ for layer in model.layers if isinstance(layer, p.Primitive)]


def fused_of(make):
    """The deploy form of a case that holds what every case does."""
    case = LayerCase(make)
    check_fused(case)
    return case.deployed


@pytest.mark.parametrize("name", sorted(AFFINE))
def test_a_factor_and_an_offset(name):
    found = one_taps(AFFINE[name].deployed)
    assert len(found) == (1 if name in NOT_FOLDED else 0)


@pytest.mark.parametrize(
    "make, kept",
    [
        (lambda x: layers.Conv2D(4, 3, 2)(layers.ZeroPadding2D(((0, 1), (0, 1)))(x)), 0),
        (lambda x: layers.DepthwiseConv2D(3, 2)(layers.ZeroPadding2D(((0, 1), (0, 1)))(x)), 0),
        (lambda x: layers.Conv2D(4, (3, 5))(layers.ZeroPadding2D((1, 2))(x)), 0),
        (lambda x: layers.Conv2D(4, 3, dilation_rate=2)(layers.ZeroPadding2D(2)(x)), 0),
        # "same" pads behind, where the sizes are even.
        (lambda x: layers.Conv2D(4, 3, 2)(layers.ZeroPadding2D(1)(x)), 1),
        (lambda x: layers.Conv2D(4, 3)(layers.ZeroPadding2D(((0, 2), (1, 1)))(x)), 1),
        (lambda x: layers.Conv2D(4, 3, padding="same")(layers.ZeroPadding2D(1)(x)), 1),
    ],
)
def test_padding_becomes_the_convolution_s_own(make, kept):
    assert kinds(fused_of(make)).count("Pad") == kept


def test_padding_that_more_than_a_convolution_reads_stays():
    def make(x):
        x = layers.ZeroPadding2D(1)(x)
        return layers.Concatenate()([layers.Conv2D(4, 3)(x), layers.Cropping2D(1)(x)])

    assert "Pad" in kinds(fused_of(make))


@pytest.mark.parametrize(
    "make, left",
    [
        # Squeeze and excitation as keras.applications has it.
        (lambda x: layers.Reshape((1, 1, -1))(layers.GlobalAveragePooling2D()(x)), 0),
        (
            lambda x: layers.Dense(4)(
                layers.Flatten()(layers.GlobalMaxPooling2D(keepdims=True)(x))
            ),
            1,
        ),
        (lambda x: layers.Dense(4)(layers.Reshape((48, 3))(x)), 1),
        (lambda x: layers.Reshape((8, 18))(layers.Reshape((48, 3))(x)), 1),
    ],
)
def test_of_reshapes_in_a_row_one_is_left(make, left):
    assert kinds(fused_of(make)).count("Reshape") == left


def test_a_reshape_that_something_else_reads_stays():
    def make(x):
        tokens = layers.Reshape((48, 3))(x)
        maps = layers.BatchNormalization()(layers.Reshape((6, 8, 3))(tokens))
        return layers.Flatten()(maps), layers.Dense(4)(tokens)

    fused_of(make)


# What a convolution with padding leaves of an offset in float files, and what nothing folds.
BY_ADD = {
    "at the input, before same padding": ["AddConstant", "Conv2D"],
    "of one channel": ["MultiplyConstant", "AddConstant"],
    "rescaling": ["MultiplyConstant", "AddConstant"],
    "normalization by one number": ["MultiplyConstant", "AddConstant"],
}


@pytest.mark.parametrize("name", sorted(AFFINE))
def test_an_offset_by_add(name):
    case = AFFINE[name]
    model = fuse(case.model, Rewrites(offset_by_add=True))
    case.assert_expected(arrays_of(run(model, case.inputs)))
    assert kinds(model) == BY_ADD.get(name, kinds(case.deployed))


@pytest.mark.parametrize(
    "make, kept",
    [
        # Read twice, it is added once; of one number whatever the channels.
        (lambda x: [layers.Conv2D(4, 3, padding="same")(x), layers.Conv2D(2, 3, 2, "same")(x)], 1),
        # Where something else has it computed, the convolution reads that.
        (lambda x: [layers.Conv2D(4, 3, padding="same")(x), layers.ELU()(x)], 1),
        (lambda x: layers.Conv2D(4, 3)(x), 0),
    ],
)
def test_an_offset_of_one_number_by_add(make, kept):
    case = LayerCase(lambda x: make(layers.Rescaling(1 / 127.5, -1.0)(x)), channels=16)
    model = fuse(case.model, Rewrites(offset_by_add=True))
    case.assert_expected(arrays_of(run(model, case.inputs)))
    assert kinds(model).count("AddConstant") == kept and not one_taps(model)


def test_a_factor_of_0_is_no_divisor():
    def make(x):
        return layers.Conv2D(4, 3, padding="same")(layers.Rescaling([0.0, 1.0, 2.0], 0.5)(x))

    case = LayerCase(make)
    model = fuse(case.model, Rewrites(offset_by_add=True))
    case.assert_expected(arrays_of(run(model, case.inputs)))
    assert len(one_taps(model)) == 1


def test_it_stays_where_that_is_asked_for():
    case = AFFINE["behind a convolution"]
    model = fuse(case.model, Rewrites(fold_batch_norm=False))
    assert len(one_taps(model)) == 1
    case.assert_expected([np.asarray(keras.ops.convert_to_numpy(model(case.inputs)))])


def activations_of(model):
    """The fused activation of each primitive that may have one."""
    return {x.name: x.activation for x in model.layers if hasattr(x, "activation")}


PRODUCTS = {
    "conv": lambda x: layers.Conv2D(4, 3, name="tested")(x),
    "depthwise": lambda x: layers.DepthwiseConv2D(3, name="tested")(x),
    "transposed": lambda x: layers.Conv2DTranspose(4, 2, 2, name="tested")(x),
    "dense": lambda x: layers.Dense(4, name="tested")(x),
    "add": lambda x: layers.Add(name="tested")([x, layers.Conv2D(3, 1, name="other")(x)]),
    "subtract": lambda x: layers.Subtract(name="tested")([x, layers.Conv2D(3, 1, name="other")(x)]),
    "multiply": lambda x: layers.Multiply(name="tested")([x, layers.Conv2D(3, 1, name="other")(x)]),
}
CLIPS = {
    "relu": layers.ReLU,
    "relu6": lambda: layers.ReLU(max_value=6),
    "relu_n1_to_1": lambda: layers.Activation("hard_tanh"),
}


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("activation", CLIPS)
def test_an_activation_is_fused(product, activation):
    model = fused_of(lambda x: CLIPS[activation]()(PRODUCTS[product](x)))
    assert "Clip" not in kinds(model)
    assert activations_of(model)["tested"] == activation


@pytest.mark.parametrize("activation", CLIPS)
def test_an_activation_of_a_layer_is_fused(activation):
    model = fused_of(
        lambda x: layers.Conv2D(4, 3, activation=CLIPS[activation](), name="tested")(x)
    )
    assert kinds(model) == ["Conv2D"]
    assert activations_of(model) == {"tested": activation}


def behind_a_norm(x):
    return layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(4, 3, name="tested")(x)))


def behind_dropout(x):
    return layers.ReLU()(layers.Dropout(0.5)(layers.Conv2D(4, 3, name="tested")(x)))


def behind_a_dense_layer(x):
    x = layers.GlobalAveragePooling2D()(x)
    return layers.ReLU()(layers.Dense(8, name="tested")(x))


@pytest.mark.parametrize("make", [behind_a_norm, behind_dropout, behind_a_dense_layer])
def test_an_activation_is_fused_through_what_lies_between(make):
    model = fused_of(make)
    assert "Clip" not in kinds(model)
    assert [x for x in activations_of(model).values() if x != "linear"] == ["relu"]


def read_twice(x):
    y = layers.Conv2D(3, 3, padding="same", name="tested")(x)
    return layers.Add()([y, layers.ReLU(name="relu")(y)])


def read_twice_behind_dropout(x):
    y = layers.Dropout(0.5)(layers.Conv2D(3, 3, padding="same", name="tested")(x))
    return layers.Add()([layers.ReLU(name="relu")(y), y])


def dropout_on_one_branch(x):
    y = layers.Conv2D(3, 3, padding="same", name="tested")(x)
    return layers.Add()([layers.ReLU(name="relu")(layers.Dropout(0.5)(y)), y])


def an_output(x):
    y = layers.Conv2D(3, 3, padding="same", name="tested")(x)
    return [y, layers.ReLU(name="relu")(y)]


def an_output_behind_dropout(x):
    y = layers.Dropout(0.5)(layers.Conv2D(3, 3, padding="same", name="tested")(x))
    return [layers.ReLU(name="relu")(y), y]


def read_before_it_is_reshaped(x):
    y = layers.Conv2D(3, 3, padding="same", name="tested")(x)
    rows = layers.ReLU(name="relu")(layers.Reshape((-1, 3))(y))
    return [rows, layers.MaxPooling2D()(y)]


def read_twice_behind_a_norm(x):
    y = layers.BatchNormalization()(layers.Conv2D(3, 3, padding="same", name="tested")(x))
    return layers.Add()([y, layers.ReLU(name="relu")(y)])


def a_norm_of_two_readers(x):
    y = layers.BatchNormalization()(layers.Add()([x, layers.Conv2D(3, 1, name="tested")(x)]))
    return layers.Add()([layers.Conv2D(3, 1)(y), layers.ReLU(name="relu")(y)])


def other_limits(x):
    return layers.ReLU(4.0, name="relu")(layers.Conv2D(3, 1, name="tested")(x))


def a_second_activation(x):
    y = layers.Conv2D(3, 1, activation="relu6", name="tested")(x)
    return layers.ReLU(0.5, name="relu")(y)


NOT_FUSED = (
    read_twice,
    read_twice_behind_dropout,
    dropout_on_one_branch,
    an_output,
    an_output_behind_dropout,
    read_before_it_is_reshaped,
    read_twice_behind_a_norm,
    a_norm_of_two_readers,
    other_limits,
    a_second_activation,
)


@pytest.mark.parametrize("make", NOT_FUSED, ids=lambda make: make.__name__)
def test_an_activation_that_must_stay(make):
    model = fused_of(make)
    assert isinstance(model.get_layer("relu"), p.Clip)
    assert activations_of(model)["tested"] == ("relu6" if make is a_second_activation else "linear")


def a_norm_that_shares_its_convolution(x):
    y = layers.Conv2D(3, 3, padding="same", name="tested")(x)
    return layers.Add()([y, layers.BatchNormalization()(y)])


def a_norm_behind_an_output(x):
    y = layers.Conv2D(3, 3, padding="same", name="tested")(x)
    return [y, layers.BatchNormalization()(y)]


def a_norm_behind_rows_of_a_map(x):
    y = layers.Conv2D(3, 3, padding="same", name="tested")(x)
    return [layers.BatchNormalization()(layers.Reshape((-1, 3))(y)), layers.MaxPooling2D()(y)]


@pytest.mark.parametrize(
    "make",
    [a_norm_that_shares_its_convolution, a_norm_behind_an_output, a_norm_behind_rows_of_a_map],
)
def test_a_norm_that_must_stay(make):
    assert len(one_taps(fused_of(make))) == 1


def test_layers_called_twice_are_folded_each_for_itself():
    conv = layers.Conv2D(3, 3, padding="same")

    def make(x):
        y = layers.ReLU()(layers.BatchNormalization()(conv(x)))
        return layers.Add(name="sum")([y, conv(y)])

    model = fused_of(make)
    first, second = (x for x in model.layers if isinstance(x, p.Conv2D))
    assert (first.activation, second.activation) == ("relu", "linear")
    assert one_taps(model) == []


def test_images_of_one_size_and_layers_of_odd_names():
    """A layer may have the name of the image, and names that primitives get."""

    def block(name):
        x = keras.Input((*SIZE, 3))
        y = layers.Dense(3, activation="tanh", name="image")(x)
        return keras.Model(x, layers.Dense(3, name="image_tanh")(y), name=name)

    model = fused_of(lambda x: block("b")(block("a")(x)))
    names = [operation.name for operation in model.operations]
    assert len(set(names)) == len(names)
