"""Arithmetic of several codes: sums, products, extremes, means, SOFTMAX."""

import numpy as np

from care_keras.primitives.fixed_point import to_int32
from care_keras.reference.fixed_point import Multiplier
from care_keras.reference.operation import kernel
from care_keras.reference.requantization import Fp32Requantization

# What XNNPACK takes (LiteRT's tflite/delegates/xnnpack/xnnpack_delegate.cc); LiteRT's own kernels
# compute the rest, and round otherwise.
_SUM_SCALES = 2.0**-10, 2.0**8
_PRODUCT_SCALES = 2.0**-16, 2.0**8


@kernel("ADD", "SUB")
def _add(operation):
    return _add_int32(operation) if operation.output.dtype == "int32" else _add_codes(operation)


def _add_int32(operation):
    """Plain integers, as the places in a table are."""
    if operation.options.get("fused_activation_function", "NONE") != "NONE":
        operation.refuse("it has an activation on int32")
    function = np.add if operation.name == "ADD" else np.subtract
    return lambda *arrays: function(*operation.operands(arrays))


@kernel("CAST")
def _cast(operation):
    kinds = operation.inputs[0].dtype, operation.output.dtype
    if not set(kinds) <= {"int8", "uint8", "int32"}:
        operation.refuse(f"it makes {kinds[1]} of {kinds[0]}")
    return lambda x: x.astype(kinds[1])


def _add_codes(operation):
    """Multipliers of 21 bits, their sum shifted right, halves up.

    XNNPACK's `xnn_init_qs8_add_minmax_scalar_params` (src/microparams-init.c)
    and src/qs8-vadd/gen/qs8-vadd-minmax-avx2-mul32-ld64-u16.c.
    """
    operation.check_int8(*operation.inputs, operation.output)
    output_scale = operation.scale(operation.output)
    ratios = [operation.scale(x) / output_scale for x in operation.inputs]
    low, high = _SUM_SCALES
    if not all(low <= ratio < high for ratio in ratios):
        operation.refuse(f"steps {ratios} times its output's are not in 2^-10 to 2^8")
    # The larger ratio has its leading bit at 20: `frexp` counts from one half.
    shift = 21 - int(np.frexp(max(ratios))[1])
    multipliers = [int(np.rint(np.float64(ratio) * 2.0**shift)) for ratio in ratios]
    if operation.name == "SUB":
        multipliers[1] = -multipliers[1]
    first, second = (np.int32(multiplier) for multiplier in multipliers)
    offset = 1 << (shift - 1)
    for tensor, multiplier in zip(operation.inputs, multipliers, strict=True):
        offset -= operation.zero_point(tensor) * multiplier
    offset = np.int32(to_int32(offset))
    zero_point = operation.zero_point(operation.output)
    # Clipped before the zero point is added, as it is in the end; then by the activation.
    ends = [np.int32(end - zero_point) for end in operation.output_limits()]

    def run(*arrays):
        a, b = operation.operands(arrays)
        sums = np.multiply(a, first, dtype=np.int32)
        sums = sums + np.multiply(b, second, dtype=np.int32)
        sums += offset
        sums >>= np.int32(shift)
        np.clip(sums, *ends, out=sums)
        sums += np.int32(zero_point)
        return sums.astype(np.int8)

    return run


@kernel("MUL")
def _multiply(operation):
    """`f32(product) * scale`, to the nearest, ties to even (src/qs8-vmul/gen, `fp32` kernels)."""
    left, right = operation.inputs
    operation.check_int8(left, right, operation.output)
    scale = operation.scale(left) * operation.scale(right) / operation.scale(operation.output)
    if not _PRODUCT_SCALES[0] <= scale < _PRODUCT_SCALES[1]:
        operation.refuse(f"its multiplier {scale:.3g} is not in 2^-16 to 2^8")
    zero_points = [np.float32(operation.zero_point(x)) for x in operation.inputs]
    requantize = Fp32Requantization(
        scale, operation.zero_point(operation.output), *operation.output_limits()
    )

    def run(*arrays):
        a, b = (
            np.subtract(codes, zero_point, dtype=np.float32)
            for codes, zero_point in zip(operation.operands(arrays), zero_points, strict=True)
        )
        return requantize(a * b)

    return run


@kernel("MEAN", "SUM")
def _reduce(operation):
    """The sum of the codes, then multiplication and addition in float32.

    XNNPACK's src/operators/reduce-nd.c and src/reference/unary-elementwise.cc.
    """
    x, output = operation.inputs[0], operation.output
    operation.check_int8(x, output)
    axes = _axes(operation)
    elements = np.prod([x.shape[axis] for axis in axes], dtype=np.int64)
    factor = operation.scale(x) / operation.scale(output)
    if operation.name == "MEAN":
        factor = factor * (np.float32(1.0) / np.float32(elements))
    zeros = np.float32(elements) * np.float32(operation.zero_point(x))
    offset = np.float32(operation.zero_point(output)) - zeros * factor
    keep = operation.options["keep_dims"]

    def run(codes):
        values = codes.sum(axes, dtype=np.int32, keepdims=keep).astype(np.float32)
        values = values * factor + offset
        return np.clip(np.rint(values), -128.0, 127.0).astype(np.int8)

    return run


