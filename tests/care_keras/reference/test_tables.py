"""Every table against LiteRT, all 256 codes of it."""

import numpy as np
import pytest

from tests.care_keras.reference.one_operation import Codes, Draw, File, both, check, options

SEEDS = range(40)
ALL_CODES = np.arange(-128, 128).astype(np.int8).reshape(1, 256)
VERSIONS = {"ELU": 1, "EXP": 2, "GELU": 2, "LOG": 2, "LOGISTIC": 2, "TANH": 2}


def result_for(name, draw, x):
    if name == "EXP":
        largest = min((127 - x.zero_point) * x.scale, 8.0)
        return Codes(ALL_CODES, draw.scale(1.0, 3.0) * np.exp(largest) / 255, -128)
    return Codes(ALL_CODES, draw.scale(0.003, 0.05), draw.integer(-60, 60))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", VERSIONS)
def test_functions(name, seed):
    draw = Draw(seed)
    x = Codes(ALL_CODES, draw.scale(), draw.integer(-100, 60))
    file = File()
    result = result_for(name, draw, x)
    if name == "LOGISTIC" and seed % 2:
        result = Codes(ALL_CODES, 1 / 256, -128)
    fields = {"GELU": options("Gelu", approximate=bool(seed % 2)), "EXP": options("Exp")}.get(name)
    operator = file.operator(name, VERSIONS[name], [file.input(x)], result, fields)
    check(file, operator)


def test_exp_beyond_int32_and_float32():
    x = Codes(ALL_CODES, 1.0, -128)
    file = File()
    result = Codes(ALL_CODES, 0.01, -128)
    check(file, file.operator("EXP", 2, [file.input(x)], result, options("Exp")))


@pytest.mark.parametrize("seed", SEEDS)
def test_rsqrt(seed):
    draw = Draw(seed)
    zero_point = -128 if seed % 2 else draw.integer(-128, 100)
    x = Codes(ALL_CODES[:, zero_point + 128 :], draw.scale(0.001, 10.0), zero_point)
    result = Codes(x.array, draw.scale(0.002, 0.05) / np.sqrt(x.scale), draw.integer(-128, 60))
    file = File()
    check(file, file.operator("RSQRT", 2, [file.input(x)], result))


@pytest.mark.parametrize("seed", SEEDS)
def test_sqrt(seed):
    draw = Draw(seed)
    zero_point = draw.integer(-128, 100)
    x = Codes(ALL_CODES[:, zero_point + 128 :], draw.scale(0.001, 10.0), zero_point)
    result = Codes(x.array, draw.scale(0.002, 0.2) * np.sqrt(x.scale), draw.zero_point())
    file = File()
    expected, codes = both(file, file.operator("SQRT", 2, [file.input(x)], result))
    np.testing.assert_array_equal(codes, expected)


@pytest.mark.parametrize("name", ["RSQRT", "SQRT"])
def test_roots_fail_where_litert_does(name):
    file = File()
    x = Codes(np.asarray([[-5, 3]], np.int8), 0.1, 0)
    output = file.operator(name, 2, [file.input(x)], Codes(x.array, 0.1, 0))
    with pytest.raises(RuntimeError, match="only defined for"):
        file.by_litert(output)
    with pytest.raises(ValueError, match="below the zero point.*Received: -5 in 'input0'"):
        file.by_integers(output)


def steps_of(draw, seed, largest):
    """Of an input and its output: alike, any, or with a ratio that makes ties."""
    x = Codes(ALL_CODES, draw.scale(), draw.zero_point())
    ratio = draw.scale(1.0 / largest, largest)
    if seed % 3 == 0:
        x = Codes(ALL_CODES, 2.0 ** draw.integer(-8, 1), x.zero_point)
        ratio = 2.0 ** draw.integer(-5, 5)
    if seed % 3 == 1:
        return x, x
    return x, Codes(ALL_CODES, np.float32(x.scale * np.float32(ratio)), draw.zero_point())


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["ABS", "HARD_SWISH", "RELU", "RELU6", "RELU_N1_TO_1"])
def test_functions_of_fixed_point(name, seed):
    draw = Draw(seed)
    x, result = steps_of(draw, seed, 20.0)
    fields = options("Abs") if name == "ABS" else None
    version = 2 if name in ("ABS", "RELU", "RELU6") else 1
    file = File()
    expected, codes = both(file, file.operator(name, version, [file.input(x)], result, fields))
    np.testing.assert_array_equal(codes, expected)


