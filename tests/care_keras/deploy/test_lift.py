"""lift(): what a .tflite file computes, its deploy form computes, and the file made from that."""

import struct

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from care_keras.convert.job import ConversionJob
from care_keras.convert.run import run_job
from care_keras.deploy import DeployModel, fuse, lift
from care_keras.emit.network import emit_tflite
from care_keras.emit.rules.operators import options
from care_keras.litert.model import LiteRTModel
from care_keras.quantization import calibrate, quantize
from care_keras.tflite_file import audit_integer_only, read_graph
from care_keras.tflite_file.writer import TensorHandle, Writer
from tests.care_keras.helpers import (
    COMPILE,
    TINY,
    random_images,
    randomize_weights,
    tiny_classifier,
)
from tests.care_keras.tflite_file.files import edited, function_file, model_file

SIZE, CHANNELS = (8, 12), 4
SAME, VALID = schema.Padding.SAME, schema.Padding.VALID
RNG = np.random.default_rng(1)
KERNEL = RNG.normal(0.0, 0.3, (3, 3, CHANNELS, 6)).astype(np.float32)
DEPTHWISE = RNG.normal(0.0, 0.3, (3, 3, CHANNELS, 2)).astype(np.float32)
VECTOR = RNG.uniform(0.5, 1.5, CHANNELS).astype(np.float32)
MAP = RNG.uniform(0.5, 1.5, (*SIZE, CHANNELS)).astype(np.float32)
MATRIX = RNG.normal(0.0, 0.3, (CHANNELS, 5)).astype(np.float32)
ROWS = RNG.normal(0.0, 0.3, (5, SIZE[1])).astype(np.float32)
PIXELS = RNG.uniform(0.0, 255.0, (2, 96, 96, 3)).astype(np.float32)
IMAGES = RNG.normal(0.0, 1.0, (2, *SIZE, CHANNELS)).astype(np.float32)


def tensorflow():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("only the TensorFlow backend makes a .tflite")
    import tensorflow as tf

    return tf


def converted(function, *shapes, float16=False, keras_model=False):
    """The file that TensorFlow's converter makes of a function or a Keras model."""
    tf = tensorflow()
    if keras_model:
        converter = tf.lite.TFLiteConverter.from_keras_model(function)
    else:
        signature = [tf.TensorSpec(shape, name=f"x{i}") for i, shape in enumerate(shapes)]
        concrete = tf.function(function, input_signature=signature).get_concrete_function()
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], tf.Module())
    if float16:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    return converter.convert()


def run(content, *inputs):
    """A file's outputs for a batch, computed image by image: arrays of shape `(images, ...)`."""
    from ai_edge_litert.interpreter import Interpreter

    # Without XNNPACK's own way to sum, nothing is left that differs from Keras by more than 1e-6.
    interpreter = Interpreter(model_content=content)
    details = interpreter.get_input_details()
    interpreter.allocate_tensors()
    results = []
    for images in zip(*inputs, strict=True):
        for detail, image in zip(details, images, strict=True):
            interpreter.set_tensor(detail["index"], image[None].astype(detail["dtype"]))
        interpreter.invoke()
        results.append(
            [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]
        )
    return [np.stack(outputs) for outputs in zip(*results, strict=True)]


def assert_same(actual, expected, tolerance=1e-5):
    """Numbers for numbers, whichever axis the batch has."""
    actual = keras.ops.convert_to_numpy(actual).reshape(len(expected), -1)
    expected = expected.reshape(len(expected), -1)
    assert actual.shape == expected.shape
    assert np.isfinite(expected).all() and np.ptp(expected) > 0.0
    assert np.abs(actual - expected).max() <= tolerance * np.abs(expected).max()


def check(content, *inputs, tolerance=1e-5):
    """Lifts a file: the model, and the file that is written from it, give what the file gives."""
    inputs = inputs or (IMAGES,)
    model = lift(content)
    assert isinstance(model, DeployModel) and not model.foreign_operations
    expected = run(content, *inputs)
    outputs = model(inputs[0] if len(inputs) == 1 else list(inputs), training=False)
    if len(expected) > 1:
        graph = read_graph(content)
        places = {index: place for place, index in enumerate(graph.main.outputs)}
        names = graph.signatures[0].outputs
        assert sorted(outputs) == sorted(names)
        outputs = [outputs[name] for name in sorted(names, key=lambda name: places[names[name]])]
    for one, other in zip(outputs if len(expected) > 1 else [outputs], expected, strict=True):
        assert_same(one, other, tolerance)
    if len(expected) == len(inputs) == 1 and inputs[0].ndim == 4:
        written = run(emit_tflite(model, inputs[0].shape[1:3]), *inputs)
        assert_same(written[0], expected[0], tolerance)
    return model


def joined(tf, x):
    return tf.reshape(x, (-1, SIZE[0] * SIZE[1], CHANNELS))