def _axes(operation):
    rank = len(operation.inputs[0].shape)
    return tuple(sorted({int(axis) % rank for axis in operation.constant(1).reshape(-1)}))


@kernel("REDUCE_MAX", "REDUCE_MIN")
def _reduce_extreme(operation):
    """An exact comparison of codes (XNNPACK's src/s8-rminmax)."""
    operation.check_int8(operation.inputs[0])
    operation.check_same_codes()
    axes, keep = _axes(operation), operation.options["keep_dims"]
    function = np.max if operation.name == "REDUCE_MAX" else np.min
    return lambda x: function(x, axis=axes, keepdims=keep)


@kernel("ARG_MAX")
def _arg_max(operation):
    """The first of the largest codes (LiteRT's tflite/kernels/internal/reference/arg_min_max.h)."""
    operation.check_int8(operation.inputs[0])
    axis, dtype = int(operation.constant(1).reshape(-1)[0]), operation.output.dtype
    return lambda x: np.argmax(x, axis).astype(dtype)


@kernel("MAXIMUM", "MINIMUM")
def _extreme(operation):
    """An exact comparison of codes (LiteRT's tflite/kernels/maximum_minimum.cc)."""
    operation.check_int8(*operation.inputs)
    operation.check_same_codes()
    function = np.maximum if operation.name == "MAXIMUM" else np.minimum
    return lambda *arrays: function(*operation.operands(arrays))


@kernel("SQUARED_DIFFERENCE")
def _squared_difference(operation):
    """LiteRT's tflite/kernels/squared_difference.cc.

    Both sides are counted in 2^-7 of twice the coarser step.
    """
    operation.check_int8(*operation.inputs, operation.output)
    scales = [operation.scale(x) for x in operation.inputs]
    twice = 2.0 * float(max(scales))
    total = twice**2 / float(np.float32(2.0**14) * operation.scale(operation.output))
    if total >= 1.0:
        operation.refuse(f"its multiplier {total:.3g} is not below 1, at which LiteRT aborts")
    multipliers = [Multiplier(float(scale) / twice) for scale in scales]
    zero_points = [operation.zero_point(x) for x in operation.inputs]
    multiply, zero_point = Multiplier(total), operation.zero_point(operation.output)

    def run(*arrays):
        sides = zip(operation.operands(arrays), zero_points, multipliers, strict=True)
        left, right = (
            scaled((codes.astype(np.int64) - zero) << 7) for codes, zero, scaled in sides
        )
        codes = multiply((left - right) ** 2) + zero_point
        return np.clip(codes, -128, 127).astype(np.int8)

    return run


@kernel("PRELU")
def _prelu(operation):
    """LiteRT's tflite/kernels/internal/reference/prelu.h."""
    x, slopes = operation.inputs
    operation.check_int8(x, slopes, operation.output)
    scale = operation.scale(x)
    above = Multiplier(scale / operation.scale(operation.output))
    below = Multiplier(scale * operation.scale(slopes) / operation.scale(operation.output))
    zero_points = [operation.zero_point(tensor) for tensor in operation.inputs]
    zero_point = operation.zero_point(operation.output)

    def run(*arrays):
        steps, factors = (
            codes.astype(np.int64) - zero
            for codes, zero in zip(operation.operands(arrays), zero_points, strict=True)
        )
        products = steps * factors
        results = np.where(steps >= 0, above(steps), below(products)) + zero_point
        return np.clip(results, -128, 127).astype(np.int8)

    return run


@kernel("SOFTMAX")
def _softmax(operation):
    """LiteRT's `optimized_ops::Softmax` for int8: a table of exponentials, a float32 sum."""
    x, output = operation.inputs[0], operation.output
    operation.check_int8(x, output)
    beta = np.float32(operation.options["beta"])
    steps = np.arange(256, dtype=np.float32)
    # In float64 first, as a C library's `expf` is right in all but the last bit of float32.
    table = np.exp((-operation.scale(x) * beta * steps).astype(np.float64)).astype(np.float32)
    scale, zero_point = operation.scale(output), operation.zero_point(output)
    if (scale, zero_point) != (np.float32(1 / 256), -128):
        operation.refuse(f"its output has the step {scale} and zero point {zero_point}")

    def run(codes):
        below = codes.max(axis=-1, keepdims=True).astype(np.int16) - codes
        powers = table[below]
        # In the order of the channels: each sum is rounded.
        total = np.add.accumulate(powers, axis=-1)[..., -1:]
        shares = powers * (np.float32(1.0) / (total * scale))
        rounded = np.floor(shares.astype(np.float64) + 0.5) + zero_point
        return np.clip(rounded, -128, 127).astype(np.int8)

    return run
