"""Where windows lie on an image; pooling, and resizing."""

import numpy as np

from care_keras.reference.operation import Operation, kernel


class Window:
    """Where the taps of a window lie.

    Args:
        operation: With strides and padding among its options.
        size: Taps of the window, vertical and horizontal.
        dilation: Distances of the taps in pixels.

    Attributes:
        taps: `(row, column)` of each tap's first pixel in the padded input, row
            by row.
        strides: `(vertical, horizontal)`.
        output: Height and width of the output.
    """

    def __init__(
        self, operation: Operation, size: tuple[int, int], dilation: tuple[int, int] = (1, 1)
    ):
        options = operation.options
        self._input = operation.inputs[0].shape[1:3]
        self.strides = options["stride_h"], options["stride_w"]
        reach = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
        if options["padding"] == "SAME":
            self.output = tuple(-(-n // s) for n, s in zip(self._input, self.strides, strict=True))
            needed = [
                max((out - 1) * s + r - n, 0)
                for out, s, r, n in zip(self.output, self.strides, reach, self._input, strict=True)
            ]
            self._padding = [(n // 2, n - n // 2) for n in needed]
        else:
            self.output = tuple(
                (n - r) // s + 1 for n, r, s in zip(self._input, reach, self.strides, strict=True)
            )
            self._padding = [(0, 0), (0, 0)]
        self.taps = [
            (i * dilation[0], j * dilation[1]) for i in range(size[0]) for j in range(size[1])
        ]

    def pad(self, x: np.ndarray, code: int) -> np.ndarray:
        """The input with a code around it."""
        if not any(sum(self._padding, ())):
            return x
        padding = ((0, 0), *self._padding, (0, 0))
        return np.pad(x, padding, constant_values=x.dtype.type(code))

    def pixels(self, padded: np.ndarray, tap: tuple[int, int]) -> np.ndarray:
        """What one tap sees of the padded input, for every output pixel."""
        rows, columns = (
            slice(start, start + (n - 1) * step + 1, step)
            for start, n, step in zip(tap, self.output, self.strides, strict=True)
        )
        return padded[:, rows, columns]

    def taps_inside(self) -> np.ndarray:
        """How many taps of each output pixel lie within the image: `(height, width, 1)`."""
        ones = self.pad(np.ones((1, *self._input, 1), np.int32), 0)
        return sum(self.pixels(ones, tap)[0] for tap in self.taps)


def _pool_window(operation):
    operation.check_int8(operation.inputs[0])
    operation.check_same_codes()
    options = operation.options
    return Window(operation, (options["filter_height"], options["filter_width"]))


@kernel("MAX_POOL_2D")
def _max_pool(operation):
    """XNNPACK's src/s8-maxpool, or LiteRT's own: they differ in where an activation ends."""
    window = _pool_window(operation)
    size = operation.options["filter_height"], operation.options["filter_width"]
    # The delegate's `CheckPoolingParams` (tflite/delegates/xnnpack/xnnpack_delegate.cc).
    near = all(stride <= taps for stride, taps in zip(window.strides, size, strict=True))
    limits = operation.output_limits() if near else operation.output_limits_of_litert()

    def run(x):
        padded = window.pad(x, -128)
        largest = window.pixels(padded, window.taps[0]).copy()
        for tap in window.taps[1:]:
            np.maximum(largest, window.pixels(padded, tap), out=largest)
        return np.clip(largest, *limits, out=largest)

    return run


@kernel("AVERAGE_POOL_2D")
def _average_pool(operation):
    """The sum of the codes over their number, rounded half away from 0.

    LiteRT's tflite/kernels/internal/optimized/integer_ops/pooling.h: XNNPACK
    takes no int8 one.
    """
    window = _pool_window(operation)
    counts = window.taps_inside()
    if not counts.all():
        operation.refuse("a window lies outside of the image")
    limits = operation.output_limits_of_litert()

    def run(x):
        padded = window.pad(x, 0)
        sums = window.pixels(padded, window.taps[0]).astype(np.int32)
        for tap in window.taps[1:]:
            sums += window.pixels(padded, tap)
        means = np.sign(sums) * ((np.abs(sums) + counts // 2) // counts)
        return np.clip(means, *limits).astype(np.int8)

    return run


@kernel("RESIZE_BILINEAR")
def _resize_bilinear(operation):
    """Shares of 11 bits, the sum rounded half up.

    XNNPACK's `xnn_indirection_init_resize_bilinear2d_hwc_q11`
    (src/indirection.c) and src/s8-ibilinear.
    """
    operation.check_int8(operation.inputs[0])
    operation.check_same_codes()
    options = operation.options
    if options["align_corners"] and options["half_pixel_centers"]:
        operation.refuse("it has both align_corners and half_pixel_centers")
    vertical, horizontal = (
        _neighbours(length, target, options)
        for length, target in zip(
            operation.inputs[0].shape[1:3], operation.output.shape[1:3], strict=True
        )
    )
    (top, bottom, down), (left, right, across) = vertical, horizontal
    down, across = down[:, None, None], across[:, None]

    def run(x):
        x = x.astype(np.int32)
        # Columns first, though the order changes no bit: all of it is exact.
        first, second = x[:, :, left], x[:, :, right]
        rows = (first << 11) + (second - first) * across
        first, second = rows[:, top], rows[:, bottom]
        sums = (first << 11) + (second - first) * down
        return ((sums + (1 << 21)) >> 22).astype(np.int8)

    return run


def _neighbours(length, target, options):
    """Both pixels that each output pixel lies between, and the second one's share in 2^-11."""
    aligned = int(bool(options["align_corners"]) and target != 1)
    scale = np.float32(length - aligned) / np.float32(target - aligned)
    places = np.arange(target, dtype=np.float32) * scale
    if options["half_pixel_centers"]:
        places += np.float32(0.5) * scale - np.float32(0.5)
    places = np.clip(places, np.float32(0.0), np.float32(length - 1))
    first = places.astype(np.int32)
    shares = np.rint((places - first.astype(np.float32)) * np.float32(2.0**11)).astype(np.int32)
    return first, np.minimum(first + 1, length - 1), shares


@kernel("RESIZE_NEAREST_NEIGHBOR")
def _resize_nearest_neighbor(operation):
    """LiteRT's tflite/kernels/internal/reference/resize_nearest_neighbor.h, or in integers.

    Those of internal/optimized/optimized_ops.h, where pixels are taken by
    their corners.
    """
    operation.check_int8(operation.inputs[0])
    operation.check_same_codes()
    options = operation.options
    whole = not options["align_corners"] and not options["half_pixel_centers"]
    rows, columns = (
        _nearest_by_corners(length, target) if whole else _nearest(length, target, options)
        for length, target in zip(
            operation.inputs[0].shape[1:3], operation.output.shape[1:3], strict=True
        )
    )
    return lambda x: x[:, rows[:, None], columns]


def _nearest_by_corners(length, target):
    """Pixels by a step of 16 fraction bits, which is one of them too large."""
    step = (length << 16) // target + 1
    return np.minimum((np.arange(target) * step) >> 16, length - 1)


def _nearest(length, target, options):
    """Pixels by float32 arithmetic; with corners aligned rounded half away from 0."""
    aligned = bool(options["align_corners"])
    steps = int(aligned and target > 1)
    scale = np.float32(length - steps) / np.float32(target - steps)
    offset = np.float32(0.5 if options["half_pixel_centers"] else 0.0)
    places = (np.arange(target, dtype=np.float32) + offset) * scale
    places = np.floor(places.astype(np.float64) + (0.5 if aligned else 0.0))
    return np.clip(places, 0, length - 1).astype(np.intp)
