"""TensorFlow's converter: any Keras model as it is to a .tflite file."""

from collections.abc import Callable, Iterable

import keras
import numpy as np

from care_keras.convert.examples import plain_name
from care_keras.data.preprocessing import normalization, normalize
from care_keras.data.record import Preprocessing
from care_keras.files import first_line
from care_keras.graph import functional_form, input_structure


def convert_by_tensorflow(
    model: keras.Model,
    preprocessing: Preprocessing | None,
    precision: str,
    input_kind: str = "float",
    batch: int = 1,
    calibration: Iterable[np.ndarray | tuple[np.ndarray, ...]] | None = None,
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
    one_image = len(model.inputs) == 1 and preprocessing is not None
    if one_image:
        size = (preprocessing.height, preprocessing.width, preprocessing.channels)
        dtype = tf.uint8 if pixels_in_graph else tf.float32
        signature = [tf.TensorSpec((batch, *size), dtype, name="images")]
    else:
        signature = [_spec(tensor, preprocessing, batch) for tensor in model.inputs]
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
            calibration, signature, preprocessing, input_kind, batch
        )
        converter.inference_output_type = tf.int8
        if not one_image:
            converter.inference_input_type = tf.int8
        if input_kind == "rgb_uint8":
            converter.inference_input_type = tf.uint8
    try:
        return converter.convert()
    # The converter raises types of its own; their first line says what it could not do.
    except Exception as error:
        raise ValueError(f"TFLite cannot express the model: {first_line(error)}") from error


def _spec(tensor, preprocessing, batch):
    """What one of several inputs takes, by its name."""
    import tensorflow as tf

    sizes = list(tensor.shape[1:])
    if len(sizes) == 3 and preprocessing is not None:
        given = zip(sizes[:2], (preprocessing.height, preprocessing.width), strict=True)
        sizes[:2] = [wanted if size is None else size for size, wanted in given]
    return tf.TensorSpec((batch, *sizes), tensor.dtype, name=plain_name(tensor.name))


def _forward_function(model, preprocessing, input_kind) -> Callable:
    """What the model takes to its output, as a function of TensorFlow tensors."""
    import tensorflow as tf

    def call(*values):
        inputs = values[0]
        if functional_form(model) is not None and keras.tree.is_nested(input_structure(model)):
            inputs = keras.tree.pack_sequence_as(input_structure(model), list(values))
        return model(inputs, training=False)

    if input_kind == "float":
        return call
    scale, offset = normalization(preprocessing)
    return lambda images: call(tf.cast(images, tf.float32) * scale + offset)


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
        traced = tf.function(forward).get_concrete_function(*signature)
    except Exception as error:
        shapes = ", ".join(str(tuple(spec.shape)) for spec in signature)
        reason = first_line(error)
        if reason == "in user code:":  # What failed stands at the end of AutoGraph's page.
            reason = first_line(ValueError(str(error).strip().splitlines()[-1].strip()))
        raise ValueError(f"The model cannot take inputs of shape {shapes}: {reason}") from error
    frozen = convert_variables_to_constants_v2(traced)
    module = tf.Module()
    fed = [spec.name for spec in signature]

    def serve(**inputs):
        return dict(zip(names, frozen(*(inputs[name] for name in fed)), strict=True))

    module.serve = tf.function(serve)
    module.serve_concrete = module.serve.get_concrete_function(
        **{spec.name: spec for spec in signature}
    )
    return module


def _representative_inputs(calibration, signature, preprocessing, input_kind, batch):
    for index, pixels in enumerate(calibration):
        if isinstance(pixels, tuple):
            # As the model takes them.
            yield {
                spec.name: np.repeat(one[None], batch, axis=0).astype(spec.dtype.as_numpy_dtype)
                for spec, one in zip(signature, pixels, strict=True)
            }
            continue
        if input_kind == "float":
            values = normalize(pixels, preprocessing)
        else:
            values = pixels.astype(np.float32)
            if index == 0:
                # Both ends in one corner, so that the range is 0 to 255 and codes are pixels.
                values[0, 0], values[0, 1] = 0.0, 255.0
        yield [np.repeat(values[None], batch, axis=0)]