def dynamic_flatten(tf, x):
    # What Keras's own layers leave of an open batch: SHAPE, STRIDED_SLICE, PACK, RESHAPE.
    shape = tf.shape(x)
    return tf.reshape(x, (shape[0], shape[1] * shape[2], CHANNELS)) * VECTOR


def twice(tf, x):
    # What both read must not change for one of them.
    x = tf.nn.conv2d(x, KERNEL, 1, "SAME")
    return tf.concat([tf.nn.relu(x), x * 2.0, x + 1.0, tf.reshape(x, tf.shape(x)) * 3.0], -1)


def windows(tf, x):
    # As Swin has them: parts of an image become a batch of their own and images again.
    x = tf.reshape(x, (2, 4, 3, 4, CHANNELS))
    x = tf.reshape(tf.transpose(x, (0, 2, 1, 3, 4)), (6, 16, CHANNELS))
    x = tf.nn.softmax(tf.matmul(x, x, transpose_b=True)) @ x
    x = tf.reshape(tf.reshape(x, (-1, CHANNELS)) @ MATRIX, (2, 3, 4, 4, 5))
    return tf.reshape(tf.transpose(x, (0, 2, 1, 3, 4)), (1, *SIZE, 5))


# Operators that the file must have, and the function that it is made from.
FUNCTIONS = {
    "conv same": ("CONV_2D", lambda tf, x: tf.nn.conv2d(x, KERNEL, 1, "SAME")),
    "conv strided": ("CONV_2D", lambda tf, x: tf.nn.conv2d(x, KERNEL, (1, 2, 3, 1), "VALID")),
    "conv dilated": ("CONV_2D", lambda tf, x: tf.nn.conv2d(x, KERNEL, 1, "SAME", dilations=2)),
    "conv and relu6": ("CONV_2D", lambda tf, x: tf.nn.relu6(tf.nn.conv2d(x, KERNEL, 1, "SAME"))),
    "conv in groups": ("CONV_2D", lambda tf, x: tf.nn.conv2d(x, KERNEL[:, :, :2], 1, "SAME")),
    "conv, mul, add": (
        "CONV_2D",
        lambda tf, x: tf.nn.conv2d(x, KERNEL, 1, "SAME") * [1, 2, 3, 4, 5, 6.0] + 1.0,
    ),
    "depthwise": (
        "DEPTHWISE_CONV_2D",
        lambda tf, x: tf.nn.depthwise_conv2d(x, DEPTHWISE, [1, 2, 2, 1], "SAME"),
    ),
    "depthwise dilated": (
        "DEPTHWISE_CONV_2D",
        lambda tf, x: tf.nn.depthwise_conv2d(x, DEPTHWISE, [1] * 4, "VALID", dilations=(2, 1)),
    ),
    "transposed same": (
        "TRANSPOSE_CONV",
        lambda tf, x: tf.nn.conv2d_transpose(x, KERNEL.swapaxes(2, 3), (1, 16, 24, 6), 2, "SAME"),
    ),
    "transposed valid": (
        "TRANSPOSE_CONV",
        lambda tf, x: tf.nn.conv2d_transpose(x, KERNEL.swapaxes(2, 3), (1, 17, 25, 6), 2, "VALID"),
    ),
    "transposed of odd size": (
        "TRANSPOSE_CONV",
        lambda tf, x: tf.nn.conv2d_transpose(x, KERNEL.swapaxes(2, 3), (1, 15, 23, 6), 2, "SAME"),
    ),
    "dense": ("FULLY_CONNECTED", lambda tf, x: tf.nn.relu(tf.matmul(x, MATRIX) + 0.1)),
    "dense of a vector": (
        "FULLY_CONNECTED",
        lambda tf, x: tf.reshape(x, (1, -1)) @ MAP.reshape(-1, 1) + 0.5,
    ),
    "rows by a matrix": ("BATCH_MATMUL", lambda tf, x: ROWS @ x),
    "computed matrices": (
        "BATCH_MATMUL",
        lambda tf, x: tf.matmul(x, tf.nn.tanh(x), transpose_a=True),
    ),
    "many matrices by one": (
        "BATCH_MATMUL",
        lambda tf, x: tf.matmul(x, tf.reduce_mean(tf.tanh(x), 1, keepdims=True), transpose_b=True),
    ),
    "turned matrices": ("BATCH_MATMUL", lambda tf, x: tf.matmul(x, x * x, transpose_b=True)),
    "matrices": (
        "BATCH_MATMUL",
        lambda tf, x: x @ np.linspace(-1, 1, 8 * 20, dtype="f").reshape(8, 4, 5),
    ),
    "add": ("ADD", lambda tf, x: tf.nn.relu(x + tf.nn.tanh(x))),
    "add a vector": ("ADD", lambda tf, x: tf.nn.relu6(x + VECTOR)),
    "add a map": ("ADD", lambda tf, x: x + MAP),
    "add rows": ("ADD", lambda tf, x: tf.reduce_mean(x, 1) + MAP),
    "sub": ("SUB", lambda tf, x: tf.nn.tanh(x) - tf.reduce_max(x, (1, 2))),
    "sub from a vector": ("SUB", lambda tf, x: VECTOR - x),
    "mul": ("MUL", lambda tf, x: x * tf.nn.sigmoid(x)),
    "mul of sequences": ("MUL", lambda tf, x: joined(tf, x) * VECTOR + 1.0),
    "div": ("DIV", lambda tf, x: x / (1.0 + tf.exp(x))),
    "div by signed": ("DIV", lambda tf, x: x / (tf.tanh(x) * 0.5 - 1.0)),
    "div a number": ("DIV", lambda tf, x: 1.5 / (2.0 + tf.tanh(x))),
    "maximum": ("MAXIMUM", lambda tf, x: tf.maximum(x, tf.tanh(x) * 0.5)),
    "maximum of a number": ("MAXIMUM", lambda tf, x: tf.maximum(x, -0.3)),
    "minimum of a map": ("MINIMUM", lambda tf, x: tf.minimum(x, MAP)),
    "clip": ("MINIMUM", lambda tf, x: tf.clip_by_value(x, -0.4, 0.7)),
    "relu": ("RELU", lambda tf, x: tf.nn.relu(tf.reshape(x, (-1, 96, CHANNELS)))),
    "relu_n1_to_1": ("RELU_N1_TO_1", lambda tf, x: tf.minimum(tf.maximum(x, -1.0), 1.0)),
    "leaky relu": ("LEAKY_RELU", lambda tf, x: tf.nn.leaky_relu(x, 0.3)),
    "elu": ("ELU", lambda tf, x: tf.nn.elu(x)),
    "gelu": ("GELU", lambda tf, x: tf.nn.gelu(x)),
    "gelu by tanh": ("GELU", lambda tf, x: tf.nn.gelu(x, approximate=True)),
    "hard swish": ("HARD_SWISH", lambda tf, x: x * tf.nn.relu6(x + 3.0) * np.float32(1 / 6)),
    "logistic": ("LOGISTIC", lambda tf, x: tf.nn.sigmoid(x)),
    "log": ("LOG", lambda tf, x: tf.math.log(tf.exp(x) + 1.0)),
    "rsqrt": ("RSQRT", lambda tf, x: tf.math.rsqrt(x * x + 0.1)),
    "sqrt": ("SQRT", lambda tf, x: tf.sqrt(tf.nn.relu(x))),
    "square": ("SQUARE", lambda tf, x: tf.square(x)),
    "abs": ("ABS", lambda tf, x: tf.abs(x)),
    "neg": ("NEG", lambda tf, x: tf.negative(joined(tf, x))),
    "power": ("POW", lambda tf, x: tf.pow(x, 3.0)),
    "squared difference": ("SQUARED_DIFFERENCE", lambda tf, x: tf.math.squared_difference(x, MAP)),
    "squared differences": (
        "SQUARED_DIFFERENCE",
        lambda tf, x: tf.math.squared_difference(x, tf.reduce_mean(x, (1, 2), keepdims=True)),
    ),
    "softmax": ("SOFTMAX", lambda tf, x: tf.nn.softmax(x)),
    "log softmax": ("LOG_SOFTMAX", lambda tf, x: tf.nn.log_softmax(x)),
    "mean": ("MEAN", lambda tf, x: tf.reduce_mean(x, (1, 2))),
    "mean of channels": ("MEAN", lambda tf, x: tf.reduce_mean(x, -1, keepdims=True)),
    "sum": ("SUM", lambda tf, x: tf.reduce_sum(x, 2)),
    "arg max": ("ARG_MAX", lambda tf, x: tf.argmax(x, -1)),
    "arg max of rows": (
        "ARG_MAX",
        lambda tf, x: tf.cast(tf.argmax(tf.transpose(x, (0, 2, 1, 3)), 2), tf.int32)[..., None],
    ),
    "arg max of an image": ("ARG_MAX", lambda tf, x: tf.argmax(tf.reduce_max(x, (1, 2)), 1)),
    "reduce max": ("REDUCE_MAX", lambda tf, x: tf.reduce_max(x, (1, 3))),
    "reduce min": ("REDUCE_MIN", lambda tf, x: tf.reduce_min(x, (1, 2), keepdims=True)),
    "max pool": ("MAX_POOL_2D", lambda tf, x: tf.nn.max_pool2d(x, 3, 2, "SAME")),
    "average pool": ("AVERAGE_POOL_2D", lambda tf, x: tf.nn.avg_pool2d(x, (2, 3), 1, "SAME")),
    "pad": ("PAD", lambda tf, x: tf.pad(x, ((0, 0), (1, 2), (0, 3), (0, 1)))),
    "concatenation": ("CONCATENATION", lambda tf, x: tf.concat([x, tf.tanh(x)], 1)),
    "a token in front": (
        "CONCATENATION",
        lambda tf, x: tf.concat([VECTOR.reshape(1, 1, -1), joined(tf, x)], 1),
    ),
    "transpose": ("TRANSPOSE", lambda tf, x: tf.transpose(x, (0, 3, 1, 2))),
    "slice": ("SLICE", lambda tf, x: tf.slice(x, (0, 1, 2, 0), (1, 5, -1, 3))),
    "strided slice": ("STRIDED_SLICE", lambda tf, x: x[:, 1:7:2, ::3]),
    "axes dropped": ("STRIDED_SLICE", lambda tf, x: x[:, -1, :, 1]),
    "an axis added": ("STRIDED_SLICE", lambda tf, x: x[:, 2:4, tf.newaxis] * 2.0),
    "split": ("SPLIT", lambda tf, x: (lambda a, b: a * b)(*tf.split(x, 2, -1))),
    "split unevenly": ("SPLIT_V", lambda tf, x: tf.concat(tf.split(x, (1, 5, 2), 1)[::-1], 1)),
    "tile": ("TILE", lambda tf, x: tf.tile(tf.tanh(x), (1, 2, 3, 1))),
    "pack": ("PACK", lambda tf, x: tf.stack([x, tf.tanh(x)], 2)),
    "sums": ("ADD_N", lambda tf, x: tf.add_n([x, tf.tanh(x), x * x])),
    "unpack": ("UNPACK", lambda tf, x: tf.add_n(tf.unstack(x, axis=3)[:2])),
    "bilinear": ("RESIZE_BILINEAR", lambda tf, x: tf.image.resize(x, (11, 7))),
    "nearest": ("RESIZE_NEAREST_NEIGHBOR", lambda tf, x: tf.image.resize(x, (16, 24), "nearest")),
    "depth to space": ("DEPTH_TO_SPACE", lambda tf, x: tf.nn.depth_to_space(x, 2)),
    "space to depth": ("SPACE_TO_DEPTH", lambda tf, x: tf.nn.space_to_depth(x, 2)),
    "read twice": ("CONV_2D", twice),
    "windows": ("BATCH_MATMUL", windows),
}