def test_a_hard_swish_that_litert_refuses():
    x, result = Codes(ALL_CODES, 1.0), Codes(ALL_CODES, 1.0 / 300.0)
    file = File()
    output = file.operator("HARD_SWISH", 1, [file.input(x)], result)
    with pytest.raises(RuntimeError, match="output_multiplier_exponent"):
        file.by_litert(output)
    with pytest.raises(ValueError, match="HARD_SWISH cannot be.*finer steps.*Received: .*'output'"):
        file.by_integers(output)


@pytest.mark.parametrize("seed", range(80))
def test_leaky_relu(seed):
    """By XNNPACK, and by LiteRT where slopes and ratios of steps are extreme."""
    draw = Draw(seed)
    x, result = steps_of(draw, seed, 300.0)
    slope = (0.2, 0.01, -0.5, 1.5, 0.001, 0.0, 2.0**-3, float(draw.scale(0.001, 3.0)))[seed % 8]
    ratio = x.scale / result.scale
    file = File()
    fields = options("LeakyRelu", alpha=slope)
    output = file.operator("LEAKY_RELU", 1, [file.input(x)], result, fields)
    taken = all(2.0**-8 <= abs(step) <= 2.0**7 for step in (ratio, slope * ratio))
    if slope < 0.0 and not taken:
        with pytest.raises(ValueError, match="LEAKY_RELU cannot be.*out of range.*Received: "):
            file.by_integers(output)
        return
    expected, codes = both(file, output)
    np.testing.assert_array_equal(codes, expected)


@pytest.mark.parametrize("zero_point", [0, 3])
def test_negatives(zero_point):
    """Of codes, which LiteRT takes for numbers."""
    x = Codes(ALL_CODES, 0.1, zero_point)
    file = File()
    output = file.operator("NEG", 1, [file.input(x)], x, options("Neg"))
    if zero_point:
        with pytest.raises(ValueError, match="NEG cannot be.*zero point.*Received: .*'output'"):
            file.by_integers(output)
        return
    check(file, output)


def quantize_file(draw, source, target, ratio):
    file = File()
    low = {kind: np.iinfo(kind).min for kind in (source, target)}
    x = Codes(ALL_CODES.view(source), draw.scale(), draw.integer(0, 255) + low[source])
    zero_point = draw.integer(0, 255) + low[target]
    result = Codes(ALL_CODES.view(target), x.scale * np.float32(ratio), zero_point)
    return file, file.operator("QUANTIZE", 1, [file.input(x)], result, options("Quantize"))


@pytest.mark.parametrize("seed", SEEDS)
def test_quantize_by_xnnpack(seed):
    draw = Draw(seed)
    kind = np.uint8 if seed % 4 == 0 else np.int8
    file, output = quantize_file(draw, kind, kind, draw.scale(0.01, 200.0))
    expected, codes = both(file, output)
    np.testing.assert_array_equal(codes, expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_quantize_by_litert(seed):
    """Between int8 and uint8, and ratios that XNNPACK leaves: equal, or refused where ties are."""
    draw = Draw(seed)
    kinds = [(np.uint8, np.int8), (np.int8, np.uint8), (np.int8, np.int8)][seed % 3]
    # Powers of two are exact, or all ties; others mostly neither.
    ratio = 2.0 ** draw.integer(-2, 2) if seed % 2 else draw.scale(0.01, 100.0)
    if kinds[0] == kinds[1]:
        ratio = draw.scale(300.0, 1000.0)
    file, output = quantize_file(draw, *kinds, ratio)
    expected = file.by_litert(output)
    try:
        codes = file.by_integers(output)
    except ValueError as error:
        assert "a code's place decides" in str(error)
        return
    np.testing.assert_array_equal(codes, expected)


def test_pixels_to_codes():
    """What stands at the input of every int8 file of ours."""
    file = File()
    x = Codes(ALL_CODES.view(np.uint8), 1.0, 0)
    result = Codes(ALL_CODES, 1.0, -128)
    output = file.operator("QUANTIZE", 1, [file.input(x)], result, options("Quantize"))
    expected, codes = both(file, output)
    np.testing.assert_array_equal(codes, expected)
    np.testing.assert_array_equal(codes, (x.array.astype(int) - 128).astype(np.int8))
