"""The options of an operator (stride, padding, axis, ...) as a plain dict."""

import functools
import re
import struct

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from care_keras.files import printable
from care_keras.tflite_file.verifier import Budget, CorruptFileError

# What the fields that hold an enumeration hold; all others are numbers.
_ENUMERATIONS = {
    "padding": schema.Padding,
    "fused_activation_function": schema.ActivationFunctionType,
    "mode": schema.MirrorPadMode,
    "in_data_type": schema.TensorType,
    "out_data_type": schema.TensorType,
    "out_type": schema.TensorType,
    "output_type": schema.TensorType,
    "idx_out_type": schema.TensorType,
    "quantized_bias_type": schema.TensorType,
}


def decode_options(operator: schema.Operator, budget: Budget) -> dict[str, object]:
    """Reads the options of a builtin operator.

    Args:
        operator: From a model whose frame was verified.
        budget: Of the file that it is in.

    Returns:
        Names as in TFLite's schema; enumerations by name (`"SAME"`,
        `"RELU6"`), vectors as lists. Empty for an operator without options.

    Raises:
        CorruptFileError: If they are not what their type says.
    """
    try:
        first = operator.BuiltinOptionsType(), operator.BuiltinOptions()
        second = operator.BuiltinOptions2Type(), operator.BuiltinOptions2()
        decoded = _fields(schema.BuiltinOptionsCreator, *first)
        decoded |= _fields(schema.BuiltinOptions2Creator, *second)
        names = {name: _snake_case(name) for name in decoded}
        return {names[name]: _plain(names[name], decoded[name], budget) for name in decoded}
    except CorruptFileError:
        raise
    # The reader of flatbuffers has no error of its own for offsets that lead nowhere.
    except (struct.error, ValueError, TypeError, IndexError, OverflowError) as error:
        raise CorruptFileError("the options of an operator lead out of it") from error


def _fields(creator, kind, table):
    """The fields of one union; a kind that is newer than this schema has none."""
    decoded = None if table is None else creator(kind, table)
    return {} if decoded is None else vars(decoded)


@functools.cache
def _snake_case(name):
    """`dilationWFactor` -> `dilation_w_factor`, as the schema has it."""
    return re.sub(r"(?<=.)(?=[A-Z])", "_", name).lower()


def _plain(name, value, budget):
    if isinstance(value, np.ndarray):
        budget.charge(value.nbytes)
        return value.tolist()
    if isinstance(value, bytes):
        budget.charge(len(value))
        return printable(value.decode(errors="replace"))
    if name in _ENUMERATIONS and isinstance(value, int):
        return enum_name(_ENUMERATIONS[name], value)
    return value


def enum_name(enumeration: type, value: int) -> str:
    """Name of a value of one of the schema's enumerations; `UNKNOWN_n` if it has none."""
    return _names(enumeration).get(value, f"UNKNOWN_{value}")


@functools.cache
def _names(enumeration):
    values = vars(enumeration).items()
    return {value: name for name, value in values if isinstance(value, int)}