@pytest.mark.parametrize("case", FUNCTIONS)
def test_operators_of_tensorflow(case):
    operator, function = FUNCTIONS[case]
    tf = tensorflow()
    content = converted(lambda x: function(tf, x), (1, *SIZE, CHANNELS))
    assert operator in {found.name for found in read_graph(content).operators}
    check(content)


@pytest.mark.parametrize("case", ["conv, mul, add", "dense", "depthwise", "a token in front"])
def test_float16_weights_and_an_open_batch(case):
    operator, function = FUNCTIONS[case]
    tf = tensorflow()
    content = converted(lambda x: function(tf, x), (None, *SIZE, CHANNELS), float16=True)
    assert {operator, "DEQUANTIZE"} <= {found.name for found in read_graph(content).operators}
    check(content)


def written(write, dtype=np.float32, shape=(1, *SIZE, CHANNELS)):
    """A file of operators that TensorFlow's converter writes otherwise."""
    writer = Writer("tests")
    images = writer.tensor("images", shape, dtype)

    def add(name, inputs, shape, version=1, kind=None, dtype=np.float32, **fields):
        inputs = [
            x if isinstance(x, TensorHandle) else writer.constant("constant", np.asarray(x))
            for x in inputs
        ]
        output = writer.tensor(f"a/{name};b", shape, dtype)
        return writer.operator(name, version, inputs, output, kind and options(kind, **fields))

    return writer.finish({"images": images}, {"outputs": write(add, images)})


