"""Operations that move codes, and those between float32 borders, against LiteRT."""

import numpy as np
import pytest

from tests.care_keras.reference.one_operation import Codes, Draw, File, both, check, options

RESULTS = {
    "RESHAPE": lambda x: x.reshape(2, 12, 20),
    "TRANSPOSE": lambda x: x.transpose(0, 2, 3, 1),
    "SLICE": lambda x: x[:, 1:4, :, 2:7],
    "STRIDED_SLICE": lambda x: x[:, 1:4, :, -3:],
    "PAD": None,
    "SPACE_TO_DEPTH": None,
    "DEPTH_TO_SPACE": None,
    "CONCATENATION": lambda x: np.concatenate([x, x], axis=-1),
}


VERSION_1 = ("RESHAPE", "DEPTH_TO_SPACE")


def build(name, file, x, result):
    handle = file.input(x)
    if name == "RESHAPE":
        shape = [2, 12, 20]
        return [handle, file.integers(shape)], options("Reshape", newShape=np.int32(shape))
    if name == "TRANSPOSE":
        return [handle, file.integers([0, 2, 3, 1])], options("Transpose")
    if name == "SLICE":
        begin, size = file.integers([0, 1, 0, 2]), file.integers([2, 3, 5, 5])
        return [handle, begin, size], options("Slice")
    if name == "STRIDED_SLICE":
        places = [file.integers(v) for v in ([0, 1, 0, -3], [0, 4, 0, 0], [1, 1, 1, 1])]
        return [handle, *places], options("StridedSlice", beginMask=0b0101, endMask=0b1101)
    if name == "PAD":
        return [handle, file.integers([[0, 0], [1, 2], [0, 1], [0, 3]])], options("Pad")
    if name == "CONCATENATION":
        return [handle, handle], options("Concatenation", axis=-1)
    kind = "SpaceToDepth" if name == "SPACE_TO_DEPTH" else "DepthToSpace"
    return [handle], options(kind, blockSize=2)


@pytest.mark.parametrize("name", RESULTS)
def test_moves(name):
    draw = Draw(0)
    x = draw.tensor(2, 6, 5, 8)
    if name in ("SPACE_TO_DEPTH", "DEPTH_TO_SPACE"):
        x = draw.tensor(2, 4, 6, 12)
    shapes = {
        "PAD": (2, 9, 6, 11),
        "SPACE_TO_DEPTH": (2, 2, 3, 48),
        "DEPTH_TO_SPACE": (2, 8, 12, 3),
    }
    function = RESULTS[name]
    shape = function(x.array).shape if function else shapes[name]
    file = File()
    inputs, fields = build(name, file, x, shape)
    result = Codes(np.empty(shape, np.int8), x.scale, x.zero_point)
    version = 1 if name in VERSION_1 else 2
    output = file.operator(name, version, inputs, result, fields)
    expected, codes = both(file, output)
    np.testing.assert_array_equal(codes, expected)
    if function:
        np.testing.assert_array_equal(codes, function(x.array))


@pytest.mark.parametrize("code", [-128, 3])
def test_padding_with_a_code(code):
    x = Draw(0).tensor(2, 5, 4, 7)
    padding = [[0, 0], [1, 0], [2, 3], [0, 1]]
    expected = np.pad(x.array, padding, constant_values=code)
    file = File()
    value = file.constant(Codes(np.asarray(code, np.int8), x.scale, x.zero_point))
    inputs = [file.input(x), file.integers(padding), value]
    result = Codes(expected, x.scale, x.zero_point)
    by_litert, codes = both(file, file.operator("PADV2", 2, inputs, result, options("PadV2")))
    np.testing.assert_array_equal(by_litert, expected)
    np.testing.assert_array_equal(codes, expected)


@pytest.mark.parametrize("axis", [0, 1, 3, -1, -2])
def test_stacks(axis):
    draw = Draw(0)
    x = draw.tensor(2, 5, 7)
    y = Codes(draw.codes(2, 5, 7), x.scale, x.zero_point)
    expected = np.stack([x.array, y.array], axis)
    file = File()
    fields = options("Pack", axis=axis, valuesCount=2)
    inputs = [file.input(x), file.constant(y)]
    output = file.operator("PACK", 2, inputs, Codes(expected, x.scale, x.zero_point), fields)
    by_litert, codes = both(file, output)
    np.testing.assert_array_equal(by_litert, expected)
    np.testing.assert_array_equal(codes, expected)


