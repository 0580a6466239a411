"""Real .tflite files by TensorFlow's converter, made once per process, and changes to them."""

import functools
from collections.abc import Callable

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from care_keras.console.native_output import captured_native_output
from care_keras.data.preprocessing import normalize
from care_keras.data.sources import open_source
from care_keras.loading import load_any
from care_keras.tflite_file.writer import pack

FILES = ("nano_float32", "nano_int8", "mobilenet_int8")


@functools.cache
def nano_model() -> keras.Model:
    """The bundled model."""
    return load_any("care_nano_cifar10")


@functools.cache
def mobilenet_model() -> keras.Model:
    """A model of someone else's, with random weights."""
    return keras.applications.MobileNetV2((96, 96, 3), alpha=0.35, weights=None, classes=10)


@functools.cache
def model_file(name: str) -> bytes:
    """One of `FILES`.

    The converter is given the models as they are, so that the int8 file of
    the bundled one has most of what an audit looks for: float ELU, DIV,
    BATCH_MATMUL with zero points, depthwise convolutions of 7x7.
    """
    model, _, precision = name.partition("_")
    if model == "nano":
        source = open_source("bundled", "train")
        images = normalize(np.stack([source[0], source[1]]), nano_model().preprocessing)
        function = _frozen("nano")
    else:
        images = np.random.default_rng(0).normal(size=(2, 96, 96, 3)).astype(np.float32)
        function = _frozen("mobilenet")
    return _converted(function, images if precision == "int8" else None)


@functools.cache
def _frozen(name):
    """A Keras model as a function without variables, traced once for all precisions."""
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    tf = _tensorflow()
    model = nano_model() if name == "nano" else mobilenet_model()
    traced = tf.function(lambda images: model(images, training=False))
    signature = tf.TensorSpec((1, *model.inputs[0].shape[1:]), name="images")
    if name == "nano":
        signature = tf.TensorSpec((1, 32, 32, 3), name="images")
    frozen = convert_variables_to_constants_v2(traced.get_concrete_function(signature))
    module = tf.Module()
    module.serve = tf.function(lambda images: {"outputs": frozen(images)[0]})
    return module, module.serve.get_concrete_function(signature)


def _converted(function, images=None, operators=None):
    tf = _tensorflow()
    module, concrete = function
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
    if operators:
        converter.target_spec.supported_ops = operators
        converter.allow_custom_ops = True
    if images is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([image[None]] for image in images)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8
    with captured_native_output():
        return converter.convert()


@functools.cache
def function_file(kind: str) -> bytes:
    """A file of a few operators.

    `small`: two convolutions and a sum. `open`: the same for any batch.
    `while`: a loop, whose condition and body are graphs of their own.
    `custom`: an operator that TFLite lacks, `flex`: the same left to TensorFlow.
    """
    tf = _tensorflow()
    kernel = np.random.default_rng(0).standard_normal((3, 3, 4, 4)).astype(np.float32)

    def convolve(images):
        return tf.nn.relu(tf.nn.conv2d(images, kernel, 1, "SAME"))

    def loop(images):
        return tf.while_loop(
            lambda i, x: i < 3, lambda i, x: (i + 1, x * 1.5), [tf.constant(0), images]
        )[1]

    functions = {
        "small": lambda images: convolve(convolve(images)) + images,
        "open": lambda images: convolve(convolve(images)) + images,
        "while": loop,
        "custom": lambda images: tf.raw_ops.MatrixInverse(input=images),
        "flex": lambda images: tf.raw_ops.MatrixInverse(input=images),
    }
    batch = None if kind == "open" else 1
    signature = tf.TensorSpec((batch, 4, 4, 4), name="images")
    concrete = tf.function(functions[kind], input_signature=[signature]).get_concrete_function()
    flex = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    operators = {"custom": flex[:1], "flex": flex}.get(kind)
    return _converted((tf.Module(), concrete), operators=operators)


def _tensorflow():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("only the TensorFlow backend makes a .tflite")
    import tensorflow as tf

    return tf


def edited(content: bytes, edit: Callable[[schema.ModelT], None]) -> bytes:
    """A file after a change to the tables in it."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    edit(model)
    return pack(model)


def add_code(model: schema.ModelT, name: str) -> int:
    """Adds a builtin operator to the table of operators; its index there."""
    code = schema.OperatorCodeT()
    code.builtinCode = getattr(schema.BuiltinOperator, name)
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    code.version = 1
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1