def int32(*values):
    return np.asarray(values, np.int32)


def time_first(add, x):
    order = int32(1, 0, 2, 3)
    x = add("TRANSPOSE", [x, order], (8, 1, 12, 4), kind="Transpose")
    x = add("MUL", [x, VECTOR], (8, 1, 12, 4), kind="Mul")
    mean = add("MEAN", [x, int32(0)], (1, 1, 12, 4), kind="Reducer", keepDims=True)
    x = add("SUB", [x, mean], (8, 1, 12, 4), kind="Sub")
    return add("TRANSPOSE", [x, order], (1, 8, 12, 4), kind="Transpose")


def padded_maximum(add, x, size=3, relu=False):
    if relu:
        x = add("RELU", [x], (1, 8, 12, 4))
    pairs = int32(0, 0, 1, 1, 2, 0, 0, 0).reshape(4, 2)
    x = add("PADV2", [x, pairs, np.float32(-3e38)], (1, 10, 14, 4), kind="PadV2")
    pool = {"filterHeight": size, "filterWidth": size, "strideH": 2, "strideW": 2}
    return add("MAX_POOL_2D", [x], (1, 4, 6, 4), kind="Pool2D", padding=VALID, **pool)


def convolution(add, x, shape, name="CONV_2D", padding=SAME, strides=(1, 1), dilation=(1, 1)):
    kernel = KERNEL.transpose(3, 0, 1, 2)
    fields = {}
    if name == "DEPTHWISE_CONV_2D":
        kernel, fields = DEPTHWISE.reshape(1, 3, 3, -1), {"depthMultiplier": 2}
    fields |= {"strideH": strides[0], "strideW": strides[1], "padding": padding}
    fields |= {"dilationHFactor": dilation[0], "dilationWFactor": dilation[1]}
    kind = "Conv2D" if name == "CONV_2D" else "DepthwiseConv2D"
    bias = [np.zeros(len(kernel) if name == "CONV_2D" else 8, np.float32)]
    return add(name, [x, kernel, *bias], shape, 2, kind, **fields)


