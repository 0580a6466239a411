"""TensorFlow's converter: any Keras model as it is to a .tflite file."""

from collections.abc import Callable, Iterable

import keras
import numpy as np

from care_keras.data.preprocessing import normalization, normalize
from care_keras.data.record import Preprocessing


def convert_by_tensorflow(
    model: keras.Model,
    preprocessing: Preprocessing,
    precision: str,
    input_kind: str = "float",
    batch: int = 1,
    calibration: Iterable[np.ndarray] | None = None,
) -> bytes:
    """Converts a model as it stands; arguments as of `convert_model`.

    Needs the TensorFlow backend.

    Raises:
        ValueError: If TFLite cannot express the model.
    """
    import tensorflow as tf

    integer = precision == "int8"
    forward = _forward_function(model, preprocessing, input_kind)
    # An int8 model's uint8 input is the converter's doing; others cast in the graph.
    pixels_in_graph = input_kind == "rgb_uint8" and not integer
    signature = tf.TensorSpec(
        (batch, preprocessing.height, preprocessing.width, preprocessing.channels),
        tf.uint8 if pixels_in_graph else tf.float32,
        name="images",
    )
    module = _frozen_module(forward, signature, _output_names(model))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.serve_concrete], module)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if integer:
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.representative_dataset = lambda: _representative_inputs(
            calibration, preprocessing, input_kind, batch
        )
        converter.inference_output_type = tf.int8
        if input_kind == "rgb_uint8":
            converter.inference_input_type = tf.uint8
    try:
        return converter.convert()
    # The converter raises types of its own; their first line says what it could not do.
    except Exception as error:
        lines = str(error).strip().splitlines() or [repr(error)]
        raise ValueError(f"TFLite cannot express the model: {lines[0]}") from error


def _forward_function(model, preprocessing, input_kind) -> Callable:
    """Images of `input_kind` to the model's output, as a function of TensorFlow tensors."""
    import tensorflow as tf

    if input_kind == "float":
        return lambda images: model(images, training=False)
    scale, offset = normalization(preprocessing)
    return lambda images: model(tf.cast(images, tf.float32) * scale + offset, training=False)


def _output_names(model):
    """Names of the outputs in the file's signature, as TensorFlow flattens them."""
    names = list(getattr(model, "output_names", ["outputs"]))
    outputs = getattr(model, "output", None)
    if isinstance(outputs, dict):
        return sorted(outputs)
    return ["outputs"] if len(names) == 1 else names


def _frozen_module(forward, signature, names):
    """A `tf.Module` with the traced function, its variables made constants.

    The converter leaves the variables of a Keras 3 model as resources
    otherwise (VAR_HANDLE); the module gives the file a signature with names.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    try:
        traced = tf.function(forward).get_concrete_function(signature)
    except Exception as error:
        lines = str(error).strip().splitlines() or [repr(error)]
        raise ValueError(
            f"The model cannot take images of shape {tuple(signature.shape)}: {lines[0]}"
        ) from error
    frozen = convert_variables_to_constants_v2(traced)
    module = tf.Module()
    module.serve = tf.function(lambda images: dict(zip(names, frozen(images), strict=True)))
    module.serve_concrete = module.serve.get_concrete_function(signature)
    return module


def _representative_inputs(calibration, preprocessing, input_kind, batch):
    for index, pixels in enumerate(calibration):
        if input_kind == "float":
            values = normalize(pixels, preprocessing)
        else:
            values = pixels.astype(np.float32)
            if index == 0:
                # Both ends in one corner, so that the range is 0 to 255 and codes are pixels.
                values[0, 0], values[0, 1] = 0.0, 255.0
        yield [np.repeat(values[None], batch, axis=0)]