def check_parts(file, x, name, inputs, fields, parts, axis):
    """Joined again the other way round, as a file here has one output."""
    outputs = [Codes(part, x.scale, x.zero_point) for part in parts]
    handles = file.operators(name, 2, inputs, outputs, fields)
    expected = np.concatenate(parts[::-1], axis)
    fields = options("Concatenation", axis=axis)
    result = Codes(expected, x.scale, x.zero_point)
    output = file.operator("CONCATENATION", 2, handles[::-1], result, fields)
    by_litert, codes = both(file, output)
    np.testing.assert_array_equal(by_litert, expected)
    np.testing.assert_array_equal(codes, expected)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_parts_of_different_sizes(axis):
    x, file = Draw(0).tensor(6, 6, 6), File()
    inputs = [file.input(x), file.integers([2, -1, 3]), file.integers(axis)]
    parts = np.split(x.array, [2, 3], axis)
    check_parts(file, x, "SPLIT_V", inputs, options("SplitV", numSplits=3), parts, axis % 3)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_every_place_of_an_axis(axis):
    x, file = Draw(0).tensor(3, 4, 5), File()
    parts = list(np.moveaxis(x.array, axis, 0))
    fields = options("Unpack", axis=axis, num=len(parts))
    check_parts(file, x, "UNPACK", [file.input(x)], fields, parts, 1)


def test_codes_that_would_mean_another_number_are_not_moved():
    file = File()
    x = Draw(0).tensor(2, 4)
    result = Codes(np.empty((4, 2), np.int8), x.scale * np.float32(1.5), x.zero_point)
    output = file.operator(
        "TRANSPOSE", 2, [file.input(x), file.integers([1, 0])], result, options("Transpose")
    )
    with pytest.raises(ValueError, match="TRANSPOSE cannot be .*differ.*Received: .*'output'"):
        file.by_integers(output)


def chain(file, x, names, result, constants=None):
    """DEQUANTIZE, functions of float32, QUANTIZE."""
    floats = Codes(np.empty(x.array.shape, np.float32))
    handle = file.operator("DEQUANTIZE", 2, [file.input(x)], floats, options("Dequantize"))
    for name in names:
        inputs = [handle]
        if name in (constants or {}):
            side, value = constants[name]
            constant = file.constant(Codes(np.float32([value])))
            inputs.insert(0 if side == "left" else 1, constant)
        kinds = {
            "GELU": "Gelu",
            "EXP": "Exp",
            "ADD": "Add",
            "MUL": "Mul",
            "DIV": "Div",
            "ELU": None,
            "SQRT": None,
            "LOG": None,
            "MAXIMUM": "MaximumMinimum",
            "SQUARE": "Square",
            "LOGISTIC": None,
            "RELU6": None,
            "RELU_N1_TO_1": None,
        }
        fields = options("LeakyRelu", alpha=0.3)
        if name != "LEAKY_RELU":
            fields = kinds[name] and options(kinds[name])
        version = 1
        handle = file.operator(name, version, inputs, floats, fields)
    return file.operator("QUANTIZE", 1, [handle], result, options("Quantize"))


CHAINS = {
    "nothing": ([], {}),
    "gelu": (["GELU"], {}),
    "elu": (["ELU", "ADD"], {"ADD": ("right", 1.0)}),
    "exp": (["EXP"], {}),
    "log": (["MAXIMUM", "LOG"], {"MAXIMUM": ("right", 0.01)}),
    "logistic": (["LOGISTIC"], {}),
    "relu6": (["RELU6"], {}),
    "leaky relu": (["LEAKY_RELU"], {}),
    "relu from -1 to 1": (["ADD", "RELU_N1_TO_1"], {"ADD": ("right", 0.4)}),
    "reciprocal root": (
        ["MAXIMUM", "SQRT", "DIV"],
        {"MAXIMUM": ("right", 0.01), "DIV": ("left", 1.0)},
    ),
    "square": (["SQUARE", "MUL"], {"MUL": ("right", 0.25)}),
}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", CHAINS)
def test_functions_between_float32_borders(name, seed):
    draw = Draw(seed)
    codes = np.arange(-128, 128).astype(np.int8).reshape(1, 16, 16)
    x = Codes(codes, draw.scale(0.005, 0.05), draw.integer(-100, 60))
    result = Codes(codes, draw.scale(0.01, 0.1), draw.integer(-100, 60))
    file = File()
    names, constants = CHAINS[name]
    check(file, chain(file, x, names, result, constants))


def test_float_borders():
    """float32 in, codes, float32 out, and values that no code stands for."""
    values = np.float32([[0.0, 0.05, -0.05, 1e9, -1e9, np.inf, -np.inf, np.nan, 3.21, -0.149]])
    file = File()
    codes = file.operator(
        "QUANTIZE",
        1,
        [file.input(Codes(values))],
        Codes(np.empty(values.shape, np.int8), 0.1, 3),
        options("Quantize"),
    )
    floats = Codes(np.empty(values.shape, np.float32))
    check(file, file.operator("DEQUANTIZE", 2, [codes], floats, options("Dequantize")))


def test_a_float32_operation_of_two_tensors_is_refused():
    draw = Draw(0)
    file = File()
    floats = Codes(np.empty((1, 8), np.float32))
    handles = [
        file.operator("DEQUANTIZE", 2, [file.input(draw.tensor(1, 8))], floats) for _ in range(2)
    ]
    total = file.operator("ADD", 1, handles, floats, options("Add"))
    with pytest.raises(ValueError, match="ADD cannot be computed in integers.*no function of one"):
        file.by_integers(total)