def dense(add, x, rows, keep):
    weights = RNG.normal(size=(3, 384 // rows)).astype(np.float32)
    shape = (1, 8, 12, 3) if keep else (rows, 3)
    # Without a bias.
    return add("FULLY_CONNECTED", [x, weights], shape, 5, "FullyConnected", keepNumDims=keep)


def resize(add, x, kind, size, of_one=False, **fields):
    channels = (CHANNELS,)
    if of_one:
        x = add("MEAN", [x, int32(1, 2)], (1, 1, 1, 4), kind="Reducer", keepDims=True)
    name = {"ResizeBilinear": "RESIZE_BILINEAR"}.get(kind, "RESIZE_NEAREST_NEIGHBOR")
    return add(name, [x, int32(*size)], (1, *size, *channels), 3, kind, **fields)


def mask_of_constants(add, x):
    """What shifted windows are masked with, as TensorFlow's converter leaves it to be computed."""
    zeros, ones = np.zeros((1, 8, 12, 1), np.float32), np.ones((1, 3, 12, 1), np.float32)
    regions = add("DYNAMIC_UPDATE_SLICE", [zeros, ones, int32(0, 6, 0, 0)], zeros.shape)
    differ = add("NOT_EQUAL", [regions, zeros], zeros.shape, kind="NotEqual", dtype=np.bool_)
    low = np.full(zeros.shape, -2.0, np.float32)
    mask = add("SELECT_V2", [differ, low, zeros], zeros.shape, kind="SelectV2")
    return add("ADD", [x, mask], (1, 8, 12, 4), kind="Add")


WRITTEN = {
    "mask of constants": mask_of_constants,
    "relu_0_to_1": lambda add, x: add("RELU_0_TO_1", [x], (1, 8, 12, 4)),
    "relu_n1_to_1": lambda add, x: add("RELU_N1_TO_1", [x], (1, 8, 12, 4)),
    "unit norm": lambda add, x: add("L2_NORMALIZATION", [x], (1, 8, 12, 4), kind="L2Norm"),
    "softmax of twice": lambda add, x: add("SOFTMAX", [x], (1, 8, 12, 4), 1, "Softmax", beta=2.0),
    "squeeze": lambda add, x: add(
        "SQUEEZE",
        [add("MEAN", [x, int32(1)], (1, 1, 12, 4), kind="Reducer", keepDims=True)],
        (1, 12, 4),
        kind="Squeeze",
        squeezeDims=[1],
    ),
    "expand": lambda add, x: add("EXPAND_DIMS", [x, int32(0)], (1, 1, 8, 12, 4), kind="ExpandDims"),
    "time first": time_first,
    "padded maximum": padded_maximum,
    "padded maximum of positive": lambda add, x: padded_maximum(add, x, relu=True),
    "strides and dilation": lambda add, x: convolution(
        add, x, (1, 4, 6, 6), strides=(2, 2), dilation=(2, 2)
    ),
    "strides and dilation, valid": lambda add, x: convolution(
        add, x, (1, 2, 8, 6), padding=VALID, strides=(2, 1), dilation=(2, 2)
    ),
    "uneven strides": lambda add, x: convolution(
        add, x, (1, 8, 6, 8), "DEPTHWISE_CONV_2D", strides=(1, 2)
    ),
    "dense": lambda add, x: dense(add, x, 1, False),
    "dense of rows": lambda add, x: dense(add, x, 8, False),
    "dense of pixels": lambda add, x: dense(add, x, 96, False),
    "dense of a map": lambda add, x: dense(add, x, 96, True),
    "nearest by corners of pixels": lambda add, x: resize(
        add, x, "ResizeNearestNeighbor", (16, 36)
    ),
    "bilinear by corners": lambda add, x: resize(
        add, x, "ResizeBilinear", (5, 17), alignCorners=True
    ),
    "bilinear by edges": lambda add, x: resize(add, x, "ResizeBilinear", (5, 17)),
    "nearest of corners": lambda add, x: resize(
        add, x, "ResizeNearestNeighbor", (5, 17), alignCorners=True
    ),
    "nearest of edges": lambda add, x: resize(add, x, "ResizeNearestNeighbor", (5, 17)),
    "bilinear of one pixel": lambda add, x: resize(
        add, x, "ResizeBilinear", (5, 7), of_one=True, alignCorners=True
    ),
}


@pytest.mark.parametrize("case", WRITTEN)
def test_operators_of_others(case):
    content = written(WRITTEN[case])
    model = check(content)
    assert all("/" not in layer.name and ";" not in layer.name for layer in model.layers)


def of_mediapipe(padding, strides, kernel, bias, sizes, options=None):
    """A file of one `Convolution2DTransposeBias`, which LiteRT has no kernel of its own for."""
    content = written(lambda add, x: add("RELU", [x, kernel, bias], (1, *sizes, len(kernel))))

    def edit(model):
        code = model.operatorCodes[0]
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        code.customCode = "Convolution2DTransposeBias"
        packed = struct.pack("<3i", padding, strides[1], strides[0])
        packed = packed if options is None else options
        model.subgraphs[0].operators[0].customOptions = np.frombuffer(packed, np.uint8)

    return edited(content, edit)


def transposed_convolution():
    """One of 2x2 taps by steps of 2, of ones, to 2 channels."""
    kernel = np.ones((2, 2, 2, CHANNELS), np.float32)
    return of_mediapipe(1, (2, 2), kernel, np.float32([0.5, -1.0]), [2 * size for size in SIZE])


@pytest.mark.parametrize(
    ("padding", "strides", "taps", "cut"),
    [
        # What is cut off of rows and of columns, in front and in all, by its definition.
        (1, (2, 2), (2, 2), ((0, 0), (0, 0))),
        (1, (2, 2), (3, 3), ((0, 1), (0, 1))),
        (1, (1, 2), (3, 5), ((1, 2), (1, 3))),
        (1, (2, 3), (2, 2), ((0, 0), (0, 0))),
        (2, (2, 2), (3, 3), ((0, 0), (0, 0))),
        (2, (3, 3), (2, 2), ((0, 0), (0, 0))),
    ],
)
def test_the_transposed_convolution_of_mediapipe(padding, strides, taps, cut):
    kernel = RNG.normal(size=(2, *taps, CHANNELS)).astype(np.float32)
    bias = np.asarray([0.5, -1.0], np.float32)
    full = [(n - 1) * s + k for n, s, k in zip(SIZE, strides, taps, strict=True)]
    expected = np.zeros((len(IMAGES), *full, 2))
    for row, column in np.ndindex(SIZE):
        parts = np.einsum("nc,oijc->nijo", IMAGES[:, row, column], kernel)
        top, left = row * strides[0], column * strides[1]
        expected[:, top : top + taps[0], left : left + taps[1]] += parts
    (top, rows), (left, columns) = cut
    sizes = full[0] - rows, full[1] - columns
    expected = expected[:, top : top + sizes[0], left : left + sizes[1]] + bias
    model = lift(of_mediapipe(padding, strides, kernel, bias, sizes))
    given = keras.ops.convert_to_numpy(model(IMAGES))
    np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (b"", "with options of 0 bytes"),
        (struct.pack("<3i", 0, 1, 1), "with padding 0 and strides of 1 and 1"),
        (struct.pack("<3i", 1, 0, -1), "with padding 1 and strides of -1 and 0"),
    ],
)
def test_wrong_options_of_mediapipe(options, reason):
    kernel, bias = np.ones((2, 2, 2, CHANNELS), np.float32), np.zeros(2, np.float32)
    assert reason in refusal(of_mediapipe(1, (2, 2), kernel, bias, (16, 24), options))


def test_several_inputs_and_outputs_keep_their_names():
    tf = tensorflow()

    def function(left, right):
        return {"sum/of both": left + right, "product": tf.nn.relu(left * right)}

    content = converted(function, (None, 6, 4), (None, 1, 4))
    names = [x.name for x in lift(content).inputs]
    given = {"x0": IMAGES[:, :6, 0], "x1": IMAGES[:, :1, 1]}
    model = check(content, *(given[name] for name in names))
    assert sorted(names) == ["x0", "x1"]
    assert {x.name: x.shape for x in model.inputs} == {"x0": (None, 6, 4), "x1": (None, 1, 4)}


@pytest.mark.parametrize("name", ["any size", "nothing"])
def test_images_of_any_size(name):
    tf = tensorflow()

    def function(x):
        if name == "nothing":
            return tf.identity(x)
        x = tf.nn.relu(tf.nn.conv2d(x, KERNEL, 2, "SAME"))
        return tf.reduce_mean(x, (1, 2)) * 2.0

    model = lift(converted(function, (None, None, None, CHANNELS)))
    assert model.input_shape == (None, None, None, CHANNELS)
    fixed = converted(function, (1, *SIZE, CHANNELS))
    assert_same(model(IMAGES), run(fixed, IMAGES)[0])


def applications():
    return {
        "MobileNetV2": lambda: keras.applications.MobileNetV2(
            (96, 96, 3), alpha=0.35, weights=None
        ),
        "MobileNetV3Small": lambda: keras.applications.MobileNetV3Small((64, 64, 3), weights=None),
        "EfficientNetB0": lambda: keras.applications.EfficientNetB0(
            input_shape=(64, 64, 3), weights=None, classes=10
        ),
        # The first two of four stages, which have all of its operators.
        "ConvNeXtTiny": lambda: beginning(
            keras.applications.ConvNeXtTiny(
                input_shape=(32, 32, 3), weights=None, include_top=False
            ),
            "convnext_tiny_stage_1_block_1_identity",
        ),
    }


def beginning(model, last):
    x = model.get_layer(last).output
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.LayerNormalization(epsilon=1e-6)(x)
    return keras.Model(model.input, keras.layers.Dense(10, activation="softmax")(x))


@pytest.mark.parametrize("name", list(applications()))
def test_networks_of_keras(name):
    tensorflow()
    model = applications()[name]()
    randomize_weights(model, scale=0.05)
    check(frozen(model), PIXELS[:, : model.input_shape[1], : model.input_shape[2]])


def frozen(model):
    """The file of a Keras model, any number of images."""
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    tf = tensorflow()
    signature = [tf.TensorSpec((None, *model.input_shape[1:]))]
    call = tf.function(lambda x: model(x, training=False), input_signature=signature)
    concrete = convert_variables_to_constants_v2(call.get_concrete_function())
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete], tf.Module()).convert()


@pytest.mark.parametrize("weights", ["float32", "float16"])
def test_own_files(weights):
    images = IMAGES[..., :3].repeat(2, 1).repeat(2, 2)
    model = tiny_classifier()
    content = emit_tflite(fuse(model), (16, 24), weights=weights)
    lifted = check(content, images)
    if weights == "float32":
        assert_same(lifted(images), keras.ops.convert_to_numpy(model(images)))


@pytest.mark.parametrize("bits", [0x7FC00000, 0x7FA00000], ids=["quiet", "signalling"])
def test_weights_that_are_no_numbers(bits):
    content = emit_tflite(fuse(tiny_classifier()), (16, 24))
    constants = [one.content for one in read_graph(content).main.tensors if one.content is not None]
    first_number = max(constants, key=len)[:4].tobytes()
    content = content.replace(first_number, struct.pack("<I", bits))
    with pytest.raises(ValueError, match="with NaN in input") as error:
        lift(content)
    assert "\n" not in str(error.value)


def test_an_input_of_a_negative_size():
    def edit(model):
        graph = model.subgraphs[0]
        graph.tensors[graph.inputs[0]].shapeSignature = np.int32([-1, -1, -2, 3])

    content = edited(emit_tflite(fuse(tiny_classifier()), (16, 24)), edit)
    with pytest.raises(ValueError, match="an input of negative sizes.* Received: model="):
        lift(content)


def test_own_file_of_pixels():
    model = tiny_classifier(preprocessing=TINY.preprocessing)
    content = emit_tflite(fuse(model), (16, 24), input_kind="rgb_uint8")
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 24, 3)).astype(np.float32)
    expected = run(content, images)[0]
    assert_same(lift(content)(images), expected)


def test_the_bundled_model_converted(tmp_path):
    tensorflow()
    path = tmp_path / "nano.tflite"
    run_job(ConversionJob("care_nano_cifar10", path, "float32", "float", check_samples=50))
    check(path.read_bytes(), PIXELS[:, :32, :32] / 255.0)
    assert lift(path).name == "nano"


@pytest.fixture(scope="module")
def network():
    """A lifted file with most kinds of primitives."""
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((16, 24, 3))
    x = keras.layers.Conv2D(8, 3, 2, "same", activation="relu6")(x)
    y = keras.layers.DepthwiseConv2D(3, padding="same")(x)
    x = keras.layers.Add()([x, keras.layers.PReLU(shared_axes=(1, 2))(y)])
    x = keras.layers.Reshape((-1, 8))(keras.layers.MaxPooling2D()(x))
    x = keras.layers.Activation("gelu")(keras.layers.Dense(8)(x))
    x = keras.layers.GlobalAveragePooling1D()(x)
    model = keras.Model(inputs, keras.layers.Dense(5, activation="softmax")(x))
    randomize_weights(model)
    return emit_tflite(fuse(model), (16, 24)), model


def test_saves_and_loads(network, tmp_path):
    images = random_images()
    model = lift(network[0])
    model.save(tmp_path / "lifted.keras")
    loaded = keras.models.load_model(tmp_path / "lifted.keras")
    assert isinstance(loaded, DeployModel)
    assert_same(loaded(images), keras.ops.convert_to_numpy(model(images)), 1e-6)


def test_quantizes(network):
    images = random_images(16)
    model = lift(network[0])
    quantized = quantize(model)
    calibrate(quantized, [images])
    content = emit_tflite(quantized, (16, 24))
    assert not audit_integer_only(read_graph(content))
    interpreted = LiteRTModel(content).predict(images)
    expected = keras.ops.convert_to_numpy(model(images))
    assert np.abs(interpreted - expected).max() < 0.1 * np.ptp(expected)


def test_trains(network):
    model = lift(network[0])
    images, labels = random_images(8), np.arange(8) % 5
    model.compile("sgd", "sparse_categorical_crossentropy", **COMPILE)
    before = [keras.ops.convert_to_numpy(weight) for weight in model.trainable_weights]
    first = model.train_on_batch(images, labels)
    for _ in range(3):
        last = model.train_on_batch(images, labels)
    assert last < first and len(before) == len(model.weights)
    moved = [np.any(old != new.numpy()) for old, new in zip(before, model.weights, strict=True)]
    assert sum(moved) > 0.8 * len(moved)


def refusal(content):
    with pytest.raises(ValueError) as caught:
        lift(content)
    message = str(caught.value)
    assert "\n" not in message and "Received: " in message
    return message


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("while", ["WHILE (1, ", "a graph beside the first (2, "]),
        ("custom", ["CUSTOM:MatrixInverse (1, "]),
        ("flex", ["CUSTOM:FlexMatrixInverse (1, "]),
    ],
)
def test_refuses_what_tflite_has_no_primitives_for(kind, named):
    message = refusal(function_file(kind))
    assert all(part in message for part in named)
    assert message.endswith("bytes'") and "Received: model=" in message


def test_names_all_that_it_refuses_at_once():
    tf = tensorflow()

    def function(x):
        x = tf.pad(tf.sin(x), ((0, 0), (1, 1), (1, 1), (0, 0)), "REFLECT")
        return tf.cast(tf.argmin(tf.sin(x), -1), tf.float32) + tf.cumsum(x[..., 0], 1)

    message = refusal(converted(function, (1, *SIZE, CHANNELS)))
    for part in ("SIN (2, ", "MIRROR_PAD (1, ", "ARG_MIN (1, ", "CUMSUM (1, "):
        assert part in message


@pytest.mark.parametrize(
    ("of_places", "named"),
    [
        (lambda tf, x: tf.cast(x, tf.float32), "CAST of float32 (1, "),
        (lambda tf, x: x + 1, "ADD of places, as ARG_MAX gives them (1, "),
    ],
)
def test_refuses_to_compute_with_places(of_places, named):
    tf = tensorflow()
    content = converted(lambda x: of_places(tf, tf.argmax(x, -1)), (1, *SIZE, CHANNELS))
    assert named in refusal(content)


def test_refuses_files_of_int8():
    message = refusal(model_file("mobilenet_int8"))
    assert "CONV_2D of int8 (35, " in message and "SOFTMAX of int8 (1, " in message


WRONG = {
    "RESIZE_BILINEAR of more weights than a file of this size has": lambda add, x: resize(
        add, x, "ResizeBilinear", (10**8, 7), alignCorners=True
    ),
    "PADV2 with -1": lambda add, x: add(
        "PADV2",
        [x, int32(0, 0, 1, 1, 1, 1, 0, 0).reshape(4, 2), np.float32(-1.0)],
        (1, 10, 14, 4),
        kind="PadV2",
    ),
    "ADD with int32": lambda add, x: add("ADD", [x, int32(1)], (1, 8, 12, 4), kind="Add"),
    "ADD of [1, 8, 12, 4], [5]": lambda add, x: add(
        "ADD", [x, np.ones(5, np.float32)], (1, 8, 12, 4), kind="Add"
    ),
    "has no shape [7]": lambda add, x: add("RESHAPE", [x, int32(1, 7)], (1, 7), kind="Reshape"),
    "CONV_2D with a computed input 1": lambda add, x: add(
        "CONV_2D", [x, x, np.zeros(1, np.float32)], (1, 8, 12, 1), kind="Conv2D"
    ),
}


@pytest.mark.parametrize("reason", WRONG)
def test_says_what_of_an_operator_it_cannot_write(reason):
    assert reason in refusal(written(WRONG[reason]))


def test_refuses_a_batch_that_the_file_fixes():
    content = written(lambda add, x: add("RELU", [x], (3, 8)), shape=(3, 8))
    assert "an input without a batch of 1 in front (1, 'images')" in refusal(content)


def test_refuses_what_is_no_valid_file(network):
    refusal(b"")
    refusal(network[0][: len(network[0]) // 2])
    assert "cannot be read" in refusal("no/such/file.tflite")


def test_refuses_a_matrix_that_is_named_without_end():
    def write(add, x):
        matrix = np.zeros((384, 384), np.float32)
        shared = add("RESHAPE", [matrix, int32(384, 384)], (384, 384), kind="Reshape")
        for _ in range(300):
            x = add("FULLY_CONNECTED", [x, shared], (1, 384), 5, "FullyConnected")
        return x

    assert "of more weights than a file of this size has" in refusal(written(write))
